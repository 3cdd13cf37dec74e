"""The driver: what an agent asks of the thing that really runs instances. Owned by the agent side; Docker and the simulator fulfil it.

An agent (process/agent.py) does what is the same for all: messages, duplicates, epochs, order, heartbeats. A driver only does the work.
Every command may come twice, and again after a crash in its middle: activating what runs and stopping or removing what is absent succeed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from agents.live import Question
from agents.wire import Message

Json = dict[str, Any]

Report = Callable[[str, int | None], None]
"""Tells of progress: a message for the user, and percent where they are known. Callable from any thread; gathered to one a second."""

RUNNING, STOPPED = "running", "stopped"

IMAGE_COMMANDS = ("storage.image.activate", "storage.image.deactivate", "storage.image.remove")
VOLUME_VERBS = ("activate", "deactivate", "remove")
VOLUME_COMMANDS = tuple(f"storage.volume.{verb}" for verb in VOLUME_VERBS)
INSTANCE_COMMANDS = (
    "compute.instance.activate", "compute.instance.deactivate", "compute.instance.remove", "compute.instance.migrate",
    "compute.instance.snapshot", "compute.instance.revert", "compute.instance.resize",
)  # fmt: skip
"""All but the first two are Corral's own, which Cattle's agents never hear; `compute.instance.remove` removes what was left of one."""


class DriverError(Exception):
    """It can't be done: the text is for the user; `internal` adds what a person who debugs wants to see."""

    def __init__(self, message: str, internal: str | None = None) -> None:
        super().__init__(message)
        self.internal = internal


class UnknownCommand(DriverError):
    """The driver doesn't know the command."""

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(f"agents of kind {kind} do not know the command {name!r}")


class LiveRefused(DriverError):
    """A live query can't be answered: `code` is one of those in agents.live."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Driver(Protocol):
    """What every driver can do."""

    @property
    def kind(self) -> str:
        """docker, libvirt, sim: the kind of its hosts and pools."""

    async def open(self, folder: Path) -> None:
        """Gets ready; the engine may be away. `folder` is the agent's, kept over restarts: the driver may keep files of its own there."""

    async def close(self) -> None: ...

    async def carry_out(self, request: Message, report: Report) -> Json:
        """Does what the command says and returns the reply's data. Raises DriverError. Any command but ping."""

    async def instances(self) -> dict[str, str]:
        """uuid -> "running" or "stopped" of all it holds. Raises DriverError when that can't be known."""

    async def resources(self, ping: Json) -> list[Json]:
        """The physicalHost, host and storagePool elements for the answer to a ping with this data. Raises DriverError."""


@runtime_checkable
class RemembersEpochs(Protocol):
    """An ability of drivers whose instances carry the epoch of their making themselves, so that a lost ledger is made good."""

    async def epochs(self) -> Mapping[str, int]:
        """uuid -> epoch of the instances it holds. Raises DriverError."""


@dataclass(frozen=True, slots=True)
class Held:
    """An instance that a driver holds, as it tells of itself."""

    state: str
    """RUNNING or STOPPED."""
    epoch: int
    cloud: str | None
    """The uuid of the cloud that had it made; None: it does not say, so that it may be anybody's."""
    kind: str
    """The driver's: of the host that it is on."""


@runtime_checkable
class TellsWhose(Protocol):
    """An ability of drivers whose instances say which cloud's they are: only those may be removed that no command was about."""

    async def held(self) -> Mapping[str, Held]:
        """By uuid. Raises DriverError."""


@runtime_checkable
class AnswersLive(Protocol):
    """An ability of drivers that can be asked what an instance does just now."""

    def live_verbs(self, question: Question) -> frozenset[str]:
        """What it can be asked about this host."""

    def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        """The answer's pieces; {"exit": 0}, of what has an exit status, is the last. It is asked for the next one when the asker has room
        for it, and is closed when nobody asks any more. `given`: what the asker sends meanwhile. Raises LiveRefused and DriverError."""


@runtime_checkable
class AnswersBadly(Protocol):
    """An ability of drivers made for tests: answers get lost or come twice after the work was done."""

    def copies(self, request: Message) -> int:
        """How often the answer is sent: 0 loses it."""


@runtime_checkable
class TakesPartInNetworks(Protocol):
    """An ability of drivers whose instances are on networks that span hosts (agents.network)."""

    @property
    def networks_version(self) -> str | None:
        """Of what was told last; "": nothing yet; None: it takes part in none after all."""

    async def apply_networks(self, data: Json) -> Json:
        """Puts what network.apply says into force, all of it, in place of what it said before. Returns the reply's data. Raises
        DriverError."""


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whom a command is about, read from its data."""

    lane: str | None
    """Commands of one lane are carried out one after the other. A root volume shares the lane of its instance."""
    guarded: tuple[str, ...] = ()
    """The instances, volumes and images in a pool whose epoch the command must not be behind."""
    heeded: tuple[str, ...] = ()
    """Whose epoch it must not be behind either, though its own is not one of theirs."""
    outdates: tuple[str, ...] = ()
    """Commands of before must not come after it that heed one of these. Two that outdate the same are not in each other's way."""


def subjects_of(name: str, data: Mapping[str, Any]) -> Subjects:
    """Raises DriverError, naming the missing key, for a command that tells not whom it is about."""
    if name in INSTANCE_COMMANDS:
        instance = f"instance {uuid_at(data, 'instanceHostMap', 'instance')}"
        return Subjects(instance, (instance,), heeded=(_done("remove", instance),))
    if name in VOLUME_COMMANDS:
        return _of_volume(name.rpartition(".")[2], data)
    if name in IMAGE_COMMANDS:
        image = f"image {uuid_at(data, 'imageStoragePoolMap', 'image')}"
        # An image that left a pool and is back there is not to be removed by a command that was on its way since before.
        return Subjects(image, (f"{image} in {part(data, 'imageStoragePoolMap').get('storagePoolId')}",))
    return Subjects(None)


def _of_volume(verb: str, data: Mapping[str, Any]) -> Subjects:
    """A volume may be tied to a pool, or to several of an agent, by several maps. Each has its own epoch; what another one asks for is
    only in the way where it is something else: of an activation and a removal the newer counts, two activations both have their answer."""
    volume = f"volume {uuid_at(data, 'volumeStoragePoolMap', 'volume')}{_in_pool(data)}"
    mine = f"{volume} by {part(data, 'volumeStoragePoolMap').get('id')}"
    others = tuple(_done(each, volume) for each in VOLUME_VERBS if each != verb)
    owner = instance_of_root_volume(data)
    if owner is None:
        return Subjects(volume, (mine,), others, (_done(verb, volume),))
    instance = f"instance {owner}"
    if verb != "remove":
        return Subjects(instance, (mine,), others, (_done(verb, volume),))
    # Removing a root volume ends what the instance has here: no older activation may bring it back, none newer may be undone.
    return Subjects(instance, (mine,), (*others, instance), (_done(verb, volume), _done(verb, instance)))


def _done(verb: str, subject: str) -> str:
    return f"{verb} of {subject}"


def _in_pool(data: Mapping[str, Any]) -> str:
    """A volume is another thing in each of its pools: a command for one must not count as one for the other."""
    pool = part(data, "volumeStoragePoolMap").get("storagePool")
    return f" in {pool['uuid']}" if isinstance(pool, Mapping) and pool.get("uuid") else ""


def part(data: Mapping[str, Any], *path: str) -> Json:
    """The object at a path of the data. Raises DriverError that names the path where there is none."""
    here: Any = data
    for depth, key in enumerate(path):
        here = here.get(key) if isinstance(here, Mapping) else None
        if not isinstance(here, Mapping):
            raise DriverError(f"the command's data has no object at data.{'.'.join(path[: depth + 1])}")
    return dict(here)


def uuid_at(data: Mapping[str, Any], *path: str) -> str:
    value = part(data, *path).get("uuid")
    if not isinstance(value, str) or not value:
        raise DriverError(f"the command's data has no text at data.{'.'.join(path)}.uuid")
    return value


def instance_of_root_volume(data: Mapping[str, Any]) -> str | None:
    """The uuid of the instance whose root volume (deviceNumber 0) a storage.volume command is about."""
    volume = part(data, "volumeStoragePoolMap", "volume")
    instance = volume.get("instance")
    if volume.get("deviceNumber") != 0 or not isinstance(instance, Mapping):
        return None
    uuid = instance.get("uuid")
    return uuid if isinstance(uuid, str) and uuid else None
