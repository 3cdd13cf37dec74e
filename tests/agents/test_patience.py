"""An engine that is away: commands wait for it a while, and its host is who it was."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import patience
from agents.driver import DriverError, Json
from agents.patience import known_host, patiently


class Away(DriverError):
    """The engine is."""


class Engine:
    """Away for so many calls, and there then."""

    def __init__(self, away: int, answer: Json) -> None:
        self.away, self.answer = away, answer
        self.calls = 0

    async def __call__(self) -> Json:
        self.calls += 1
        if self.calls <= self.away:
            raise Away(f"away at call {self.calls}")
        return self.answer


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(patience, "AGAIN_SECONDS", 0.01)
    return []


def telling(told: list[str]) -> Callable[[str, int | None], None]:
    return lambda text, percent: told.append(text)


async def test_a_command_waits_for_an_engine_that_comes_back(told: list[str]) -> None:
    assert await patiently(Engine(2, {"done": True}), Away, telling(told), "the engine", 60) == {"done": True}
    assert told == ["Waiting for the engine"] * 2


async def test_a_command_fails_as_the_engine_that_stays_away_says(told: list[str]) -> None:
    with pytest.raises(Away, match="away at call 1"):
        await patiently(Engine(9, {}), Away, telling(told), "the engine", 0)
    with pytest.raises(Away):
        await patiently(Engine(10**9, {}), Away, telling(told), "the engine", 0.05)
    assert told


async def test_what_has_another_reason_is_not_waited_for(told: list[str]) -> None:
    async def fails() -> Json:
        raise DriverError("no such image")

    with pytest.raises(DriverError, match="no such image"):
        await patiently(fails, Away, telling(told), "the engine", 60)
    assert told == []


async def test_a_host_is_who_it_was_while_its_engine_is_away(tmp_path: Path) -> None:
    path = tmp_path / "host.json"
    with pytest.raises(Away):
        await known_host(path, Engine(9, {}), Away)
    assert await known_host(path, Engine(0, {"uuid": "u1"}), Away) == {"uuid": "u1"}
    assert await known_host(path, Engine(0, {"uuid": "u2"}), Away) == {"uuid": "u2"}
    assert await known_host(path, Engine(9, {}), Away) == {"uuid": "u2"}
    path.write_text("half of i")
    with pytest.raises(Away):
        await known_host(path, Engine(9, {}), Away)


async def test_a_full_disk_keeps_no_host_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(patience, "keep", full)
    assert await known_host(tmp_path / "host.json", Engine(0, {"uuid": "u1"}), Away) == {"uuid": "u1"}
