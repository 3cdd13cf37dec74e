"""What a container is to be: from an instance of a command to the body of Docker's create request, and its reply. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from agents.docker.fields import body_of, pairs, text, words
from agents.docker.links import environment, targets
from agents.docker.ports import bindings, exposed, parse_port, published, wanted_ports
from agents.docker.raw import raw_of, under
from agents.driver import DriverError, Json
from agents.instances import fields_of

UUID_LABEL = "corral.instance.uuid"
EPOCH_LABEL = "corral.instance.epoch"
NAME_LABEL = "corral.instance.name"
CLOUD_LABEL = "corral.cloud"
"""Whose it is. Containers of before there was this label are nobody's, and left alone."""

_NO_NAME = re.compile(r"[^a-zA-Z0-9_.-]+")


def create_body(
    instance: Mapping[str, object], epoch: int, image: str, linked: Mapping[str, str] | None = None, volumes_from: Sequence[str] = (),
    cloud: str | None = None,
) -> Json:
    """The body of POST /containers/create. Raises DriverError that names the field which can't be understood.

    `linked`: link name -> the container that it leads to. `volumes_from`: containers whose volumes it shares. `cloud`: whose it is.
    The memoryMb column is not a limit: every instance has it, 256 by default. The field `memory` is, in bytes.
    """
    fields = fields_of(instance)
    ports = wanted_ports(_rows(instance.get("ports")), words(fields, "ports"))
    binds, volumes = _volumes([*words(fields, "dockerVolumes"), *words(fields, "dataVolumes")])
    variables = {**environment(_rows(instance.get("instanceLinks"))), **pairs(fields, "environment")}
    body = under(body_of(fields), _said({
        "Cmd": _command(fields),
        "Env": [f"{name}={value}" for name, value in variables.items()],
        "Hostname": text(instance, "hostname"),
        "Domainname": text(instance, "domain"),
        "ExposedPorts": exposed([*ports, *map(parse_port, words(fields, "expose"))]),
        "Volumes": volumes,
        "HostConfig": _said({
            "Binds": binds,
            "PortBindings": bindings(ports),
            "VolumesFrom": list(volumes_from),
            "Links": [f"{container}:{name}" for name, container in (linked or {}).items()],
        }),
    }))  # fmt: skip
    body["Image"] = image
    body["Labels"] = {
        **body.get("Labels", {}),
        UUID_LABEL: str(instance["uuid"]),
        EPOCH_LABEL: str(epoch),
        NAME_LABEL: str(instance.get("name") or ""),
        **({CLOUD_LABEL: cloud} if cloud else {}),
    }
    return {"HostConfig": {}, **under(raw_of(instance, networked=bool(_rows(instance.get("nics")))), _said(body))}


def linked_instances(instance: Mapping[str, object]) -> dict[str, str]:
    """Link name -> the uuid of the instance whose container it leads to."""
    return targets(_rows(instance.get("instanceLinks")))


def shared_instances(instance: Mapping[str, object]) -> list[str]:
    """Whose volumes it shares: uuids of instances, or names or ids of containers of its engine."""
    return words(fields_of(instance), "dataVolumesFrom")


def names_for(instance: Mapping[str, object]) -> list[str]:
    """Names for the container, the nicest first; the last can't be taken by another instance."""
    uuid = str(instance["uuid"])
    safe = _NO_NAME.sub("-", str(instance.get("name") or "")).strip("-._")[:100]
    if len(safe) < 2:  # Docker's least
        safe = f"instance-{safe}".rstrip("-")
        return [f"{safe}-{uuid[:8]}", f"{safe}-{_NO_NAME.sub('-', uuid)}"]
    return [safe, f"{safe}-{uuid[:8]}", f"{safe}-{_NO_NAME.sub('-', uuid)}"]


def image_of(instance: Mapping[str, object]) -> str:
    """What Docker calls the instance's image."""
    image = instance.get("image")
    name = image_name(image) if isinstance(image, Mapping) else None
    uuid = fields_of(instance).get("imageUuid")
    if name is None and isinstance(uuid, str):
        name = uuid.removeprefix("docker:")
    if not name:
        raise DriverError(f"instance {instance.get('uuid')} has no Docker image: its imageUuid must be of the form docker:<name>")
    return name


def image_name(image: Mapping[str, object]) -> str | None:
    """From an image's row: what the engine said at its activation, or its uuid docker:<name>."""
    data = image.get("data")
    known = data.get("dockerImage") if isinstance(data, Mapping) else None
    if isinstance(known, Mapping) and known.get("fullName"):
        return str(known["fullName"])
    uuid = str(image.get("uuid") or "")
    return uuid.removeprefix("docker:") if uuid.startswith("docker:") else None


def running_reply(listed: Json | None, inspected: Json, host_ip: str) -> Json:
    fields = {"dockerHostIp": host_ip, "dockerIp": address_of(inspected), "dockerPorts": published(inspected)}
    return {"instance": {"+data": {"dockerContainer": listed, "dockerInspect": inspected, "+fields": fields}}}


def stopped_reply(listed: Json | None, inspected: Json | None) -> Json:
    """A container that is gone has nothing to tell but that it publishes no port."""
    told = {"dockerContainer": listed, "dockerInspect": inspected} if inspected is not None else {}
    return {"instance": {"+data": {**told, "+fields": {"dockerPorts": {}}}}}


def address_of(inspected: Mapping[str, object]) -> str:
    """Of the default network, else of the first one; empty for a container on the host's network."""
    settings = inspected.get("NetworkSettings")
    if not isinstance(settings, Mapping):
        return ""
    networks = settings.get("Networks")
    others = [each.get("IPAddress") for each in networks.values()] if isinstance(networks, Mapping) else []
    return next((str(each) for each in (settings.get("IPAddress"), *others) if each), "")


def _command(fields: Json) -> list[str] | None:
    """A command alone is split as a shell would; with arguments it is the program and they are its arguments."""
    command, arguments = text(fields, "command"), words(fields, "commandArgs")
    if arguments:
        return [*([command] if command else []), *arguments]
    if command is None:
        return None
    try:
        return shlex.split(command)
    except ValueError as error:
        hint = "give the words after the first as commandArgs"
        raise DriverError(f"command {command!r} can't be split into words ({error}): {hint}") from None


def _volumes(given: Sequence[str]) -> tuple[list[str], Json]:
    """host:container[:mode] are binds, a bare path is a volume of the container's own."""
    binds: list[str] = []
    volumes: Json = {}
    for each in given:
        parts = each.split(":")
        if len(parts) > 3 or not parts[-1 if len(parts) < 3 else 1].startswith("/"):
            raise DriverError(f"volume {each!r} is not of the form /on/host:/in/container[:ro], or /in/container")
        if len(parts) == 1:
            volumes[each] = {}
        else:
            binds.append(each)
    return binds, volumes


def _said(body: Json) -> Json:
    """Without what says nothing: false, empty, null."""
    return {key: value for key, value in body.items() if value}


def _rows(value: object) -> list[Json]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
