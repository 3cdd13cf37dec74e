"""The libvirt driver: an instance is a domain whose uuid follows from the instance's, and whose metadata tell its uuid and epoch.

At most one domain an instance, whatever dies when: libvirt itself holds one of a uuid. Its files lie in one folder (disks.py). The domain
of a removed instance goes with its root volume.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from agents.config_drive import write_config_drive
from agents.driver import IMAGE_COMMANDS, VOLUME_COMMANDS, DriverError, Held, Json, Report, UnknownCommand, part, uuid_at
from agents.instances import stop_seconds
from agents.joining.api import own_address
from agents.libvirt import domains, host, live, migration, snapshots, storage
from agents.libvirt.connection import Hypervisor, Libvirt, NoLibvirt, bindings
from agents.libvirt.consoles import Consoles
from agents.libvirt.disks import Disks
from agents.libvirt.machine import Identity, Place, described, domain_xml, on_segments
from agents.libvirt.networks import LibvirtBridges
from agents.live import Question
from agents.network.membership import Attachment, Networks
from agents.patience import PATIENCE, known_host, patiently
from agents.wire import UNDERLAY, Message

STOP_SECONDS = 30
"""A guest has to end its services; an instance's field stopTimeout says another time."""
LOOK = 0.25


@dataclass(frozen=True, slots=True)
class LibvirtOptions:
    """How a host is run."""

    name: str | None = None
    """What people call it; None: the machine's name."""
    storage: Path | None = None
    """The folder of images and volumes; None: one that fits the libvirt."""
    templates: Path | None = None
    """The folder of the user's own templates."""
    host_ip: str | None = None
    """Where others reach this host; None: found out."""
    vnc_listen: str = "127.0.0.1"
    """Where screens are served. What a console leads to comes through the agent, so nobody else need reach it."""
    console_listen: str | None = None
    """Where consoles are served to browsers; None: at `host_ip`."""
    console_port: int = 0
    """0: any free one."""
    migration_uri: str | None = None
    """Where other hosts' libvirts reach this one; None: nothing can be moved here while it runs."""
    virtualization: str | None = None
    """kvm or qemu; None: the best there is."""
    patience: float = PATIENCE


class LibvirtDriver:
    """The folder `images` in the agent's folder holds the files that may be used as images. `networks`: those of another driver of the same
    agent, which keeps them in force: both are on the same bridges."""

    kind = "libvirt"

    def __init__(self, url: str, options: LibvirtOptions = LibvirtOptions(), networks: Networks | None = None) -> None:
        self.hypervisor = Hypervisor(url)
        self._options = options
        self._folder = Path()
        self._host_ip = options.host_ip or own_address()
        self._consoles = Consoles(options.console_listen or self._host_ip, options.console_port, self._open_screen)
        self._disks = Disks(options.storage or Path())
        self._shares_networks = networks is not None
        self._networks = networks or Networks(LibvirtBridges(self.hypervisor), self._host_ip)

    async def open(self, folder: Path) -> None:
        self._folder = folder
        (folder / "images").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._disks = Disks((self._options.storage or storage.usual_storage(self.hypervisor.url, folder)).absolute())
        try:
            await asyncio.to_thread(self._disks.prepare)
        except OSError as error:
            raise DriverError(
                f"the folder of images and volumes {self._disks.folder} can't be made: {error}. Name another: --libvirt-storage"
            ) from error
        if not self._shares_networks:
            await self._networks.open(folder)

    async def close(self) -> None:
        if not self._shares_networks:
            await self._networks.close()
        await self._consoles.close()
        self.hypervisor.close()

    @property
    def networks_version(self) -> str | None:
        return None if self._shares_networks else self._networks.version

    async def apply_networks(self, data: Json) -> Json:
        return await self._networks.apply(data)

    async def carry_out(self, request: Message, report: Report) -> Json:
        attachments: list[Attachment] = []
        if request.name == "compute.instance.activate":
            attachments = await self._networks.prepare(on_segments(part(request.data, "instanceHostMap", "instance")))
        bindings()  # what is not installed is not waited for
        # Everything here can be begun again: what the first try left is found by its uuid.
        return await patiently(lambda: self._carry_out(request, report, attachments), NoLibvirt, report, "libvirt", self._options.patience)

    async def instances(self) -> dict[str, str]:
        return {uuid: each.state for uuid, each in (await self.held()).items()}

    async def epochs(self) -> Mapping[str, int]:
        return {uuid: each.epoch for uuid, each in (await self.held()).items()}

    async def held(self) -> Mapping[str, Held]:
        return await self.hypervisor.look(lambda connection: domains.held(connection, self.kind))

    def live_verbs(self, question: Question) -> frozenset[str]:
        return live.VERBS

    async def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        async with aclosing(live.answer(self.hypervisor, question, self._disks.serial_path(str(question.instance.get("uuid"))))) as pieces:
            async for piece in pieces:
                yield piece

    async def resources(self, ping: Json) -> list[Json]:
        """A libvirt that is away is still the host it was: what is remembered of it is told."""
        known = await known_host(self._folder / "libvirt.json", lambda: self.hypervisor.look(host.described), NoLibvirt)
        own, name = known["uuid"], self._options.name or known["name"]
        told = migration.told(self._options.migration_uri, self._disks.folder, self._options.vnc_listen)
        data = {"libvirt": told, UNDERLAY: self._networks.underlay}
        physical = f"{own}-physical-host"
        return [
            {"type": "physicalHost", "kind": "physicalHost", "uuid": physical, "name": name},
            {"type": "host", "kind": "libvirt", "uuid": own, "name": name, "physicalHostUuid": physical, "data": data},
            {"type": "storagePool", "kind": "libvirt", "uuid": f"{own}-pool", "name": f"{name} virtual disks", "hostUuid": own},
        ]

    async def _carry_out(self, request: Message, report: Report, attachments: Sequence[Attachment]) -> Json:
        data = request.data
        match request.name:
            case "compute.instance.activate":
                instance = part(data, "instanceHostMap", "instance")
                return await self.hypervisor.work(lambda connection: self._activate(connection, instance, request, attachments))
            case "compute.instance.deactivate":
                return await self._deactivate(part(data, "instanceHostMap", "instance"))
            case "compute.instance.remove":
                owner = uuid_at(data, "instanceHostMap", "instance")
                await self.hypervisor.work(lambda connection: domains.remove(connection, owner, self._disks))
                return {}
            case "compute.instance.migrate":
                owner, target = uuid_at(data, "instanceHostMap", "instance"), part(data, "target", "host")
                own = migration.Source(self._disks, self._options.vnc_listen)
                report(f"Moving to {target.get('name') or target.get('uuid')}", None)
                return await self.hypervisor.work(lambda connection: migration.migrate(connection, owner, own, target))
            case "compute.instance.snapshot" | "compute.instance.revert" as command:
                owner, verb = uuid_at(data, "instanceHostMap", "instance"), command.rpartition(".")[2]
                name = str(part(data, verb).get("name") or "")
                what = snapshots.take if verb == "snapshot" else snapshots.revert
                return await self.hypervisor.work(lambda connection: what(connection, owner, name))
            case "compute.instance.resize":
                instance, size = part(data, "instanceHostMap", "instance"), part(data, "resize").get("rootSizeMb")
                if not isinstance(size, int) or isinstance(size, bool):
                    raise DriverError(f"rootSizeMb must be a number of megabytes, not {size!r}")
                return await self.hypervisor.work(lambda connection: snapshots.resize(connection, self._disks, instance, size))
            case "console.access":
                return await self._console(uuid_at(data, "instance"))
            case name if name in IMAGE_COMMANDS or name in VOLUME_COMMANDS:
                images = self._folder / "images"
                return await self.hypervisor.work(lambda connection: storage.carry_out(connection, self._disks, images, request, report))
            case _:
                raise UnknownCommand(request.name, self.kind)

    def _activate(self, connection: Libvirt, instance: Json, request: Message, attachments: Sequence[Attachment]) -> Json:
        owner = str(instance["uuid"])
        identity = Identity(owner, request.epoch, request.cloud)
        found = domains.find(connection, owner)
        if found is not None and found.isActive():
            domains.go_on(found)
            domains.note(found, identity)
            if migration.lacks_config_drive(found):
                write_config_drive(self._disks.seed_path(owner), instance, attachments)
                migration.give_config_drive(found, self._disks.seed_path(owner))
            return domains.running_reply(found, self._host_ip)
        way, arch = host.best_virtualization(connection)
        place = Place(self._options.virtualization or way, arch, self._options.vnc_listen)
        machine = described(instance, self._disks, place, domains.new_password(), {each.address: each.bridge for each in attachments})
        write_config_drive(machine.seed, instance, attachments)
        xml = domain_xml(machine, identity, self._options.templates)
        return domains.running_reply(domains.define_and_start(connection, xml, found), self._host_ip)

    async def _deactivate(self, instance: Json) -> Json:
        """Its power button first; what still runs after the stop time is ended."""
        owner, seconds = str(instance["uuid"]), stop_seconds(instance, STOP_SECONDS)
        deadline = asyncio.get_running_loop().time() + seconds
        if seconds:
            await self._on_running(owner, domains.ask_to_end)
        while await self._on_running(owner, lambda domain: None):
            if asyncio.get_running_loop().time() >= deadline:
                await self._on_running(owner, domains.end)
            else:
                await asyncio.sleep(LOOK)
        return {}

    async def _on_running(self, owner: str, what: Callable[[Libvirt], None]) -> bool:
        """Does it with the instance's domain; False: it does not run."""

        def on_domain(connection: Libvirt) -> bool:
            domain = domains.running(connection, owner)
            if domain is None:
                return False
            try:
                what(domain)
            except bindings().libvirtError:
                if domains.running(connection, owner) is not None:
                    raise
                return False  # it ended in this moment
            return True

        return await self.hypervisor.work(on_domain)

    async def _console(self, owner: str) -> Json:
        def look(connection: Libvirt) -> domains.Screen | None:
            domain = domains.running(connection, owner)
            return domains.screen(domain) if domain is not None else None

        screen = await self.hypervisor.look(look)
        if screen is None:
            raise DriverError("the virtual machine has no screen now: it does not run here, or its template gives it none")
        return await self._consoles.access(owner, screen.password, self._host_ip)

    async def _open_screen(self, owner: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._consoles.connect(await self.hypervisor.look(lambda connection: domains.open_screen(connection, owner)))


async def reach(url: str, options: LibvirtOptions = LibvirtOptions()) -> LibvirtDriver:
    """The driver of the libvirt at `url`. Raises NoLibvirt, saying why, when none answers."""
    driver = LibvirtDriver(url, options)
    try:
        await driver.hypervisor.look(lambda connection: connection.getLibVersion())
    except BaseException:
        await driver.close()
        raise
    return driver
