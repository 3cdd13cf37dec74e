"""Virtual machines on the lab's hosts: what is there, what a test leaves, and what one is in a command."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.support.lab import LabHost


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
