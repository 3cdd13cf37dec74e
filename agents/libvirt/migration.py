"""A running domain moves to another host's libvirt, with what is in its disks. Functions here block.

The target's storage was activated before: its volumes lie there under the same names, in the target's folder. libvirt copies into them
while the domain runs on, and hands it over in the end. Its config drive does not go along; the target makes it anew when it takes over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from agents.driver import DriverError, Json
from agents.libvirt import domains
from agents.libvirt.connection import Libvirt, bindings
from agents.libvirt.disks import Disks
from agents.libvirt.xml import parsed

MIGRATION_URI, STORAGE, VNC_LISTEN = "migrationUri", "storage", "vncListen"

BRIDGE_SECONDS, AGAIN_SECONDS = 20.0, 0.5
"""For how long a move waits until the target has the bridges that the machine is on, and between two tries."""

_CONFIG_DRIVE = "devices/disk[@device='cdrom']"


@dataclass(frozen=True, slots=True)
class Source:
    """What of this host is in a domain's description."""

    disks: Disks
    vnc_listen: str


def told(uri: str | None, storage: Path, vnc_listen: str) -> Json:
    """What a host tells of itself, so that domains can come to it."""
    return {**({MIGRATION_URI: uri} if uri else {}), STORAGE: str(storage), VNC_LISTEN: vnc_listen}


def migrate(connection: Libvirt, instance: str, source: Source, target: Mapping[str, Any]) -> Json:
    """Returns once it runs there and is gone here. It is not here any more: done before. Raises DriverError; it runs on here then."""
    libvirt = bindings()
    domain = domains.find(connection, instance)
    if domain is None:
        return {}
    if not domain.isActive():
        raise DriverError("the virtual machine does not run here: what is stopped moves by its volumes, not by migration")
    name = target.get("name") or target.get("uuid")
    there = _told_by(target)
    uri, storage = there.get(MIGRATION_URI), there.get(STORAGE)
    if not isinstance(uri, str) or not isinstance(storage, str):
        raise DriverError(f"host {name} does not say where its libvirt is reached: start its agent with --libvirt-migration URI")
    flags = (
        libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_NON_SHARED_DISK
        | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    )  # fmt: skip
    vnc = str(there.get(VNC_LISTEN) or source.vnc_listen)
    whole = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
    descriptions = {
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: domain.XMLDesc(whole),
        libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: domain.XMLDesc(whole | libvirt.VIR_DOMAIN_XML_INACTIVE),
    }
    parameters = {name: rewritten(xml, source.disks.folder, Path(storage), vnc) for name, xml in descriptions.items()}
    _hand_over(domain, uri, parameters, flags)
    source.disks.remove_extras(instance)
    return {}


def _hand_over(domain: Libvirt, uri: str, parameters: dict[str, str], flags: int) -> None:
    """The server tells the target of the machine's networks as the move begins: a bridge that is not there yet is waited for."""
    libvirt = bindings()
    sources = parsed(parameters[libvirt.VIR_MIGRATE_PARAM_DEST_XML]).findall("devices/interface/source[@bridge]")
    bridges = {f"'{each.get('bridge')}'" for each in sources}
    deadline = time.monotonic() + BRIDGE_SECONDS
    while True:
        try:
            domain.migrateToURI3(uri, parameters, flags)
        except libvirt.libvirtError as error:
            if time.monotonic() > deadline or not any(each in str(error) for each in bridges):
                raise
            time.sleep(AGAIN_SECONDS)
        else:
            return


def rewritten(xml: str, here: Path, there: Path, vnc_listen: str) -> str:
    """A domain's description as it is to be at the target: its files in that host's folder, without a config drive."""
    root = parsed(xml)
    for element in root.iter():
        file = element.get("file")
        if file is not None and Path(file).is_relative_to(here):
            element.set("file", str(there / Path(file).relative_to(here)))
    for drive in root.findall(_CONFIG_DRIVE):
        for source in drive.findall("source"):
            drive.remove(source)
    for graphics in root.findall("devices/graphics[@type='vnc']"):
        graphics.set("listen", vnc_listen)
        for listen in graphics.findall("listen[@type='address']"):
            listen.set("address", vnc_listen)
    return ElementTree.tostring(root, encoding="unicode")


def lacks_config_drive(domain: Libvirt) -> bool:
    """Whether it has a drive with nothing in it, as one that came from another host has."""
    drive = parsed(domain.XMLDesc()).find(_CONFIG_DRIVE)
    return drive is not None and drive.find("source") is None


def give_config_drive(domain: Libvirt, path: Path) -> None:
    libvirt = bindings()
    drive = parsed(domain.XMLDesc()).find(_CONFIG_DRIVE)
    if drive is None:
        return
    ElementTree.SubElement(drive, "source", {"file": str(path)})
    flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE
    if domain.isPersistent():
        flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
    domain.updateDeviceFlags(ElementTree.tostring(drive, encoding="unicode"), flags)


def _told_by(host: Mapping[str, Any]) -> Mapping[str, Any]:
    data = host.get("data")
    libvirt = data.get("libvirt") if isinstance(data, Mapping) else None
    return libvirt if isinstance(libvirt, Mapping) else {}
