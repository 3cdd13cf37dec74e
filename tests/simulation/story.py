"""One seed's story: a cloud begins, a storm comes over it while clients ask for things, all clears up, and the promises are looked at."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass, replace

from agents.driver import RUNNING
from commands.resource import Resource
from commands.watching.strays import REMOVE
from tests.simulation.broken import Broken
from tests.simulation.faults import Faults
from tests.simulation.hosts import REMOVED, Machine
from tests.simulation.loop import WORLD
from tests.simulation.requests import Request, choose
from tests.simulation.rest import complaints, fold_is_the_same, runs_with
from tests.simulation.weather import Weather
from tests.simulation.wishes import FURNITURE, Wish
from tests.simulation.world import LISTENER, Parts, World

SMALL = Wish("rename", ("host",), 0)

CALM = 400.0
"""Seconds within which everything must come to rest (a purge may be 60 s away, a silent agent 30, a command 15)."""


@dataclass(frozen=True, slots=True)
class Result:
    seed: int
    error: str | None
    digest: str
    events: int
    seconds: float
    """Of virtual time."""
    steps: int
    trace: tuple[tuple[float, str, str], ...] = ()


def run(seed: int, parts: Parts | None = None, verbose: bool = False) -> Result:
    """The same seed and parts give the same log."""
    parts = parts or Parts()
    parts.prepare()
    world = World(seed, parts, verbose)
    LISTENER.world = world
    error: str | None = None
    gc.disable()  # what is left of killed processes is cleaned up at the end, not when the collector comes by
    try:
        world.loop.run_until_complete(_story(world))
    except Broken as broken:
        error = str(broken)
    except AssertionError as failed:
        error = repr(failed)
    finally:
        LISTENER.world = None
        result = Result(
            seed, error, world.digest(), len(world.promises.log), world.loop.time(), world.loop.steps, tuple(world.trace)
        )
        world.loop.end([WORLD, *world.processes])
        gc.enable()
    return result


async def _story(world: World) -> None:
    random = world.random
    world.gateways = [world.start_gateway(number) for number in (1, 2)]
    await world.seed_accounts()
    world.start_handlers()
    world.engines = [world.start_engine(number) for number in range(1, random.choice((2, 3, 3)) + 1)]
    for number in range(random.choice((1, 2, 2, 3))):
        machine = Machine(f"agent-{number}", random.choice((1, 1, 2)), random.choice((1, 1, 2)), world.weather, world._acts, world._fails)
        await world.register(machine)
    await _until(world, lambda: all(each.state == "active" for each in world.promises.resources.values() if each.type == "agent"), 10)
    if random.random() < 0.5:  # little room, so that many want the last place
        for host in _of(world, "host"):
            world.ask(Request(SMALL, f"small-{host.stream}", "host", host.id, {"computeFree": random.randrange(1, 4)}))
    if random.random() < 0.6:
        await _furnish(world)
    await _storm(world)
    await _calm(world)
    await _come_back(world)
    if random.random() < 0.7:
        await _take_away(world)
    if random.random() < 0.5:
        await _farewell(world)


async def _furnish(world: World) -> None:
    """Some of what containers can be tied to is there from the beginning."""
    random = world.random
    for number, (type_name, given) in enumerate(FURNITURE):
        if random.random() < 0.6:
            wish = Wish("create", (type_name,), 0)
            world.ask(Request(wish, f"furniture-{number}", type_name, None, given(random, world.promises.resources)))
            await _until(world, lambda: not world.asked, 10)


async def _storm(world: World) -> None:
    """Clients ask for this and that while things break."""
    random = world.random
    storm = Weather.of(world.weather.random)
    for name in ("storm", "loss", "doubling", "delay", "late", "slow_calls", "lost_answers", "failures", "silence", "work_seconds"):
        setattr(world.weather, name, getattr(storm, name))
    world.tell("story", f"a storm: {storm}")
    faults = Faults(world)
    breaking = world.loop.create_task(faults.run())
    for number in range(random.randrange(6, 30)):
        request = choose(random, world.promises.resources, f"wish-{number}")
        if request is not None:
            world.ask(request)
            for again in range(random.choice((0, 0, 0, 0, 4)) if request.wish.verb == "create" else 0):  # many at once
                world.ask(replace(request, key=f"{request.key}-{again}"))
        await asyncio.sleep(random.choice((0.0, 0.01, 0.3, 2.0, 6.0)) * random.random() * 2)
        world.check()
    await asyncio.sleep(random.random() * 10)
    breaking.cancel()
    await asyncio.wait({breaking})
    world.tell("story", "it clears up")
    faults.heal()


async def _calm(world: World) -> None:
    """Everything works again: all must come to rest, and be as it should."""
    world.weather.clear_up()
    left: list[str] = ["nothing was looked at"]

    def at_rest() -> bool:
        nonlocal left
        if world.asked:
            left = [f"{len(world.asked)} clients still wait for an answer"]
            return False
        engines = [each.engine for each in world.engines if each.engine]
        left = complaints(world.promises, engines, world.now(), strays_removed=world.settings[REMOVE])
        return not left

    await _until(world, at_rest, CALM)
    if left:
        raise Broken(f"after {CALM:.0f} s of calm: " + "; ".join(left[:6]))
    if not fold_is_the_same(world.promises):
        raise Broken("the log, read again, folds to something else than it did as it grew")


async def _come_back(world: World) -> None:
    """Machines are put back to what they were some time ago: what they ran then runs again, while clients go on asking."""
    random = world.chance("what comes back")
    world.settings[REMOVE] = random.random() < 0.5
    world.tell("story", f"what was there comes back; {REMOVE} is {world.settings[REMOVE]}")
    resources = world.promises.resources
    for machine in world.machines:
        hosts = {each.id for each in _of(world, "host") if each.row.get("agentId") == machine.number}
        maps = [each for each in resources.values() if each.type == "instanceHostMap" and each.state != "purged"]
        placed = {resources[each.root].row["uuid"] for each in maps if each.row.get("hostId") in hosts}
        for uuid, box in machine.boxes.items():
            if box.state == REMOVED and uuid not in placed and random.random() < 0.7:
                world.tell(machine.name, f"      {uuid[:8]} is there again (epoch {box.epoch})")
                world.promises.ghosts.add((machine.name, uuid))
                box.state = RUNNING
    for each in _of(world, "instance"):
        verb = random.choice(("start", "restore", "stop", "purge", "", "", ""))
        if verb:
            world.ask(Request(Wish(verb, ("instance",), 0), f"again-{each.stream}", "instance", each.id, {}))
    await _calm(world)


async def _take_away(world: World) -> None:
    """Of some of what runs, somebody takes away one of the things without which it does not run."""
    random = world.random
    world.tell("story", "what instances run with is taken away")
    for each in _of(world, "instance"):
        parts = runs_with(each, world.promises.resources) if each.state == "running" else []
        if parts and random.random() < 0.7:
            part = random.choice(parts)
            wish = Wish(random.choice(("deactivate", "force-remove")), (part.type,), 0)
            world.ask(Request(wish, f"take-{part.stream}", part.type, part.id, {}))
    await _calm(world)


async def _farewell(world: World) -> None:
    """All instances are deleted: nothing of them may be left anywhere."""
    world.tell("story", "all instances are deleted")
    world.settings[REMOVE] = True
    for agent in _of(world, "agent"):  # those that somebody took out of service have to help, too
        if agent.state == "inactive":
            world.ask(Request(Wish("activate", ("agent",), 0), f"help-{agent.stream}", "agent", agent.id, {}))
    for each in _of(world, "instance"):
        if each.state not in ("removed", "purged"):
            world.ask(Request(Wish("delete", ("instance",), 0), f"farewell-{each.stream}", "instance", each.id, {}))
    await _until(world, lambda: not world.asked and all(each.state == "purged" for each in _of(world, "instance")), CALM)
    await _calm(world)
    left = [f"{each.stream} is {each.state}" for each in _of(world, "instance") if each.state != "purged"]
    left += [f"{name} of {scope} is still claimed" for scope, name in world.promises.claims if scope.endswith("/compute")]
    for machine in world.machines:
        left += [f"{machine.name} still runs {uuid}" for uuid, box in machine.boxes.items() if box.state == RUNNING]
    if left:
        raise Broken("after all instances were deleted: " + "; ".join(left[:6]))


def _of(world: World, type_name: str) -> list[Resource]:
    return [each for each in world.promises.resources.values() if each.type == type_name]


async def _until(world: World, done: Callable[[], bool], seconds: float) -> None:
    deadline = world.loop.time() + seconds
    while True:
        world.check()
        if done() or world.loop.time() >= deadline:
            return
        await asyncio.sleep(1.0)
