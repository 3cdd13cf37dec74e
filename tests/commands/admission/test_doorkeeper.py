"""A real NATS lets in whom the rows name, holds them to what is theirs, and loses whoever is taken back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from agents.joining.access import Access
from agents.process.connection import connect, disconnect
from commands.admission.doorkeeper import LOOK, Doorkeeper
from commands.admission.keys import NatsKeys, public
from commands.turns.fleet import Fleet
from deploy.embedded import EmbeddedNats, hold
from deploy.nats import Nats, access_config
from eventstore.memory import MemoryStore
from tests.commands.admission.rows import an_agent, changed, new_seed, row
from tests.support.waiting import happens

KEYS = NatsKeys(b"n" * 32)
SEVEN, EIGHT = new_seed(), new_seed()


@dataclass
class Guarded:
    """A NATS that asks, the rows that it is answered by, and the doorkeepers that answer."""

    server: EmbeddedNats
    fleet: Fleet
    doors: list[Doorkeeper] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    coming: Callable[[], None] = lambda: None
    """What the rest of the log brings."""

    @property
    def nats(self) -> Nats:
        return Nats(self.server.url, KEYS)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[Doorkeeper]:
        door = Doorkeeper(self.server.url, KEYS, MemoryStore(), lambda: self.fleet, self._see, self.nats.options)
        task = asyncio.create_task(door.run())
        await happens(lambda: door.connected)
        try:
            yield door
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=10)

    async def _see(self, position: int) -> None:
        self.coming()

    async def client(self, seed: str) -> Client:
        async def on_error(error: Exception) -> None:
            self.refusals.append(str(error))

        client = Client()
        self.clients.append(client)
        await client.connect(self.server.url, nkeys_seed_str=seed, error_cb=on_error, allow_reconnect=False, connect_timeout=5)
        return client

    async def corral(self) -> Client:
        """One of its own processes."""
        return await self.client(KEYS.server)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    with hold(tmp_path / "home") as home:
        async with EmbeddedNats(home, preferred=0, access=access_config(KEYS)) as server:
            fleet = Fleet.of([*an_agent(7, public(SEVEN)), *an_agent(8, public(EIGHT)), row("account", 1, kind="admin")])
            guarded = Guarded(server, fleet)
            yield guarded
            for client in guarded.clients:
                await disconnect(client)


@pytest.fixture
async def door(guarded: Guarded) -> AsyncIterator[Doorkeeper]:
    async with guarded.answering() as door:
        yield door


async def refused(guarded: Guarded, seed: str | None) -> None:
    client = Client()
    try:
        with pytest.raises(Error, match="Authorization Violation"):
            await client.connect(guarded.server.url, nkeys_seed_str=seed, allow_reconnect=False, connect_timeout=10, error_cb=_quiet)
    finally:
        await disconnect(client)


async def _quiet(error: Exception) -> None: ...


async def test_an_agent_hears_and_says_what_is_its_own_alone(guarded: Guarded, door: Doorkeeper) -> None:
    agent, corral = await guarded.client(SEVEN), await guarded.corral()
    by_agent: list[str] = []
    by_corral: list[str] = []
    for client, heard in ((agent, by_agent), (corral, by_corral)):

        async def note(message: Msg, heard: list[str] = heard) -> None:
            heard.append(message.subject)

        subjects = (
            ["corral.agent.a7.>", "corral.agent.a8.>", "corral.agent.*.ping", "corral.handler.>", "corral.event.>", "corral.>", ">",
             "_INBOX.>", "$SYS.REQ.USER.AUTH", "corral.presence.*", "corral.reply.>"]
            if client is agent else ["corral.reply.>", "corral.presence.*", "corral.agent.>", "corral.event.>", "corral.instance.>"]
        )  # fmt: skip
        for subject in subjects:
            await client.subscribe(subject, cb=note)
        await client.flush()
    for subject in ("corral.agent.a7.ping", "corral.agent.a8.ping", "corral.event.instance.1.created", "corral.handler.demo.x", "_INBOX.x"):
        await corral.publish(subject, b"")
    await corral.flush()
    mine = ["corral.reply.3.a7.1", "corral.reply.live.a7.1", "corral.presence.a7"]
    others = ["corral.reply.3.a8.1", "corral.reply.3.handler-demo.1", "corral.presence.a8", "corral.agent.a8.ping", "corral.agent.a7.ping",
              "corral.event.instance.1.created", "corral.instance.1i1.stop", "$SYS.REQ.USER.AUTH"]  # fmt: skip
    await happens(lambda: len(by_corral) == 3 and by_agent)  # what is flushed has come, and is still to be taken in
    by_corral.clear()
    for subject in (*others, *mine):
        await agent.publish(subject, b"")
    await agent.flush()
    await happens(lambda: len(by_corral) >= len(mine))
    assert by_corral == mine
    assert by_agent == ["corral.agent.a7.ping"]
    await happens(lambda: sum("permissions violation" in each for each in guarded.refusals) == 10 + len(others))


async def test_who_has_no_key_or_one_that_nobody_knows_is_not_let_in(guarded: Guarded, door: Doorkeeper) -> None:
    await refused(guarded, None)
    await refused(guarded, new_seed())
    assert door.counted.refused >= 2


async def test_a_key_that_was_registered_at_another_server_a_moment_ago_is_looked_for_to_the_end_of_the_log(
    guarded: Guarded, door: Doorkeeper
) -> None:
    fresh = new_seed()
    guarded.coming = lambda: changed(guarded.fleet, "agent", 7, data={"natsKey": public(fresh)})
    assert (await guarded.client(fresh)).is_connected


async def test_nobody_takes_the_key_of_the_homes_owner_by_registering_it(guarded: Guarded, door: Doorkeeper) -> None:
    changed(guarded.fleet, "agent", 7, data={"natsKey": public(KEYS.watcher)})
    owner, heard = await guarded.client(KEYS.watcher), asyncio.Event()

    async def note(message: Msg) -> None:
        heard.set()

    await owner.subscribe("corral.>", cb=note)
    await owner.flush()
    await (await guarded.corral()).publish("corral.event.instance.1.created", b"")
    await happens(heard.is_set)


async def test_what_is_taken_back_is_cut_off_and_stays_out_also_after_nats_was_started_anew(guarded: Guarded, door: Doorkeeper) -> None:
    seven, eight = await guarded.client(SEVEN), await guarded.client(EIGHT)
    changed(guarded.fleet, "credential", 1007, state="inactive")
    await happens(lambda: not seven.is_connected)
    assert eight.is_connected
    await refused(guarded, SEVEN)

    await guarded.server.stop()
    await guarded.server.start()
    await happens(lambda: door.connected)
    await refused(guarded, SEVEN)
    assert (await guarded.client(EIGHT)).is_connected
    changed(guarded.fleet, "credential", 1007, state="active")
    assert (await guarded.client(SEVEN)).is_connected


async def test_what_is_taken_back_is_cut_off_also_if_somebody_comes_in_the_same_moment(guarded: Guarded, door: Doorkeeper) -> None:
    seven = await guarded.client(SEVEN)
    await asyncio.sleep(2 * LOOK)
    changed(guarded.fleet, "credential", 1007, state="inactive")
    assert (await guarded.client(EIGHT)).is_connected
    await refused(guarded, SEVEN)
    await happens(lambda: not seven.is_connected)


async def test_the_key_before_is_cut_off_with_the_next_one(guarded: Guarded, door: Doorkeeper) -> None:
    before, after = await guarded.client(SEVEN), new_seed()
    changed(guarded.fleet, "agent", 7, data={"natsKey": public(after)})
    await happens(lambda: not before.is_connected)
    assert (await guarded.client(after)).is_connected
    await refused(guarded, SEVEN)


async def test_what_was_taken_back_while_no_engine_was_at_work_is_cut_off_by_the_next(guarded: Guarded) -> None:
    async with guarded.answering():
        seven, eight = await guarded.client(SEVEN), await guarded.client(EIGHT)
    changed(guarded.fleet, "agent", 7, state="inactive")
    assert seven.is_connected
    async with guarded.answering():
        await happens(lambda: not seven.is_connected)
    assert eight.is_connected


async def test_of_several_engines_one_answers_each_and_any_goes_on_alone(guarded: Guarded) -> None:
    async with guarded.answering() as first:
        async with guarded.answering() as second:
            clients = [await guarded.client(SEVEN) for _ in range(20)]
            assert first.counted.admitted + second.counted.admitted == len(clients)
            assert first.counted.admitted < len(clients)
        assert (await guarded.client(EIGHT)).is_connected


async def test_a_list_of_connections_that_is_longer_than_a_page_is_read_to_its_end(
    guarded: Guarded, door: Doorkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.admission.doorkeeper.PAGE", 2)
    mine = [await guarded.client(SEVEN) for _ in range(7)]
    changed(guarded.fleet, "agent", 7, state="inactive")
    await happens(lambda: not any(each.is_connected for each in mine))


@contextmanager
def said() -> Iterator[list[str]]:
    with structlog.testing.capture_logs() as logs:
        actions: list[str] = []
        yield actions
        actions += [str(each.get("action")) for each in logs]


async def test_an_agent_waits_for_an_engine_and_says_so_once(guarded: Guarded) -> None:
    asked = asyncio.Event()

    async def register() -> None:
        asked.set()

    with said() as actions:
        connecting = asyncio.create_task(connect(guarded.server.url, "agent", access=Access(SEVEN, register=register)))
        await happens(asked.is_set)  # NATS lets each try wait
        assert not connecting.done()
        async with guarded.answering():
            client = await asyncio.wait_for(connecting, 20)
            guarded.clients.append(client)
    assert actions.count("nats-refused") == 1
    assert actions.count("nats-let-in") == 1


async def test_hundreds_that_come_at_once_are_let_in(guarded: Guarded, door: Doorkeeper) -> None:
    seeds = [new_seed() for _ in range(300)]
    guarded.fleet = Fleet.of([each for number, seed in enumerate(seeds, 1) for each in an_agent(number, public(seed))])
    clients = await asyncio.gather(*(connect(guarded.server.url, "agent", access=Access(seed)) for seed in seeds))
    guarded.clients += clients
    assert all(each.is_connected for each in clients)


WITHOUT_PACKAGE = """
import asyncio, sys
sys.modules["nkeys"] = sys.modules["nacl"] = None
from agents.joining.access import Access
from agents.process.connection import connect, disconnect


async def main():
    client = await connect(sys.argv[1], "agent", access=Access(sys.argv[2]))
    await client.subscribe("corral.agent.a7.>")
    await client.flush()
    print("hears")
    await disconnect(client)

asyncio.run(main())
"""


async def test_an_agent_that_has_only_python_is_let_in(guarded: Guarded, door: Doorkeeper) -> None:
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WITHOUT_PACKAGE, guarded.server.url, SEVEN, cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(agent.communicate(), 40)
    assert said == b"hears\n"
    assert door.counted.admitted == 1
