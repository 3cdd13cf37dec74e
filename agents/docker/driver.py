"""The Docker driver: an instance is a container that carries the instance's uuid and epoch as labels.

At most one container an instance, whatever dies when: containers are found by label, created under a name that the engine gives once,
and started only after a second look. The container of a removed instance goes with its root volume.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound, NotFound

from agents.docker import live
from agents.docker.container import (
    create_body,
    image_name,
    image_of,
    linked_instances,
    names_for,
    running_reply,
    shared_instances,
    stopped_reply,
)
from agents.docker.engine import Engine, NoEngine, outward_address
from agents.docker.finding import Containers, epoch_of, held_in
from agents.docker.host import EngineHost
from agents.docker.http import way_to
from agents.docker.images import activate_image, ensure_image, remove_image
from agents.docker.machines import FOLDER, config_archive, is_machine, machine_body
from agents.docker.networks import DockerBridges, attach_others, attached
from agents.docker.raw import stop_timeout
from agents.docker.tls import EngineTls
from agents.driver import DriverError, Held, Json, Report, UnknownCommand, instance_of_root_volume, part
from agents.instances import STOP_SECONDS, stop_seconds
from agents.live import Question
from agents.network.membership import Attachment, Networks
from agents.patience import PATIENCE, patiently
from agents.wire import Message

REMOVE_SECONDS = 30.0


class DockerDriver:
    """`host_ip`: where published ports are reached, and other hosts reach this one. The folder `images` in the agent's folder holds the
    files that may be imported."""

    kind = "docker"

    def __init__(
        self, url: str, *, name: str | None = None, host_ip: str | None = None, tls: EngineTls | None = None, patience: float = PATIENCE
    ) -> None:
        self.engine = Engine(url, tls)
        self._folder = Path()
        self._host = EngineHost(self.engine, name)
        self._host_ip = host_ip or outward_address(url)
        self.networks = Networks(DockerBridges(self.engine), self._host_ip)
        self._patience = patience
        self._containers = Containers()

    async def open(self, folder: Path) -> None:
        self._folder = folder
        self._host.open(folder)
        (self._folder / "images").mkdir(parents=True, exist_ok=True, mode=0o700)
        await self.networks.open(folder)

    async def close(self) -> None:
        await self.networks.close()
        self.engine.close()

    @property
    def networks_version(self) -> str:
        return self.networks.version

    async def apply_networks(self, data: Json) -> Json:
        return await self.networks.apply(data)

    async def carry_out(self, request: Message, report: Report) -> Json:
        attachments: list[Attachment] = []
        if request.name == "compute.instance.activate":
            attachments = await self.networks.prepare(part(request.data, "instanceHostMap", "instance"))
        # Everything here can be begun again: what the first try left is found by its label.
        return await patiently(
            lambda: self.engine.work(lambda client: self._do(client, request, report, attachments)),
            NoEngine, report, "the Docker engine", self._patience,
        )  # fmt: skip

    async def instances(self) -> dict[str, str]:
        return {owner: each.state for owner, each in (await self.held()).items()}

    async def epochs(self) -> Mapping[str, int]:
        return {owner: each.epoch for owner, each in (await self.held()).items()}

    async def held(self) -> Mapping[str, Held]:
        return held_in(await self.engine.look(self._containers.all), self.kind)

    def live_verbs(self, question: Question) -> frozenset[str]:
        return live.VERBS | live.LISTS.keys()

    async def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        if question.verb in live.LISTS:
            source = live.listing(await way_to(self.engine), question.verb)
        else:
            owner = str(question.instance.get("uuid"))
            found = await self.engine.look(lambda client: self._containers.first(client, owner))
            source = live.answer(await way_to(self.engine), question, found, given, self._host.title)
        async with aclosing(source) as pieces:
            async for piece in pieces:
                yield piece

    async def resources(self, ping: Json) -> list[Json]:
        return await self._host.elements(self.networks.underlay)

    def _do(self, client: docker.APIClient, request: Message, report: Report, attachments: Sequence[Attachment]) -> Json:
        data = request.data
        match request.name:
            case "storage.image.activate":
                return activate_image(client, part(data, "imageStoragePoolMap", "image"), self._folder / "images", report)
            case "storage.image.deactivate":
                return {}
            case "storage.image.remove":
                name = image_name(part(data, "imageStoragePoolMap", "image"))
                if name is not None:  # else it is none of Docker's, and can't be here
                    remove_image(client, name)
                return {}
            case "storage.volume.activate":
                return {"volume": {"format": "docker"}}
            case "storage.volume.deactivate":
                return {}
            case "storage.volume.remove":
                owner = instance_of_root_volume(data)
                if owner is not None:
                    self._remove(client, owner)
                return {}
            case "compute.instance.activate":
                return self._activate(client, part(data, "instanceHostMap", "instance"), request, report, attachments)
            case "compute.instance.deactivate":
                return self._deactivate(client, part(data, "instanceHostMap", "instance"))
            case "compute.instance.remove":
                self._remove(client, str(part(data, "instanceHostMap", "instance")["uuid"]))
                return {}
            case _:
                raise UnknownCommand(request.name, self.kind)

    def _activate(
        self, client: docker.APIClient, instance: Json, request: Message, report: Report, attachments: Sequence[Attachment]
    ) -> Json:
        owner, epoch = str(instance["uuid"]), request.epoch
        found = self._containers.only(client, owner)
        if found is not None and found["State"] == "created" and epoch_of(found) < epoch:
            # An earlier start made it and never came to run it: what is wanted may have changed since.
            client.remove_container(found["Id"], force=True, v=True)
            found = None
        if found is None:
            linked, shared = self._linked(client, instance), self._shared(client, instance)
            body = create_body(instance, epoch, image_of(instance), linked, shared, request.cloud)
            if is_machine(instance):
                body = machine_body(instance, body)
            self._create(client, instance, attached(body, attachments, names_for(instance)[:1]), report)
            found = self._containers.only(client, owner)
            if found is None:
                made = f"the container of {owner} was created on {self._host.title} and is gone"
                raise DriverError(f"{made}: somebody else removes containers there")
        if found["State"] in ("created", "exited"):
            attach_others(client, found["Id"], attachments, names_for(instance)[:1])
            if is_machine(instance):
                client.put_archive(found["Id"], FOLDER, config_archive(instance))
        self._start(client, found)
        inspected: Json = client.inspect_container(found["Id"])
        listed = next((each for each in self._containers.of(client, owner) if each["Id"] == found["Id"]), None)
        return running_reply(listed, inspected, self._host_ip)

    def _linked(self, client: docker.APIClient, instance: Json) -> dict[str, str]:
        """Link name -> container. Docker links only what runs on one engine."""
        result: dict[str, str] = {}
        for name, target in linked_instances(instance).items():
            found = self._containers.only(client, target)
            if found is None:
                raise DriverError(
                    f"link {name} leads to instance {target}, which has no container on {self._host.title}: place both on one host "
                    "(requestedHostId), or use a network with a link service"
                )
            result[name] = found["Id"]
        return result

    def _shared(self, client: docker.APIClient, instance: Json) -> list[str]:
        """The containers whose volumes it shares. Who is no instance here is the engine's to know, by name or id."""
        named = ((each, self._containers.only(client, each)) for each in shared_instances(instance))
        return [found["Id"] if found is not None else each for each, found in named]

    def _create(self, client: docker.APIClient, instance: Json, body: Json, report: Report) -> None:
        """Raises the engine's error. When a name is taken by the instance's own container, that is the one."""
        names = names_for(instance)
        for name in names:
            try:
                self._create_named(client, instance, body, name, report)
                return
            except APIError as error:
                if error.status_code != 409 or "name" not in str(error.explanation).lower():
                    raise
                if self._containers.of(client, str(instance["uuid"])):
                    return
        taken = f"{', '.join(names)} are taken on {self._host.title}"
        raise DriverError(f"no name is free for the container of {instance['uuid']}: {taken}. Give the instance another one")

    def _create_named(self, client: docker.APIClient, instance: Json, body: Json, name: str, report: Report) -> None:
        try:
            client.create_container_from_config(body, name)
        except ImageNotFound:
            # It was there when it was activated; somebody removed it since.
            ensure_image(client, instance.get("image") or {}, body["Image"], self._folder / "images", report)
            client.create_container_from_config(body, name)

    def _start(self, client: docker.APIClient, found: Json) -> None:
        if found["State"] == "paused":
            client.unpause(found["Id"])
        elif found["State"] not in ("running", "restarting"):
            try:
                client.start(found["Id"])
            except APIError:
                if found["State"] == "created":
                    # It never ran and holds nothing: it must not stay behind when the instance is given up.
                    client.remove_container(found["Id"], force=True, v=True)
                raise

    def _deactivate(self, client: docker.APIClient, instance: Json) -> Json:
        seconds = stop_seconds(instance, stop_timeout(instance, STOP_SECONDS))
        owner = str(instance["uuid"])
        inspected: Json | None = None
        for each in self._containers.of(client, owner):
            try:
                if each["State"] == "paused":
                    client.unpause(each["Id"])
                client.stop(each["Id"], timeout=seconds)
                inspected = client.inspect_container(each["Id"])
            except NotFound:
                continue  # it is gone, which is more than was asked for
        return stopped_reply(next(iter(self._containers.of(client, owner)), None), inspected)

    def _remove(self, client: docker.APIClient, owner: str) -> None:
        deadline = time.monotonic() + REMOVE_SECONDS
        while found := self._containers.of(client, owner, also_going=True):
            for each in found:
                try:
                    client.remove_container(each["Id"], force=True, v=True)
                except NotFound:
                    continue
                except APIError as error:
                    if error.status_code != 409:  # its removal is under way already
                        raise
            if time.monotonic() > deadline:
                late = f"{self._host.title} did not remove the container of {owner} within {REMOVE_SECONDS:.0f} seconds"
                raise DriverError(f"{late}: look at its engine's log")
            time.sleep(0.05)
