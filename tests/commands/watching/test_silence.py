"""How long agents are silent, as far as a server listened: one that was away knows nothing."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

from structlog.testing import capture_logs

from commands.catalogue.builtin import CATALOGUE
from commands.turns.fleet import Fleet
from commands.watching import presence
from commands.watching.presence import PresenceWatch
from commands.watching.silence import Silence

INF = float("inf")


def test_it_grows_while_somebody_listens_and_ends_with_a_heartbeat() -> None:
    silence = Silence()
    assert silence.heard(1)
    for _ in range(5):
        silence.listened(1.0, {1, 2}, {1, 2})
    assert (silence.of(1), silence.of(2)) == (5.0, 5.0)
    assert silence.heard(1)
    assert not silence.heard(1)
    assert silence.of(1) == 0.0


def test_who_was_away_begins_anew_with_all() -> None:
    silence = Silence()
    silence.listened(29.0, {1, 2}, {1, 2})
    silence.begin_anew()
    silence.listened(1.0, {1, 2}, {1, 2})
    assert (silence.of(1), silence.of(2)) == (1.0, 1.0)


def test_who_takes_over_an_agent_listens_to_it_first() -> None:
    silence = Silence()
    silence.listened(29.0, {1, 2}, {1})
    silence.listened(1.0, {1, 2}, {1, 2})
    assert (silence.of(1), silence.of(2)) == (30.0, 1.0)


def test_a_farewell_is_no_silence_and_is_believed_until_it_is_heard_again() -> None:
    silence = Silence()
    silence.leaves(1)
    silence.begin_anew()
    silence.listened(1.0, {1}, {1})
    assert silence.of(1) == INF
    assert silence.heard(1)
    assert silence.of(1) == 0.0
    silence.leaves(1)
    silence.asked(1)
    assert silence.of(1) == 0.0


def test_an_agent_that_is_gone_is_forgotten() -> None:
    silence = Silence()
    silence.leaves(1)
    silence.listened(5.0, {1}, {1})
    silence.listened(5.0, set(), set())
    assert silence.of(1) == 0.0


async def test_a_server_that_stood_still_or_lost_nats_begins_anew(monkeypatch: Any) -> None:
    monkeypatch.setattr(presence, "LOOK", 0.01)
    monkeypatch.setattr(presence, "STALLED", 0.2)
    bus = SimpleNamespace(connected=True, connections=1)
    nothing: Any = SimpleNamespace(settings={presence.FAILED: 6, presence.GRACE: 60}, catalogue=CATALOGUE)
    watch = PresenceWatch(cast(Any, bus), nothing, Fleet(), cast(Any, None), mine=lambda root: True, returned=lambda agent: None)
    began: list[str] = []
    monkeypatch.setattr(watch._silence, "begin_anew", lambda: began.append("anew"))
    with capture_logs() as logs:
        counting = asyncio.create_task(watch._count_silence())
        await asyncio.sleep(0.1)
        quiet = len(began)
        time.sleep(0.5)
        async with asyncio.timeout(10):
            while len(began) == quiet:
                await asyncio.sleep(0.01)
            stalled = len(began)
            bus.connections = 2
            while len(began) == stalled:
                await asyncio.sleep(0.01)
            again = len(began)
            bus.connected = False
            while len(began) == again:
                await asyncio.sleep(0.01)
        counting.cancel()
        await asyncio.wait({counting})
    assert "stalled" in [each.get("action") for each in logs]
