"""The domains of a libvirt that are instances: found by uuid, started, ended, removed. Functions here block and take a virConnect."""

from __future__ import annotations

import secrets
import socket
import string
from dataclasses import dataclass
from xml.etree import ElementTree

import structlog

from agents.driver import RUNNING, STOPPED, DriverError, Held, Json
from agents.libvirt.connection import Libvirt, bindings
from agents.libvirt.disks import Disks
from agents.libvirt.machine import NAMESPACE, Identity, domain_uuid, identity_in
from agents.libvirt.xml import parsed

log = structlog.get_logger("corral.agent.libvirt")

CONSOLE = "console"
"""What an instance whose screen can be looked at is able to do, as Cattle says it."""

_PASSWORD = 8
"""Letters of a VNC password: the protocol takes no more."""
_ANYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a running domain's VNC is."""

    address: str
    port: int
    password: str


def find(connection: Libvirt, instance: str) -> Libvirt | None:
    libvirt = bindings()
    try:
        return connection.lookupByUUID(domain_uuid(instance).bytes)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def running(connection: Libvirt, instance: str) -> Libvirt | None:
    """The same; None also of one that does not run."""
    libvirt = bindings()
    domain = find(connection, instance)
    try:
        return domain if domain is not None and domain.isActive() else None
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None  # gone in this moment
        raise


def held(connection: Libvirt, kind: str) -> dict[str, Held]:
    """All that are instances, by uuid; what others made on this libvirt is none of ours. `kind`: of the hosts that they are on."""
    libvirt = bindings()
    result = {}
    for domain in connection.listAllDomains():
        try:
            told = identity_in(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE))
            active = bool(domain.isActive())
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_METADATA):
                continue  # not ours, or gone in this moment
            raise
        if told is not None:
            result[told.instance] = Held(RUNNING if active else STOPPED, told.epoch, told.cloud, kind)
    return result


def define_and_start(connection: Libvirt, xml: str, known: Libvirt | None) -> Libvirt:
    """`known`: the domain that this changes, if there is one. One that never ran does not stay behind when it can't be started."""
    libvirt = bindings()
    domain = connection.defineXML(xml)
    try:
        domain.create()
    except libvirt.libvirtError:
        if known is None:
            undefine(domain)
        raise
    return domain


def go_on(domain: Libvirt) -> None:
    """Resumes one that somebody paused. Raises DriverError for one that is on its way from another host."""
    libvirt = bindings()
    state, reason = domain.state()
    if state != libvirt.VIR_DOMAIN_PAUSED:
        return
    if reason == libvirt.VIR_DOMAIN_PAUSED_MIGRATION:
        raise DriverError(f"domain {domain.name()} is being moved just now: it is not touched")
    domain.resume()


def note(domain: Libvirt, identity: Identity) -> None:
    """A domain that is taken over says from now on which command that was, and whose it is."""
    libvirt = bindings()
    told = identity_in(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE))
    if told is None or told.epoch >= identity.epoch:
        return
    element = ElementTree.tostring(identity.element("instance"), encoding="unicode")
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, "corral", NAMESPACE, _everywhere(domain))


def ask_to_end(domain: Libvirt) -> None:
    """The power button (ACPI); a guest may not heed it."""
    libvirt = bindings()
    if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
        domain.resume()
    domain.shutdown()


def end(domain: Libvirt) -> None:
    """At once. It has ended by itself: done."""
    libvirt = bindings()
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            raise


def remove(connection: Libvirt, instance: str, disks: Disks) -> None:
    """With the files that are its alone; its volumes stay."""
    domain = find(connection, instance)
    if domain is not None:
        end(domain)
        undefine(domain)
    disks.remove_extras(instance)


def undefine(domain: Libvirt) -> None:
    libvirt = bindings()
    flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # one without a definition went when it ended
            raise


def screen(domain: Libvirt) -> Screen | None:
    """None: it has none, by a template that gives it none, or it does not run."""
    libvirt = bindings()
    graphics = parsed(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)).find("devices/graphics[@type='vnc']")
    if graphics is None or not graphics.get("port", "-1").isdigit():
        return None
    return Screen(graphics.get("listen") or "127.0.0.1", int(graphics.get("port", "0")), graphics.get("passwd") or "")


def open_screen(connection: Libvirt, instance: str) -> socket.socket | tuple[str, int]:
    """A socket to the VNC of a running domain, from a libvirt on this machine; of one elsewhere, where it listens. Raises DriverError."""
    domain = running(connection, instance)
    shown = screen(domain) if domain is not None else None
    if domain is None or shown is None:
        raise DriverError("the virtual machine does not run any more")
    try:
        return socket.socket(fileno=domain.openGraphicsFD(0))
    except bindings().libvirtError as error:
        log.debug("libvirt hands over no socket", action="console-by-address", instance=instance, error=str(error))
        return shown.address, shown.port


def running_reply(domain: Libvirt, host_ip: str) -> Json:
    """What the activation of an instance tells of its domain."""
    shown = screen(domain)
    fields: Json = {}
    if shown is not None:
        address = host_ip if shown.address in _ANYWHERE else shown.address
        fields = {"libvirtVncAddress": f"{address}:{shown.port}", "libvirtVncPassword": shown.password, "capabilities": [CONSOLE]}
    data = {"libvirt": {"domain": domain.name(), "uuid": domain.UUIDString()}, "+fields": fields}
    return {"instance": {"+data": data}}


def new_password() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(_PASSWORD))


def _everywhere(domain: Libvirt) -> int:
    """What runs and what is defined; of one without a definition what runs."""
    libvirt = bindings()
    flags: int = libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0
    return flags | (libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0)
