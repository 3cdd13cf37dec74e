"""What a virtual machine is to be: from an instance of a command to libvirt's domain XML, by a template. Pure, but for reading templates.

Its identity is put into the XML here, not by the template: the domain's uuid follows from the instance's, so that libvirt itself holds at
most one domain an instance, and its metadata say whose it is and of which epoch.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree

from mako.exceptions import MakoException
from mako.lookup import TemplateLookup

from agents.driver import DriverError, Json
from agents.instances import fields_of
from agents.libvirt.disks import Disks
from agents.libvirt.xml import parsed

NAMESPACE = "urn:corral:instance:1"
"""Of the element in a domain's metadata by which inventory knows it."""
TEMPLATE = "domain.mako"
"""A user's own template, in the folder of templates."""
BASE = "base.mako"
"""Corral's own, which others inherit."""
MEMORY_MB, MOST_MEMORY_MB, MOST_VCPUS = 256, 16 * 1024 * 1024, 1024

_TEMPLATES = Path(__file__).parent / "templates"
_DOMAINS = uuid.UUID("0f4dd9d4-5a86-4a0c-8a35-2e0a3d1f6a11")
"""The space in which an instance's uuid that is none in form becomes a domain's."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_NETWORKS = ("bridge", "network", "direct", "user")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class MachineDisk:
    path: Path
    format: str
    target: str
    """vda, vdb, ..."""


@dataclass(frozen=True, slots=True)
class Interface:
    type: str
    """bridge, network, direct or user, as in libvirt."""
    source: Mapping[str, str]
    """The attributes of its source: {"bridge": "br0"}."""
    mac: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What a domain's metadata say: whose it is, by which command."""

    instance: str
    epoch: int
    cloud: str | None
    """The uuid of the cloud that has the instance; None: it does not say."""

    def element(self, tag: str) -> ElementTree.Element:
        return ElementTree.Element(
            tag, {"uuid": self.instance, "epoch": str(self.epoch), **({"cloud": self.cloud} if self.cloud is not None else {})}
        )


@dataclass(frozen=True, slots=True)
class Place:
    """What the host has to do with it."""

    virtualization: str
    """kvm or qemu (emulated)."""
    arch: str
    vnc_listen: str
    """The address that the screen is served on."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a template writes down."""

    uuid: str
    """The instance's."""
    title: str
    memory_mb: int
    vcpus: int
    disks: Sequence[MachineDisk]
    seed: Path
    """The config drive."""
    serial: Path
    """Where what its serial console says is kept."""
    interfaces: Sequence[Interface]
    virtualization: str
    arch: str
    vnc_listen: str
    vnc_password: str
    instance: Mapping[str, Any]
    """The whole instance as the command has it, for templates that want more of it."""


def domain_uuid(instance: str) -> uuid.UUID:
    """Of the instance's domain, wherever it is."""
    try:
        return uuid.UUID(instance)
    except ValueError:
        return uuid.uuid5(_DOMAINS, instance)


def described(
    instance: Mapping[str, Any], disks: Disks, place: Place, vnc_password: str, bridges: Mapping[str, str] = MappingProxyType({})
) -> Machine:
    """`bridges`: address -> the bridge of its segment. Raises DriverError that names the field which can't be understood."""
    own = str(instance["uuid"])
    volumes = sorted(_rows(instance.get("volumes")), key=lambda each: _number(each.get("deviceNumber")))
    if not volumes:
        raise DriverError("the virtual machine has no volume to start from: make it from an image")
    return Machine(
        uuid=own,
        title=_NOT_XML.sub("", str(instance.get("name") or own)).replace("\n", " "),
        memory_mb=_count("memoryMb", instance.get("memoryMb"), MEMORY_MB, MOST_MEMORY_MB),
        vcpus=_count("vcpu", fields_of(instance).get("vcpu"), 1, MOST_VCPUS),
        disks=[_disk(disks, each, index) for index, each in enumerate(volumes)],
        seed=disks.seed_path(own),
        serial=disks.serial_path(own),
        interfaces=interfaces(instance, bridges),
        virtualization=place.virtualization,
        arch=place.arch,
        vnc_listen=place.vnc_listen,
        vnc_password=vnc_password,
        instance=instance,
    )


def on_segments(instance: Mapping[str, Any]) -> Json:
    """The instance with those nics alone whose networks leave to Corral where they are."""
    return {**instance, "nics": [each for each in _rows(instance.get("nics")) if _named(each) is None]}


def interfaces(instance: Mapping[str, Any], bridges: Mapping[str, str]) -> list[Interface]:
    """One a nic, on what its network's data.libvirt names, or else on the bridge that its address has in `bridges`; elsewhere, and without
    nics, QEMU's own user network leads outside."""
    found = [_interface(each, bridges) for each in sorted(_rows(instance.get("nics")), key=lambda each: _number(each.get("deviceNumber")))]
    return found or [Interface("user", {}, "")]


def domain_xml(machine: Machine, identity: Identity, templates: Path | None) -> str:
    """By the user's template where the folder has one, else by Corral's. Raises DriverError for a template that fails."""
    folders = [str(each) for each in (templates, _TEMPLATES) if each is not None]
    own = templates is not None and (templates / TEMPLATE).is_file()
    lookup = TemplateLookup(folders, default_filters=["str", "x"], strict_undefined=True)
    where = f"template {templates / TEMPLATE}" if own and templates is not None else f"template {BASE}"
    try:
        text: str = lookup.get_template(TEMPLATE if own else BASE).render(machine=machine)
        root = parsed(text.strip())
    except ElementTree.ParseError as error:
        raise DriverError(f"{where} gives no well-formed XML: {error}") from error
    except (MakoException, SyntaxError) as error:
        raise DriverError(f"{where} can't be read: {error}") from error
    except Exception as error:  # a template is Python of the operator's own, and may raise anything
        raise DriverError(f"{where} fails for {machine.title}: {error!r}") from error
    if root.tag != "domain":
        raise DriverError(f"{where} gives a <{root.tag}>, and not a <domain>")
    identify(root, identity)
    return ElementTree.tostring(root, encoding="unicode")


def identify(root: ElementTree.Element, identity: Identity) -> None:
    """Puts an instance's name, uuid and metadata into its domain."""
    own = domain_uuid(identity.instance)
    for tag, value in (("uuid", str(own)), ("name", f"corral-{own}")):
        for element in root.findall(tag):
            root.remove(element)
        element = ElementTree.Element(tag)
        element.text = value
        root.insert(0, element)
    metadata = root.find("metadata")
    if metadata is None:
        metadata = ElementTree.SubElement(root, "metadata")
    for known in metadata.findall(f"{{{NAMESPACE}}}instance"):
        metadata.remove(known)
    metadata.append(identity.element(f"{{{NAMESPACE}}}instance"))


def identity_in(metadata: str) -> Identity | None:
    """From the element that `identify` wrote; None: somebody else wrote it."""
    try:
        element = parsed(metadata)
    except ElementTree.ParseError:
        return None
    own, epoch = element.get("uuid"), element.get("epoch", "")
    known = int(epoch) if epoch.isascii() and epoch.isdigit() else 0
    return Identity(own, known, element.get("cloud") or None) if own else None


def _named(nic: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a nic's network names for libvirt, if it does."""
    network = nic.get("network")
    data = network.get("data") if isinstance(network, Mapping) else None
    libvirt = data.get("libvirt") if isinstance(data, Mapping) else None
    wanted = libvirt.get("network") if isinstance(libvirt, Mapping) else None
    return wanted if isinstance(wanted, Mapping) else None


def _interface(nic: Mapping[str, Any], bridges: Mapping[str, str]) -> Interface:
    mac = str(nic.get("macAddress") or "").lower()
    if mac and not _MAC.fullmatch(mac):
        raise DriverError(f"the nic's macAddress {mac!r} is none")
    wanted = _named(nic)
    if wanted is None:
        on = next((bridges[each["address"]] for each in _rows(nic.get("ipAddresses")) if each.get("address") in bridges), None)
        return Interface("user", {}, mac) if on is None else Interface("bridge", {"bridge": on}, mac)
    type, sources = wanted.get("type"), wanted.get("source")
    if type not in _NETWORKS:
        raise DriverError(f"the network's data.libvirt.network.type is {type!r}: {', '.join(_NETWORKS)} are understood")
    # Cattle writes the source as a list of maps with an attribute each.
    source: Json = {}
    for each in _rows(sources) if isinstance(sources, list) else _rows([sources]):
        source |= each
    if wrong := [name for name, value in source.items() if not _NAME.fullmatch(name) or not isinstance(value, str)]:
        raise DriverError(f"the network's data.libvirt.network.source has no text at {', '.join(wrong)}")
    return Interface(str(type), source, mac)


def _disk(disks: Disks, volume: Mapping[str, Any], index: int) -> MachineDisk:
    if index >= len(_LETTERS):
        raise DriverError(f"a virtual machine has at most {len(_LETTERS)} volumes")
    found = disks.volume(str(volume.get("uuid")))
    if found is None:
        raise DriverError(f"volume {volume.get('uuid')} is not on this host: it is made when it is activated")
    return MachineDisk(found.path, found.format, f"vd{_LETTERS[index]}")


def _count(name: str, given: object, usual: int, most: int) -> int:
    if given is None:
        return usual
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= most:
        raise DriverError(f"{name} must be a number from 1 to {most}, not {given!r}")
    return given


def _number(given: object) -> int:
    return given if isinstance(given, int) else 0


def _rows(given: object) -> list[Json]:
    return [dict(each) for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
