"""A live query's two ends over a way that loses, repeats and holds back what it is given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from agents.live import LOST, WINDOW, Frame, LiveError, Pipe, output_of, written

Way = Callable[[Frame], list[Frame]]


def well(frame: Frame) -> list[Frame]:
    return [frame]


@asynccontextmanager
async def two_ends(way: Way, silence: float = 15.0) -> AsyncIterator[tuple[Pipe, Pipe]]:
    """`way` says what arrives of each frame, in either direction."""
    ends: list[Pipe] = []

    def to(other: int) -> Callable[[Frame], Awaitable[None]]:
        async def say(frame: Frame) -> None:
            for each in way(Frame.decode(frame.encode())):
                asyncio.get_running_loop().call_soon(ends[other].hear, each)

        return say

    ends.extend(Pipe(to(1 - own), upto=WINDOW, other=f"end {1 - own}", silence=silence) for own in (0, 1))
    keeping = [asyncio.create_task(end.keep()) for end in ends]
    try:
        yield ends[0], ends[1]
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)


async def send_all(pipe: Pipe, count: int) -> None:
    for number in range(count):
        await pipe.send({"number": number})
    await pipe.finish({"exit": 0})


async def receive_all(pipe: Pipe) -> list[int]:
    numbers = []
    while (frame := await pipe.receive()).end is None:
        assert frame.data is not None
        numbers.append(frame.data["number"])
    assert frame.end == {"exit": 0}
    return numbers


async def test_pieces_arrive_once_and_in_order_in_both_directions_at_once() -> None:
    async with asyncio.timeout(30), two_ends(well) as (agent, asker):
        sent = asyncio.gather(send_all(agent, 500), send_all(asker, 300))
        there, back = await asyncio.gather(receive_all(asker), receive_all(agent))
        await sent
    assert (there, back) == (list(range(500)), list(range(300)))


async def test_what_is_lost_repeated_or_overtaken_on_the_way_arrives_all_the_same() -> None:
    chance = random.Random(7)
    held: list[Frame] = []

    def badly(frame: Frame) -> list[Frame]:
        match chance.choices(("well", "lost", "twice", "held"), (80, 6, 7, 7))[0]:
            case "lost":
                return []
            case "twice":
                return [frame, frame]
            case "held":
                held.append(frame)
                return []
        late = [held.pop()] if held and chance.random() < 0.5 else []
        return [frame, *late]

    def one_way(frame: Frame) -> list[Frame]:
        return badly(frame) if frame.seq is not None else [frame]  # a held frame must come out at the end that it was meant for

    async with asyncio.timeout(50), two_ends(one_way) as (agent, asker):
        sending = asyncio.create_task(send_all(agent, 60))
        assert await receive_all(asker) == list(range(60))
        await sending


async def test_nothing_is_sent_for_which_a_slow_reader_has_no_room() -> None:
    sent: list[int] = []

    def counting(frame: Frame) -> list[Frame]:
        if frame.seq is not None:
            sent.append(frame.seq)
        return [frame]

    async with asyncio.timeout(20), two_ends(counting) as (agent, asker):
        sending = asyncio.create_task(send_all(agent, 1000))
        while len(sent) < WINDOW:
            await asyncio.sleep(0.01)
        for _ in range(3):
            await asyncio.sleep(0.2)
            assert len(sent) == WINDOW, "the reader took nothing"
        for _ in range(WINDOW):
            await asker.receive()
        while len(sent) < 2 * WINDOW:
            await asyncio.sleep(0.01)
        assert len(sent) == 2 * WINDOW
        sending.cancel()


async def test_an_end_that_says_nothing_is_gone_for_whoever_sends_and_whoever_waits() -> None:
    silent = False

    def falling_silent(frame: Frame) -> list[Frame]:
        return [] if silent else [frame]

    async with asyncio.timeout(20), two_ends(falling_silent, silence=2.0) as (agent, asker):
        await agent.send({"number": 1})
        await asker.receive()
        silent = True
        with pytest.raises(LiveError, match="end 0 said nothing for 2 seconds") as lost:
            await asker.receive()
        assert lost.value.code == LOST
        with pytest.raises(LiveError, match="end 1 said nothing"):
            await send_all(agent, WINDOW + 1)


async def test_two_ends_with_nothing_to_say_keep_each_other_alive() -> None:
    async with asyncio.timeout(20), two_ends(well, silence=4.0) as (agent, asker):
        await asyncio.sleep(6)
        assert agent.broken is None
        assert asker.broken is None


async def test_who_is_told_that_the_other_end_is_gone_hears_what_came_before_and_then_why() -> None:
    async with two_ends(well) as (agent, asker):
        await agent.send({"number": 1})
        await asyncio.sleep(0.05)
        asker.hear(Frame(gone="it was started anew"))
        assert (await asker.receive()).data == {"number": 1}
        with pytest.raises(LiveError, match="it was started anew"):
            await asker.receive()


@pytest.mark.parametrize("output", [b"", b"plain", "gr\u00fc\u00df".encode(), b"\xff\xfe", "gr\u00fc".encode()[:-1]])
def test_output_is_written_so_that_every_byte_comes_back(output: bytes) -> None:
    piece = written("stdout", output)
    assert output_of(piece) == output
    assert ("text" in piece) == (output != b"\xff\xfe" and output != "gr\u00fc".encode()[:-1])


async def test_an_end_that_comes_again_and_again_fills_no_memory() -> None:
    async with two_ends(lambda frame: []) as (asker, _):
        for number in range(5 * WINDOW):
            asker.hear(Frame(seq=number, end={"exit": number}))
        assert (await asker.receive()).end == {"exit": 0}
        asker.fail(LiveError(LOST, "it is over"))
        with pytest.raises(LiveError, match="it is over"):
            await asker.receive()
