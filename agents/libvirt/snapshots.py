"""Snapshots of a machine, and its size. Functions here block and take a virConnect.

A snapshot lies in the machine's own disks (qcow2 keeps them), with its memory where it runs: going back to it is going back to that moment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from agents.driver import DriverError, Json
from agents.libvirt import domains
from agents.libvirt.connection import Libvirt, bindings
from agents.libvirt.disks import MEGABYTE, Disks, qemu_img

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def take(connection: Libvirt, instance: str, name: str) -> Json:
    """One of that name is there: done before."""
    domain = _domain(connection, instance)
    if name not in _names(domain):
        root = ElementTree.Element("domainsnapshot")
        ElementTree.SubElement(root, "name").text = _checked(name)
        domain.snapshotCreateXML(ElementTree.tostring(root, encoding="unicode"))
    return _told(domain)


def revert(connection: Libvirt, instance: str, name: str) -> Json:
    """The machine is as it was, but running or stopped as it is now."""
    libvirt = bindings()
    domain = _domain(connection, instance)
    if name not in _names(domain):
        raise DriverError(f"there is no snapshot {name}: the machine has {', '.join(_names(domain)) or 'none'}")
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING if domain.isActive() else 0
    domain.revertToSnapshot(domain.snapshotLookupByName(name), flags)
    if not flags and domain.isActive():
        domains.end(domain)  # it was taken of a running one
    return _told(domain)


def resize(connection: Libvirt, disks: Disks, instance: Mapping[str, Any], root_mb: int) -> Json:
    """Its root volume, while it runs or not; a disk only grows, for what was cut off would be lost."""
    roots = [each for each in instance.get("volumes") or () if each.get("deviceNumber") == 0]
    volume = disks.volume(str(roots[0]["uuid"])) if roots else None
    if volume is None:
        raise DriverError("the machine's root volume is not on this host: start it once")
    wanted = root_mb * MEGABYTE
    if wanted < volume.virtual_bytes:
        raise DriverError(f"a disk only grows: it has {volume.virtual_bytes // MEGABYTE} MB, {root_mb} were asked for")
    if wanted > volume.virtual_bytes:
        domain = domains.running(connection, str(instance["uuid"]))
        if domain is not None:
            domain.blockResize(str(volume.path), wanted, bindings().VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        else:
            qemu_img("resize", "-q", "-f", volume.format, str(volume.path), str(wanted))
    return {}


def _domain(connection: Libvirt, instance: str) -> Libvirt:
    domain = domains.find(connection, instance)
    if domain is None:
        raise DriverError("the machine was never started on this host: it has nothing to go back to")
    return domain


def _names(domain: Libvirt) -> list[str]:
    return sorted(domain.snapshotListNames())


def _told(domain: Libvirt) -> Json:
    return {"+data": {"+libvirt": {"snapshots": _names(domain)}}}


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise DriverError(f"{name!r} can't be a snapshot's name: letters, digits, '.', '_' and '-' can, 64 at most")
    return name
