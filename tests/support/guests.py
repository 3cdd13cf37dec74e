"""Guests so small that they start in a moment, each of one boot sector: what they do is seen on the serial console."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import until

MEBIBYTE = 1 << 20

_PRINT = bytes([
    0xFA,              # cli
    0x31, 0xC0,        # xor ax, ax
    0x8E, 0xD8,        # mov ds, ax
    0xBE, 0x40, 0x7C,  # mov si, 0x7c40     the text
    0xBA, 0xF8, 0x03,  # mov dx, 0x3f8      the serial port
    0xAC,              # lodsb
    0x84, 0xC0,        # test al, al
    0x74, 0x03,        # jz over the next two
    0xEE,              # out dx, al
    0xEB, 0xF8,        # jmp to lodsb
])  # fmt: skip

_HALT = bytes([0xFB, 0xF4, 0xEB, 0xFD])
"""sti; hlt; and again: it runs until somebody ends it."""

_POWER_OFF = bytes([0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF])
"""mov dx, 0x604; mov ax, 0x2000; out dx, ax: the chipset's sleep register, switched to off."""

_COUNT = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0 bc007c"  # segments at 0, the stack below the code
    "b80102 bb0080 b90200 b600 cd13"  # reads the disk's second sector to 0x8000
    "fe060080"  # counts this boot there
    "b80103 bb0080 b90200 b600 cd13"  # writes it back
    "be827c ac 84c0 7405 e83f00 ebf6"  # says the text at the end
    "a00080 0430 e83500 b00a e83000"  # and the count
    "ba0206 b80001 ef fb"  # ACPI: the power button sets a bit
    "ba0006 ed f6c401 7407 ba0406 b80020 ef"  # forever: where it is set, power off (both registers are where SeaBIOS puts QEMU's)
    "f4 a06c04 a803 75e8"  # else sleep; every fourth tick of the clock
    "38060082 a20082 74df"
    "b02e e80200 ebd8"  # says "."
    "50 bafd03 ec a820 74fb baf803 58 ee c3"  # a letter for the first serial port, once that can take it
)
_COUNT_SAYS = b"corral boot \0"


def guest(text: str, *, power_off: bool = False) -> bytes:
    """A raw disk of 1 MiB whose guest writes a line of ASCII, at most 400 bytes, to its serial console, and then runs on or ends."""
    code = (_PRINT + (_POWER_OFF if power_off else b"") + _HALT).ljust(0x40, b"\x90")
    said = text.encode("ascii") + b"\r\n\0"
    assert len(code) == 0x40
    assert len(said) <= 400
    return _disk(code + said)


def boot_image(path: Path) -> Path:
    """A raw disk whose guest counts its boots on it, and says so on the serial console: "corral boot 1", then a dot again and again. It
    ends at the power button."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_disk(_COUNT + _COUNT_SAYS))
    return path


def says(storage: Path, uuid: str, text: str, seconds: float = 90) -> str:
    """All that a virtual machine's serial console said, once that holds the text. `storage`: the folder of its host's disks."""
    path = storage / f"serial-{uuid}.log"
    return until(lambda: path.read_text(errors="replace") if path.exists() else "", lambda said: text in said, seconds)


def _disk(code: bytes) -> bytes:
    return (code.ljust(510, b"\0") + b"\x55\xaa").ljust(MEBIBYTE, b"\0")
