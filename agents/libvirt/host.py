"""A libvirt as a host: who it is, what it can run, and its pool of files. Functions here block and take a virConnect."""

from __future__ import annotations

import hashlib
import uuid
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

from agents.driver import DriverError, Json
from agents.libvirt.connection import Libvirt, bindings
from agents.libvirt.xml import parsed

POOL = "corral"

_HOSTS = uuid.UUID("5e1c3a37-7f0d-4c0f-9a52-0d7a4be6c9f3")
"""The space in which a libvirt's uuid becomes a host's: the same libvirt is the same host, also to an agent that lost its folder."""
_WAYS = ("kvm", "qemu")


def described(connection: Libvirt) -> Json:
    """Its uuid, and what the machine calls itself."""
    capabilities = parsed(connection.getCapabilities())
    own = capabilities.findtext("host/uuid") or connection.getHostname()
    return {"uuid": str(uuid.uuid5(_HOSTS, own)), "name": connection.getHostname()}


def best_virtualization(connection: Libvirt) -> tuple[str, str]:
    """(kvm or qemu, architecture): the fastest way to run what the machine itself is. Raises DriverError where there is none."""
    capabilities = parsed(connection.getCapabilities())
    own = capabilities.findtext("host/cpu/arch") or "x86_64"
    for guest in capabilities.findall("guest"):
        arch = guest.find("arch")
        if guest.findtext("os_type") == "hvm" and arch is not None and arch.get("name") == own:
            ways = {each.get("type") for each in arch.findall("domain")}
            for way in _WAYS:
                if way in ways:
                    return way, own
    raise DriverError(f"this libvirt runs no virtual machines of architecture {own}: install QEMU (on Debian: qemu-system-x86)")


def pool(connection: Libvirt, folder: Path) -> Libvirt:
    """The dir pool of the folder: libvirt's own view of the files, for whoever looks with virsh. Made when there is none."""
    libvirt = bindings()
    for known in connection.listAllStoragePools():
        if parsed(known.XMLDesc()).findtext("target/path") == str(folder):
            found = known
            break
    else:
        names = {each.name() for each in connection.listAllStoragePools()}
        name = POOL if POOL not in names else f"{POOL}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        root = ElementTree.Element("pool", {"type": "dir"})
        ElementTree.SubElement(root, "name").text = name
        ElementTree.SubElement(ElementTree.SubElement(root, "target"), "path").text = str(folder)
        found = connection.storagePoolDefineXML(ElementTree.tostring(root, encoding="unicode"))
        with suppress(libvirt.libvirtError):
            found.setAutostart(True)
    if not found.isActive():
        found.create()
    return found


def show_files(connection: Libvirt, folder: Path) -> None:
    """Has the pool look at its folder. What it then shows is for people alone: that it can't just now is no failure."""
    with suppress(bindings().libvirtError):
        pool(connection, folder).refresh()
