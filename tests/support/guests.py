"""Disks of virtual machines, of one boot sector each: what it does is seen on the serial console."""

from __future__ import annotations

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


def guest(text: str, *, power_off: bool = False) -> bytes:
    """A raw disk of 1 MiB whose guest writes a line of ASCII, at most 400 bytes, to its serial console, and then runs on or ends."""
    code = (_PRINT + (_POWER_OFF if power_off else b"") + _HALT).ljust(0x40, b"\x90")
    said = text.encode("ascii") + b"\r\n\0"
    assert len(code) == 0x40
    assert len(said) <= 400
    return ((code + said).ljust(510, b"\0") + b"\x55\xaa").ljust(MEBIBYTE, b"\0")
