"""The simulation's own ground: time that jumps, processes that are killed and paused, an order that the seed decides."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.simulation.loop import WORLD, Process, Stuck, VirtualLoop, inside


def a_loop(seed: int = 1) -> VirtualLoop:
    return VirtualLoop(Random(seed))  # type: ignore[abstract]


def test_time_jumps_to_the_next_timer() -> None:
    loop = a_loop()

    async def sleeps() -> float:
        await asyncio.sleep(3600.0)
        async with asyncio.timeout(5):
            await asyncio.to_thread(lambda: None)
        return loop.time()

    assert 3600.0 <= loop.run_until_complete(sleeps()) < 3600.1


def test_what_waits_for_nothing_is_told_and_not_waited_for() -> None:
    loop = a_loop()
    with pytest.raises(Stuck):
        loop.run_until_complete(asyncio.Event().wait())
    loop.end([WORLD])


def test_a_killed_process_does_not_even_clean_up_and_a_paused_one_goes_on_later() -> None:
    loop, killed, paused = a_loop(), Process("killed"), Process("paused")
    seen: list[str] = []

    async def works(name: str) -> None:
        try:
            await asyncio.sleep(10)
            seen.append(f"{name} works at {loop.time():.0f}")
        finally:
            seen.append(f"{name} cleans up")

    async def story() -> None:
        for process in (killed, paused):
            with inside(process):
                loop.create_task(works(process.name)).add_done_callback(lambda done: done.exception())
        await asyncio.sleep(5)
        loop.kill(killed)
        loop.pause(paused)
        await asyncio.sleep(20)
        assert seen == []
        loop.resume(paused)
        await asyncio.sleep(1)

    loop.run_until_complete(story())
    assert seen == ["paused works at 25", "paused cleans up"]
    loop.end([WORLD, killed, paused])


def test_the_seed_decides_what_is_first() -> None:
    async def order() -> list[int]:
        came: list[int] = []

        async def comes(number: int) -> None:
            await asyncio.sleep(0)
            came.append(number)

        await asyncio.gather(*(comes(number) for number in range(20)))
        return came

    assert a_loop(1).run_until_complete(order()) == a_loop(1).run_until_complete(order())
    assert a_loop(1).run_until_complete(order()) != a_loop(2).run_until_complete(order())
