"""The simulated driver: hosts that exist on paper alone. Cattle's simulator as a user sees it, and knobs that make it misbehave for tests.

Its boxes are kept in a file beside the ledger, with a count of how often each was created: what a real engine would show after a crash.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from agents.driver import (
    IMAGE_COMMANDS,
    RUNNING,
    STOPPED,
    VOLUME_COMMANDS,
    DriverError,
    Held,
    Json,
    LiveRefused,
    Report,
    instance_of_root_volume,
    part,
    uuid_at,
)
from agents.jsons import dumps
from agents.live import NOT_RUNNING, NOT_THERE, Question
from agents.process.configuration import Configuration
from agents.wire import Message

SETTINGS_KEY = "io.cattle.platform.agent.connection.simulator.AgentConnectionSimulator"
"""Where an agent's data holds how many hosts and pools it is to report."""

LIVE_SECONDS = 1.0
"""Between two lines of a log, or two samples, that are followed."""

_AGENT = re.compile(r"(?:1a|agent )?([0-9]+)")

_FORGET_AT_ONCE = "simForgetImmediately"
_FORGET_LATER = re.compile(r'simShutdownAfter","(\d+)')

_SCHEMA = """
create table if not exists boxes (
    owner text not null, uuid text not null, state text not null, epoch integer not null,
    created integer not null default 0, forgotten_at real, cloud text,
    primary key (owner, uuid)
) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Knobs:
    """How it misbehaves. Maps are by command name; counts are of this process's life."""

    delay: Mapping[str, float] = field(default_factory=dict)
    """Seconds before the work is done."""
    linger: Mapping[str, float] = field(default_factory=dict)
    """Seconds after the work is done, before it is told: the place to kill it."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """The first so many fail."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """The first so many are done and recorded, and the answer is lost."""
    copies: Mapping[str, int] = field(default_factory=dict)
    """Answers come so often."""
    forgets: bool = False
    """It reports none of the instances that it runs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What it reports when it is asked for its resources."""

    physical_host: bool = True
    hosts: int = 1
    pools_per_host: int = 1


@dataclass(frozen=True, slots=True)
class Box:
    """A simulated instance."""

    uuid: str
    state: str
    """running, stopped or removed."""
    epoch: int
    created: int
    """How often it was made from nothing: 1, unless it was removed in between or something went wrong."""


class SimulatedDriver:
    """`uuid` is the agent's; `data` is the agent row's data (a ping may bring a newer one). `folder`: if not the agent's.

    `boxes`: where the boxes are kept, for many that share one file; `owner` tells whose are whose. A `delegated` one lives in an instance,
    and has no hosts. `name`: what people call its hosts.
    """

    kind = "sim"

    def __init__(
        self, uuid: str, folder: Path | None = None, *, data: Json | None = None, knobs: Knobs | None = None, owner: str = "",
        delegated: bool = False, configuration: Configuration | None = None, boxes: sqlite3.Connection | None = None,
        name: str | None = None,
    ) -> None:
        self._uuid, self._folder, self._owner, self._delegated, self._name = uuid, folder, owner, delegated, name
        self._data: Json = data or {}
        self._knobs = knobs or Knobs()
        self._configuration = configuration
        self._seen: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._shared, self._database = boxes, boxes

    async def open(self, folder: Path) -> None:
        self._folder = self._folder or folder
        self._database = self._shared or open_boxes(self._folder)

    async def close(self) -> None:
        if self._database is not None and self._shared is None:
            self._database.close()
        self._database = None

    async def carry_out(self, request: Message, report: Report) -> Json:
        name = request.name
        self._seen[name] += 1
        await asyncio.sleep(self._knobs.delay.get(name, 0))
        if self._seen[name] <= self._knobs.failures.get(name, 0):
            raise DriverError(f"Failing [{name}]", "a knob says so")
        text = _text(request)
        if f"{name}::fail" in text:
            raise DriverError(f"Failing [{name}]")
        answer = await self._do(request, text, report)
        await asyncio.sleep(self._knobs.linger.get(name, 0))
        return answer

    async def instances(self) -> dict[str, str]:
        return {uuid: each.state for uuid, each in (await self.held()).items()}

    async def held(self) -> Mapping[str, Held]:
        if self._knobs.forgets or self._delegated:
            return {}
        rows = self._open().execute(
            "select uuid, epoch, cloud from boxes where owner = ? and state = ? and (forgotten_at is null or forgotten_at > ?)",
            (self._owner, RUNNING, time.time()),
        )
        return {uuid: Held(RUNNING, epoch, cloud, self.kind) for uuid, epoch, cloud in rows}

    async def resources(self, ping: Json) -> list[Json]:
        """Pools, hosts, physical host: what depends on another comes before it, as Cattle's simulator does on purpose."""
        agent = ping.get("agent")
        if isinstance(agent, Mapping) and isinstance(agent.get("data"), Mapping):
            self._data = dict(agent["data"])
        if "ping::fail" in dumps(ping).decode():
            raise DriverError("Failing [ping]")
        if self._delegated:
            return []
        shape = shape_of(self._data)
        physical = {"physicalHostUuid": f"{self._uuid}-physical-host"} if shape.physical_host else {}
        hosts = [f"{self._uuid}-{number}" for number in range(shape.hosts)]
        pools = [(host, f"{host}-{number}") for host in hosts for number in range(shape.pools_per_host)]
        return [
            *({"type": "storagePool", "kind": "sim", "uuid": pool, "name": None, "hostUuid": host} for host, pool in pools),
            *({"type": "host", "kind": "sim", "uuid": host, "name": self._name, **physical} for host in hosts),
            *({"type": "physicalHost", "kind": "sim", "uuid": uuid, "name": None} for uuid in physical.values()),
        ]

    def live_verbs(self, question: Question) -> frozenset[str]:
        return frozenset({"logs", "inspect", "stats"})

    async def live(self, question: Question, given: AsyncIterator[Json]) -> AsyncGenerator[Json, None]:
        """What it knows of a box. Its log says once a second, while it is followed, that the box is still what it was."""
        box = self._box_of(question)
        known: Json = {"uuid": box.uuid, "state": box.state, "epoch": box.epoch, "created": box.created}
        follow = bool(question.options.get("follow"))
        if question.verb == "stats" and box.state != RUNNING:
            raise LiveRefused(NOT_RUNNING, f"the simulated instance {box.uuid} is {box.state}: stats is for what runs. Start it first")
        if question.verb == "inspect":
            yield known
            return
        line = f"simulated instance {box.uuid} is {box.state}, made {box.created} times"
        while box.state == RUNNING or question.verb == "logs":
            now = datetime.now(UTC).isoformat()
            if question.verb == "logs":
                yield {"lines": [{"stream": "stdout", "time": now, "text": line}]}
            else:
                yield {"time": now, "cpuPercent": 0.0, "memoryBytes": 0, "processes": 1}
            if not follow or box.state != RUNNING:
                return
            await asyncio.sleep(LIVE_SECONDS)
            box = self._box_of(question)
            line = f"simulated instance {box.uuid} is {'still ' if box.state == RUNNING else ''}{box.state}"

    def _box_of(self, question: Question) -> Box:
        """Also of the agents in instances that it speaks for."""
        uuid = str(question.instance.get("uuid"))
        row = self._open().execute("select uuid, state, epoch, created from boxes where uuid = ?", (uuid,)).fetchone()
        if row is None or row[1] == "removed":
            raise LiveRefused(NOT_THERE, f"there is no simulated instance {uuid} here: it was never started, or is gone")
        return Box(*row)

    def copies(self, request: Message) -> int:
        """An ability for tests: lost and repeated answers."""
        self._told[request.name] += 1
        if self._told[request.name] <= self._knobs.lost.get(request.name, 0):
            return 0
        return self._knobs.copies.get(request.name, 1)

    def forget(self, uuid: str, seconds: float) -> None:
        """So many seconds from now what runs is not seen running any more."""
        self._open().execute("update boxes set forgotten_at = ? where owner = ? and uuid = ?", (time.time() + seconds, self._owner, uuid))

    def boxes(self) -> dict[str, Box]:
        """All that ever was, removed ones too; for tests, and for whoever wonders what it did."""
        rows = self._open().execute("select uuid, state, epoch, created from boxes where owner = ?", (self._owner,))
        return {row[0]: Box(*row) for row in rows}

    async def _do(self, request: Message, text: str, report: Report) -> Json:
        data = request.data
        match request.name:
            case "compute.instance.activate":
                self._activate(uuid_at(data, "instanceHostMap", "instance"), request, text)
            case "compute.instance.deactivate":
                self._set_state(uuid_at(data, "instanceHostMap", "instance"), STOPPED)
            case "compute.instance.remove":
                self._set_state(uuid_at(data, "instanceHostMap", "instance"), "removed")
            case "storage.volume.remove":
                owner = instance_of_root_volume(data)
                if owner is not None:
                    self._set_state(owner, "removed")
            case "console.access":
                return {"kind": "fake", "url": "http://localhost/console"}
            case "delegate.request":
                return await self._delegate(data, report)
            case "config.update":
                await self._configure(request)
            case name if name in IMAGE_COMMANDS or name in VOLUME_COMMANDS:
                pass
            case _:
                pass  # "Answers every event at once with an empty success"
        return {}

    async def _configure(self, request: Message) -> None:
        """It really fetches its configuration, and applies nothing."""
        number = _AGENT.fullmatch(self._owner or str(request.resourceId or ""))
        if self._configuration is None or number is None:
            raise DriverError("this simulated agent has nothing to fetch its configuration with: register it with managedConfig false")
        await self._configuration.update(int(number[1]), request.data)

    def _activate(self, uuid: str, request: Message, text: str) -> None:
        later = _FORGET_LATER.search(text)
        if _FORGET_AT_ONCE in text:
            forgotten_at: float | None = 0.0
        else:
            forgotten_at = time.time() + int(later[1]) if later else None
        # One statement, so that a kill leaves all of it or nothing. A box that runs is left as it is.
        self._open().execute(
            "insert into boxes (owner, uuid, state, epoch, created, forgotten_at, cloud) values (?, ?, ?, ?, 1, ?, ?)"
            " on conflict (owner, uuid) do update set state = excluded.state, forgotten_at = excluded.forgotten_at,"
            " created = created + (state = 'removed'), epoch = case state when 'removed' then excluded.epoch else epoch end,"
            " cloud = case state when 'removed' then excluded.cloud else cloud end"
            " where state <> excluded.state",
            (self._owner, uuid, RUNNING, request.epoch, forgotten_at, request.cloud),
        )

    def _set_state(self, uuid: str, state: str) -> None:
        self._open().execute(
            "update boxes set state = ? where owner = ? and uuid = ? and state <> 'removed'", (state, self._owner, uuid)
        )

    async def _delegate(self, data: Json, report: Report) -> Json:
        """A command for an agent that lives in an instance: a simulator of its own, whose reply is this one's data."""
        inner = Message.read(part(data, "event"))
        agent = part(data, "instanceData").get("agentId")
        if inner.name == "ping":
            options = inner.data.get("options")
            return inner.reply({"resources": [], **({"options": options} if options is not None else {})}).document()
        if self._folder is None:
            raise DriverError("the simulator is closed")
        knobs = replace(self._knobs, lost={})
        nested = SimulatedDriver(
            self._uuid, knobs=knobs, owner=f"agent {agent}", delegated=True, configuration=self._configuration, boxes=self._shared
        )
        await nested.open(self._folder)
        try:
            return inner.reply(await nested.carry_out(inner, report)).document()
        except DriverError as error:
            return inner.reply(transitioning="error", message=str(error), internal=error.internal).document()
        finally:
            await nested.close()

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise DriverError("the simulator is closed")
        return self._database


def open_boxes(folder: Path) -> sqlite3.Connection:
    """The file of boxes in a folder."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "simulated.db"
    database = sqlite3.connect(path, isolation_level=None, timeout=5)
    os.chmod(path, 0o600)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = off")  # it outlives a killed process, as an engine does; a lost machine may lose paper
    database.executescript(_SCHEMA)
    if "cloud" not in {row[1] for row in database.execute("pragma table_info(boxes)")}:  # a file of before there were clouds
        database.execute("alter table boxes add column cloud text")
    return database


def shape_of(data: Mapping[str, object]) -> Shape:
    """From an agent row's data; what is missing or no number has its default."""
    given = data.get(SETTINGS_KEY)
    if not isinstance(given, Mapping):
        return Shape()
    hosts, pools = given.get("hosts", 1), given.get("storagePoolsPerHost", 1)
    return Shape(
        physical_host=given.get("addPhysicalHost") is not False,
        hosts=hosts if isinstance(hosts, int) and hosts >= 0 else 1,
        pools_per_host=pools if isinstance(pools, int) and pools >= 0 else 1,
    )


def _text(request: Message) -> str:
    return request.encode().decode()
