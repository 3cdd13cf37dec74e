"""Batches that mix winners, losers, bad data and lost connections: each caller is told the truth about its own append."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstore import (
    Appended,
    BadData,
    Claim,
    CommandKey,
    Event,
    KeyReused,
    Lease,
    LostLease,
    Repeated,
    Store,
    Taken,
    Unavailable,
    Work,
    Write,
    WrongVersion,
)
from eventstore.postgres import PostgresStore
from eventstore.rebuild import rebuild_beside
from tests.eventstore.cutting_proxy import Cut, cutting_proxy
from tests.eventstore.patience import append_once_possible

numbers = count()


class Kind(StrEnum):
    """What one caller of a wave does, and so what it must be told."""

    NEXT = "the next version of its own stream"
    SHARED = "one version of the wave's shared stream: one of these wins"
    STALE = "a version that is gone"
    PAIR = "two streams, the second at a version that is gone"
    BAD_FOR_SERVER = "data that only the server finds bad"
    BAD_FOR_CLIENT = "data that the driver finds bad"
    PORT = "a claim that all of these want: one wins"
    COMMAND = "one idempotent command of the wave: carried out once"
    FENCED = "under a lease that nobody has"


class Trouble(StrEnum):
    NONE = "none"
    BEFORE = Cut.BEFORE
    AFTER = Cut.AFTER
    DURING = Cut.DURING
    TWICE = "the answer is lost, and then the answer about that too"
    KILLED = "the server's process for the writer is ended"


@dataclass(frozen=True, slots=True)
class Wave:
    kinds: Sequence[Kind]
    trouble: Trouble


wave = st.builds(Wave, st.lists(st.sampled_from(Kind), min_size=1, max_size=12), st.sampled_from(Trouble))
waves = st.lists(wave, min_size=1, max_size=4)


async def act(store: Store, kind: Kind, wave: str, caller: int) -> Appended:
    mine, event = f"{wave}x{caller}-1", Event("created", {"wave": wave, "caller": caller})
    match kind:
        case Kind.NEXT:
            return await store.append([Write(mine, 0, (event, event))])
        case Kind.SHARED:
            return await store.append([Write(f"{wave}-shared", 0, (event,))])
        case Kind.STALE:
            return await store.append([Write(mine, 7, (event,))])
        case Kind.PAIR:
            return await store.append([Write(mine, 0, (event,)), Write(f"{mine}-gone", 3, (event,))])
        case Kind.BAD_FOR_SERVER:
            return await store.append([Write(mine, 0, (event,))], work=[Work(mine, 2**40)])
        case Kind.BAD_FOR_CLIENT:
            return await store.append([Write(mine, 2**40, (event,))])
        case Kind.PORT:
            return await store.append([Write(mine, 0, (Event("created", event.data, claims=(Claim("port", wave),)),))])
        case Kind.COMMAND:
            return await store.append([Write(mine, 0, (event,))], command=CommandKey("1a1", wave, "hash"))
        case Kind.FENCED:
            return await store.append([Write(mine, 0, (event,))], lease=Lease(f"{wave}-lease", "me", 1))


def check(kinds: Sequence[Kind], told: Sequence[Appended | BaseException]) -> None:
    """Refusals name the true reason; an append that landed is never called a conflict with itself."""
    refusal = {
        Kind.STALE: WrongVersion, Kind.PAIR: WrongVersion, Kind.FENCED: LostLease,
        Kind.BAD_FOR_SERVER: BadData, Kind.BAD_FOR_CLIENT: BadData,
        Kind.SHARED: WrongVersion, Kind.PORT: Taken, Kind.COMMAND: Repeated,
    }  # fmt: skip
    for kind, each in zip(kinds, told, strict=True):
        assert isinstance(each, (Appended, refusal[kind]) if kind in refusal else Appended), (kind, each)
    for kind in (Kind.SHARED, Kind.PORT, Kind.COMMAND):
        of_kind = [each for k, each in zip(kinds, told, strict=True) if k is kind]
        assert sum(isinstance(each, Appended) for each in of_kind) == min(1, len(of_kind)), (kind, of_kind)
    for kind in (Kind.STALE, Kind.PAIR, Kind.FENCED, Kind.BAD_FOR_SERVER, Kind.BAD_FOR_CLIENT):
        assert not any(isinstance(each, Appended) for k, each in zip(kinds, told, strict=True) if k is kind), kind


@pytest.mark.timeout(240)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(planned=waves)
async def test_each_caller_of_a_batch_is_told_its_own_outcome(database: str, planned: list[Wave]) -> None:
    async with cutting_proxy(database) as proxy:
        store = await PostgresStore.open(proxy.dsn, connections=1)
        control = await asyncpg.connect(database)
        try:
            await store.append([])  # so that the writer is connected, and a cut meets a batch
            for wave in planned:
                name = f"w{next(numbers)}"
                before = await store.head()
                match wave.trouble:
                    case Trouble.BEFORE | Trouble.AFTER | Trouble.DURING:
                        proxy.cuts.append(Cut(wave.trouble.value))
                    case Trouble.TWICE:
                        proxy.cuts.extend([Cut.AFTER, Cut.AFTER])
                    case Trouble.NONE | Trouble.KILLED:
                        pass
                async with asyncio.timeout(20):
                    callers = asyncio.gather(*(act(store, kind, name, n) for n, kind in enumerate(wave.kinds)), return_exceptions=True)
                    if wave.trouble is Trouble.KILLED:
                        await asyncio.sleep(0.001)
                        await control.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%log.append%'"
                        )
                    told = await callers
                proxy.cuts.clear()
                check(wave.kinds, told)
                events = await store.read_all(before)
                assert [e.position for e in events] == list(range(before + 1, before + 1 + len(events)))
                landed = {n: each for n, each in enumerate(told) if isinstance(each, Appended)}
                assert {e.data["caller"] for e in events} == set(landed), "in the log is what was acknowledged, and nothing else"
                for n, each in landed.items():
                    assert [e.position for e in events if e.data["caller"] == n] == list(range(each.first, each.last + 1))
        finally:
            await control.close()
            await store.close()
    assert await rebuild_beside(database) == []


async def test_an_append_that_landed_before_its_answer_was_lost_is_a_success(database: str) -> None:
    async with cutting_proxy(database) as proxy:
        store = await PostgresStore.open(proxy.dsn)
        await store.append([Write("a-1", 0, (Event("created", {}),))])
        for version in range(1, 6):
            proxy.cuts.append(Cut.AFTER)
            appended = await store.append([Write("a-1", version, (Event("updated", {}),))], command=CommandKey("1a1", f"k-{version}", "h"))
            assert appended.first == version + 1
        assert proxy.made == 5
        assert [e.version for e in await store.read("a-1")] == [1, 2, 3, 4, 5, 6]
        with pytest.raises(KeyReused):
            await store.append([Write("a-1", 6, (Event("updated", {}),))], command=CommandKey("1a1", "k-1", "other"))
        await store.close()


async def test_a_batch_that_was_given_up_never_lands_later(database: str) -> None:
    """The lock is held, so the cut-off batch still waits in the server when the writer asks what came of it."""
    async with cutting_proxy(database) as proxy:
        store = await PostgresStore.open(proxy.dsn)
        await store.append([Write("a-1", 0, (Event("created", {}),))])
        control = await asyncpg.connect(database)
        async with control.transaction():
            await control.execute("SELECT log.lock()")
            proxy.cuts.append(Cut.DURING)
            append = asyncio.create_task(store.append([Write("a-1", 1, (Event("updated", {}),))]))
            await asyncio.sleep(0.3)
            assert proxy.made == 1
        await asyncio.wait_for(append, 10)
        assert [e.version for e in await store.read("a-1")] == [1, 2]
        await control.close()
        await store.close()


async def test_an_append_that_waits_too_long_is_unavailable_and_does_not_land(database: str) -> None:
    store = await PostgresStore.open(database, timeout=0.5)
    await store.append([Write("a-1", 0, (Event("created", {}),))])
    control = await asyncpg.connect(database)
    loop = asyncio.get_running_loop()
    async with control.transaction():
        await control.execute("SELECT log.lock()")
        began = loop.time()
        appends = [store.append([Write(f"b-{n}", 0, (Event("created", {}),))]) for n in range(3)]
        told = await asyncio.gather(*appends, return_exceptions=True)
        assert all(isinstance(each, Unavailable) for each in told), told
        assert loop.time() - began < 2
    async with asyncio.timeout(10):
        await append_once_possible(store, Write("a-1", 1, (Event("updated", {}),)))  # the writer may still be settling what it gave up
    assert [e.stream for e in await store.read_all()] == ["a-1", "a-1"]
    await control.close()
    await store.close()


async def test_a_cancelled_wait_breaks_no_batch_and_withdraws_what_was_not_sent(database: str) -> None:
    store = await PostgresStore.open(database)
    await store.append([Write("a-1", 0, (Event("created", {}),))])
    control = await asyncpg.connect(database)
    async with control.transaction():
        await control.execute("SELECT log.lock()")

        def start(stream: str) -> asyncio.Task[Appended]:
            return asyncio.create_task(store.append([Write(stream, 0, (Event("created", {}),))]))

        sent = [start("sent-1"), start("sent-2")]
        await asyncio.sleep(0.1)
        drafted = [start("drafted-1"), start("drafted-2")]
        await asyncio.sleep(0.1)
        sent[0].cancel()
        drafted[0].cancel()
        await asyncio.sleep(0.1)
    await asyncio.gather(sent[1], drafted[1])
    streams = {e.stream for e in await store.read_all()}
    assert {"a-1", "sent-2", "drafted-2"} <= streams
    assert "drafted-1" not in streams
    await control.close()
    await store.close()


async def test_closing_sends_what_is_pending(database: str) -> None:
    store = await PostgresStore.open(database)
    tasks = [asyncio.create_task(store.append([Write(f"a-{n}", 0, (Event("created", {}),))])) for n in range(100)]
    await asyncio.sleep(0)
    await store.close()
    positions = sorted([(await each).first for each in tasks])
    assert positions == list(range(1, 101))
    await store.close()
