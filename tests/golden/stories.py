"""The stories whose logs are recorded. To each belongs a file or more in this folder; a new one, or a new turn in one, needs a new file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.secrets import replaced_in_event, secret_names, secrets_of
from commands.resource import Json, split_stream
from commands.secrets.sealing import seal
from commands.turns.decide import Delete, Ended, Run, Update
from commands.turns.interventions import Cancel, DeclareDead, ForceRemove, Retry
from commands.turns.turn import Triggers
from eventstore import Recorded
from tests.support.handler_stories import a_container, a_handler
from tests.support.story import Ask, Story, a_cloud, sim_inventory

INSTANCE = "instance-1"
ACTIVATE = "compute.instance.activate"

KEY = bytes(range(32))
"""Of every stream, in these logs alone."""


def whole_life() -> Story:
    """Created, running, updated, stopped, started, restarted, removed, purged."""
    story = _running()
    story.command(INSTANCE, Update({"name": "web", "description": "a golden one"}))
    for what in (Run("stop"), Run("start"), Run("restart"), Run("stop", {"remove": True})):
        story.command(INSTANCE, what)
        story.answer_all(_docker)
    return _purged(story)


def removed_while_running() -> Story:
    story = _running()
    story.command(INSTANCE, Delete())
    story.answer_all()
    return story


def never_placed() -> Story:
    story = a_cloud(slots=0)
    story.create("container", imageId=1, accountId=1, name="too much")
    return _purged(story)


def failed_create() -> Story:
    """The engine refuses: tried again, then removed with the error on it."""
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    return _refused(story)


def failed_start() -> Story:
    """One that ran before is stopped again, and a retry starts it."""
    story = _running()
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    story.command(INSTANCE, Run("start"))
    _refused(story)
    story.command(INSTANCE, Retry("mended"))
    story.answer_all()
    return story


def superseded() -> Story:
    """Stopped while it starts, removed while it stops."""
    story, _ = _starting()
    story.command(INSTANCE, Run("stop"))
    story.command(INSTANCE, Delete())
    story.answer_all()
    return story


def silence() -> Story:
    """A pull that nobody answers, two that wait for it; progress; then the answer."""
    story = a_cloud()
    for _ in range(2):
        story.create("container", imageId=1, accountId=1)
    [pull] = story.asks()
    story.take_turn(pull.root, Triggers(silent=frozenset({pull.id})))
    story.settle()
    story.pass_time(2)
    story.take_turn(pull.root, Triggers(progress={pull.id: (50, "half of it")}))
    story.settle()
    story.answer_all()
    return story


def reconnected() -> Story:
    story = _running()
    story.command("agent-1", Run("reconnect"))
    story.answer_all(lambda ask: sim_inventory(2))
    story.command("agent-1", Run("deactivate"))
    story.answer_all()
    return story


def cancelled() -> Story:
    """A start that is cancelled, and an agent that did it all the same: first refuses to undo it, then does."""
    story, ask = _starting()
    story.command(INSTANCE, Cancel("wrong host"))
    story.answer_all()
    _purged(story)
    story.answer(ask)
    [undo] = story.asks()
    story.answer(undo, error="not just now")
    story.pass_time(16)
    story.answer_all()
    story.answer(undo, error="said twice")
    return story


def late_error() -> Story:
    story, ask = _starting()
    story.command(INSTANCE, Cancel("wrong image"))
    story.answer(ask, error="there is no such image")
    story.answer_all()
    return story


def stop_not_possible() -> Story:
    """A stop that the engine refuses again and again: parked, retried, cancelled, retried."""
    story = _running()
    story.command(INSTANCE, Run("stop"))
    for _ in range(4):
        story.answer(story.asks()[0], error="the engine is on fire")
        story.pass_time(16)
    story.command(INSTANCE, Retry("the fire is out"))
    story.command(INSTANCE, Cancel("let it run"))
    story.command(INSTANCE, Run("stop"))
    story.answer_all()
    return story


def forced() -> Story:
    """Removed by force, its host declared dead."""
    story = _running()
    story.command(INSTANCE, ForceRemove("the host is stuck"))
    story.take_turn(INSTANCE, Triggers(silent=frozenset(ask.id for ask in story.asks())))
    story.command("host-1", ForceRemove("it burnt down"))
    story.pass_time(1)
    return story


def secrets_in_clear() -> Story:
    """As they were written before they were sealed."""
    story = _running()
    story.create("apiKey", publicValue="p", secretValue="clear", accountId=1)
    story.create("account", name="somebody", kind="user")
    return story


def secrets_sealed() -> Story:
    story = secrets_in_clear()
    story.log = [_sealed(event) for event in story.log]
    return story


def image_leaves_a_pool() -> Story:
    story = _running()
    story.command("imageStoragePoolMap-1", Run("deactivate"))
    story.answer_all(_docker)
    story.command("imageStoragePoolMap-1", Delete())
    return _purged(story)


def image_left_a_pool() -> Story:
    """What nothing waits for is answered, or given up."""
    story = image_leaves_a_pool()
    story.answer(story.asked_aside()[0])
    for _ in range(2):
        story.create("container", imageId=1, accountId=1)
        story.answer_all(_docker)
        newest = max(each.id for each in story.resources().values() if each.type == "imageStoragePoolMap")
        story.command(f"imageStoragePoolMap-{newest}", Run("deactivate"))
        story.answer_all(_docker)
        story.command(f"imageStoragePoolMap-{newest}", Delete())
        aside = story.asked_aside()[0]
        if newest == 2:
            story.answer(aside, error="I know no such image")
        else:
            story.take_turn(aside.root, Triggers(silent=frozenset({aside.id})))
    return story


def handled() -> Story:
    """External handlers take part: a result lets the rest run, one replaces it; a handler is deactivated while it is waited for."""
    story = a_cloud()
    a_handler(story, "pre.instance.start", "instance.stop", data={"onError": "continue"})
    a_container(story)
    story.answer(story.asks()[0], {"+data": {"hello": "world"}, "continue": True}, passes=True)
    story.answer_all()
    story.command(INSTANCE, Run("stop"))
    story.answer(story.asks()[0], {"description": "stopped by demo"})
    story.fleet.followed = story.fleet.position  # as an engine's, which follows
    story.command(INSTANCE, Run("start"))
    story.command("externalHandler-1", Run("deactivate"))
    story.answer_all()
    return story


def moved() -> Story:
    """To another host, and half of the way back: the engine there refuses it."""
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1, ports=["8080:80"])
    story.answer_all(_docker)
    story.command(INSTANCE, Run("migrate"))
    story.answer_all(_docker)
    story.command(INSTANCE, Run("migrate"))
    while story.resource(INSTANCE).open:
        story.answer_all(lambda ask: "no room" if ask.command == ACTIVATE and story.resource(ask.stream).row["hostId"] == 1 else {})
        story.pass_time(16)
    return story


def declared_dead() -> Story:
    """Its instance ends, and starts elsewhere; what it had there is asked for until the agent answers."""
    story = a_cloud(hosts=2)
    story.create("container", imageId=1, accountId=1, requestedHostId=1, instanceTriggeredStop="stop")
    story.answer_all(_docker)
    story.command("host-1", DeclareDead("its rack burnt down"))
    story.command(INSTANCE, Ended("it ended with its host", story.resource(INSTANCE).position, leaves=True))
    story.pass_time(1)
    story.answer_all()
    story.command("host-1", Run("activate"))
    return story


STORIES: tuple[Callable[[], Story], ...] = (
    whole_life, removed_while_running, never_placed, failed_create, failed_start, superseded, silence, reconnected, cancelled, late_error,
    stop_not_possible, forced, image_leaves_a_pool, image_left_a_pool, secrets_in_clear, secrets_sealed, handled, moved, declared_dead,
)  # fmt: skip


def _running() -> Story:
    story = a_cloud()
    story.create("container", imageId=1, accountId=1, command="true", environment={"MODE": "golden"})
    story.answer_all(_docker)
    return story


def _starting() -> tuple[Story, Ask]:
    """On its way, and the command that it waits for."""
    story = a_cloud()
    story.create("container", imageId=1, accountId=1)
    while (ask := story.asks()[0]).command != ACTIVATE:
        story.answer(ask)
    return story, ask


def _docker(ask: Ask) -> Json:
    """What a Docker host answers to a start, in merge syntax."""
    if ask.command != ACTIVATE:
        return {}
    fields = {"dockerHostIp": "192.0.2.1", "dockerPorts": {"80/tcp": "49153"}}
    return {"instance": {"+data": {"dockerContainer": {"Id": "4f0c"}, "+fields": fields}}}


def _refused(story: Story) -> Story:
    while story.resource(INSTANCE).open:
        story.answer_all(lambda ask: "no such command" if ask.command == ACTIVATE else {})
        story.pass_time(16)
    return story


def _purged(story: Story) -> Story:
    story.pass_time(61)
    story.answer_all()
    return story


def _sealed(event: Recorded) -> Recorded:
    names = secrets_of(CATALOGUE, split_stream(event.stream)[0])

    def change(name: str, value: object) -> Json:
        return seal(KEY, event.stream, name, value, bytes)

    return replace(event, data=replaced_in_event(event.data, names, secret_names(CATALOGUE), change))


