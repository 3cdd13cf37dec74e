"""A guest so small that it starts in a moment, for tests on real virtual machines; and what is left of them on the lab's hosts."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.support.lab import LabHost

SECTOR = 512
DISK = 1024 * 1024

_CODE = bytes.fromhex(
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
_TEXT = b"corral boot \0"


def boot_image(path: Path) -> Path:
    """A raw disk whose guest counts its boots on it, and says so on the serial console: "corral boot 1", then a dot again and again. It
    ends at the power button."""
    code = _CODE + _TEXT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(code.ljust(SECTOR - 2, b"\0") + b"\x55\xaa" + bytes(DISK - SECTOR))
    return path


def domains_of(host: LabHost) -> dict[str, str]:
    """Name -> XML of all domains of a host."""
    import libvirt

    connection = libvirt.open(host.libvirt_url)
    try:
        found = {}
        for each in connection.listAllDomains():
            with contextlib.suppress(libvirt.libvirtError):  # it is gone in this moment
                found[each.name()] = each.XMLDesc()
        return found
    finally:
        connection.close()


def clear(host: LabHost, folder: Path) -> None:
    """Removes the domains with files in this folder, and the pools of it."""
    import libvirt

    connection = libvirt.open(host.libvirt_url)
    try:
        for domain in connection.listAllDomains():
            if str(folder) in domain.XMLDesc():
                with contextlib.suppress(libvirt.libvirtError):
                    domain.destroy()
                with contextlib.suppress(libvirt.libvirtError):
                    domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
        for pool in connection.listAllStoragePools():
            if (ElementTree.fromstring(pool.XMLDesc()).findtext("target/path") or "").startswith(str(folder)):
                with contextlib.suppress(libvirt.libvirtError):
                    pool.destroy()
                pool.undefine()
    finally:
        connection.close()


def machine(uuid: str, image: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A virtual machine's tree as a command carries it, with a root volume of the image."""
    fields = more.pop("fields", {})
    volume = {"id": 7, "uuid": f"volume-of-{uuid}", "deviceNumber": 0, "image": image}
    return {
        "id": 54, "type": "instance", "kind": "virtualMachine", "uuid": uuid, "name": "box", "memoryMb": 32, "image": image,
        "volumes": [volume], "nics": [], "data": {"fields": fields}, **more,
    }  # fmt: skip
