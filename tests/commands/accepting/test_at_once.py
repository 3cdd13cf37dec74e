"""A change of external handlers is in force by the log when its request is answered, with no engine there at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from commands.accepting.service import Actor, Commands
from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.extend import Extending
from commands.catalogue.model import Decide
from commands.resource import Resource, fold
from commands.settings.settings import DEFAULTS
from commands.turns import handlers
from commands.turns.fleet import Fleet
from commands.turns.interventions import Cancel
from eventstore import Appended, Unavailable
from eventstore.memory import MemoryStore

ACTOR = Actor(1, "the-request")


def commands(store: MemoryStore, catalogue: Catalogue = CATALOGUE) -> Commands:
    return Commands(store, catalogue, DEFAULTS)


async def registered(door: Commands, *names: str, name: str = "demo") -> Resource:
    return (await door.create("externalHandler", {"name": name, "processNames": list(names)}, ACTOR)).resource


async def in_force(store: MemoryStore, process: str = "instance.start") -> list[str]:
    fleet = Fleet.load(await store.load(handlers.ROWS))
    return [each.name for each in fleet.handlers.get(process, ())]


async def seen(store: MemoryStore, stream: str) -> Resource:
    return fold(stream, await store.read(stream))


async def test_a_handler_is_in_force_when_its_registration_is_answered() -> None:
    store = MemoryStore()
    answered = await registered(commands(store), "instance.start", "pre.instance.stop")
    assert (answered.state, answered.fields["processNames"]) == ("registering", ["instance.start", "pre.instance.stop"])
    assert await in_force(store) == ["demo"]
    assert await in_force(store, "instance.stop") == ["demo"]
    log = await store.read_all()
    assert {event.metadata.get("correlation") for event in log} == {"the-request"}
    assert {event.metadata.get("actor") for event in log} == {1}
    assert not await store.due_work(range(16)), "an engine has nothing left to do"


async def test_so_is_every_other_change_of_one() -> None:
    store = MemoryStore()
    door = commands(store)
    handler = await registered(door, "instance.start")
    assert (await door.run("externalHandler", handler.id, "deactivate", {}, ACTOR)).resource.state == "deactivating"
    assert await in_force(store) == []
    await door.run("externalHandler", handler.id, "activate", {}, ACTOR)
    assert await in_force(store) == ["demo"]
    await door.run("externalHandlerProcess", 1, "deactivate", {}, ACTOR)
    assert await in_force(store) == []
    await door.run("externalHandlerProcess", 1, "activate", {}, ACTOR)
    [tie] = Fleet.load(await store.load(handlers.ROWS)).all(handlers.MAP)
    await door.run(handlers.MAP, tie.id, "deactivate", {}, ACTOR)
    await door.delete(handlers.MAP, tie.id, ACTOR)
    assert await in_force(store) == []
    more = {"externalHandlerId": handler.id, "externalHandlerProcessId": 1}
    await door.create(handlers.MAP, more, ACTOR)
    assert await in_force(store) == ["demo"]
    await door.run("externalHandler", handler.id, "deactivate", {}, ACTOR)
    await door.delete("externalHandler", handler.id, ACTOR)
    assert (await in_force(store), (await seen(store, handler.stream)).state) == ([], "removed")


async def test_handlers_registered_together_share_the_process_that_they_name() -> None:
    store = MemoryStore()
    doors = [commands(store) for _ in range(8)]
    await asyncio.gather(*(registered(door, "instance.start", name=f"demo{n}") for n, door in enumerate(doors)))
    assert sorted(await in_force(store)) == [f"demo{n}" for n in range(8)]
    assert len(list(Fleet.load(await store.load(handlers.ROWS)).all(handlers.PROCESS))) == 1


async def test_what_waits_for_a_handler_of_its_own_is_left_to_the_engines() -> None:
    store = MemoryStore()
    door = commands(store)
    await registered(door, "pre.externalhandler.create", name="guard")
    later = await registered(door, "instance.start")
    [asked] = (await seen(store, later.stream)).open["state"].asked.values()
    assert asked.command == "pre.externalhandler.create;handler=guard"
    assert [work.root for work in await store.due_work(range(16))] == [later.stream]
    assert await in_force(store) == []
    await door.intervene("externalHandler", later.id, Cancel("nobody answers"), ACTOR)
    assert not (await seen(store, later.stream)).open


class CutOff(MemoryStore):
    """Its database goes away after so many appends."""

    def __init__(self, appends: int) -> None:
        super().__init__()
        self.appends = appends

    async def append(self, *given: Any, **more: Any) -> Appended:
        self.appends -= 1
        if self.appends < 0:
            raise Unavailable("the database is gone")
        return await super().append(*given, **more)


def break_down(turn: object, resource: object) -> None:
    raise ZeroDivisionError("a stranger's step")


def broken() -> Catalogue:
    extending = Extending(CATALOGUE)
    extending.add_step("externalhandler.create", "pre", Decide(break_down))
    return extending.build()


@pytest.mark.parametrize(("store", "catalogue"), [(CutOff(1), CATALOGUE), (MemoryStore(), broken())], ids=["no database", "broken step"])
async def test_a_command_that_is_in_the_log_is_acknowledged_whatever_follows(store: MemoryStore, catalogue: Catalogue) -> None:
    answered = await registered(commands(store, catalogue), "instance.start")
    assert answered.state == "registering"
    assert [work.root for work in await store.due_work(range(16))] == [answered.stream], "the engines go on from here"
