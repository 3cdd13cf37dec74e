"""What the CLI makes of events, without a server: words, timelines, replay's folding, the causes of why, the hops of trace."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from commands.resource import fold
from commands.turns.decide import Delete, Run
from deploy.cli.hops import appends, hops
from deploy.cli.pending import waits
from deploy.cli.replay import after_each
from deploy.cli.show import written
from deploy.cli.telling import Teller, changed_names, document, duration, gist, recorded, timeline
from deploy.cli.why import began
from eventstore import Recorded
from projections import causes
from projections.history import differences, flat
from tests.support.handler_stories import a_container, a_handler
from tests.support.story import Story, a_cloud

ACTIVATE = "compute.instance.activate"


def of_root(story: Story, stream: str) -> list[Recorded]:
    root = next((event.root for event in story.log if event.stream == stream), stream)
    return [event for event in story.log if event.root == root]


def a_running_instance() -> Story:
    story = a_cloud()
    story.create("container", name="web", imageId=1, accountId=1, imageUuid="sim:busybox")
    story.answer_all()
    assert story.resource("instance-1").state == "running"
    return story


def an_instance_whose_host_fails() -> Story:
    story = a_cloud()
    story.create("container", name="web", imageId=1, accountId=1, imageUuid="sim:busybox")
    for _ in range(3):
        story.answer_all(lambda ask: "no room on the disk" if ask.command == ACTIVATE else None)
        story.pass_time(20)
    story.answer_all(lambda ask: "no room on the disk" if ask.command == ACTIVATE else None)
    assert story.resource("instance-1").state == "removed"
    return story


def why(story: Story, stream: str) -> list[Recorded]:
    deciding = causes.deciding(event for event in story.log if event.stream == stream)
    assert deciding is not None
    return causes.chain(deciding, lambda each: of_root(story, each))


# --- words ---


def test_every_event_of_a_life_has_words_of_its_own() -> None:
    story = a_running_instance()
    story.command("instance-1", Run("stop", {}))
    story.answer_all()
    story.command("instance-1", Delete())
    story.answer_all()
    teller = Teller()
    for event in story.log:
        sentence = teller.heard(event)
        assert gist(event), event
        assert sentence, event
        assert "{" not in sentence, sentence


def test_a_person_reads_which_host_and_which_command_and_how_long() -> None:
    story = a_running_instance()
    told = [sentence for _, _, sentence in timeline(of_root(story, "instance-1"), {"host-1": "rack-3", "agent-1": "paper"})]
    assert "container 'web' is created from sim:busybox" in told[0]
    assert "gets its place on host-1 (rack-3)" in told
    assert f"agent-1 (paper) is asked for {ACTIVATE} on host-1 (rack-3)" in told
    assert any(each.startswith(f"agent-1 (paper) has done {ACTIVATE}, after ") for each in told)
    assert told[-1] == "instance.start is done: running"


def test_an_error_is_told_in_the_agents_own_words() -> None:
    story = an_instance_whose_host_fails()
    told = [sentence for _, _, sentence in timeline(of_root(story, "instance-1"))]
    assert any(each.endswith(": no room on the disk") and f"failed at {ACTIVATE}" in each for each in told)
    assert any(each == f"agent-1 is asked for {ACTIVATE}, try 3 on host-1" for each in told)


def test_events_survive_the_way_through_json() -> None:
    for event in a_running_instance().log:
        assert recorded(json.loads(json.dumps(document(event)))) == event


def test_changes_name_the_fields_they_touch() -> None:
    changes = {"state": "x", "+data": {"+fields": {"dockerIp": 1}, "dockerContainer": {}}}
    assert sorted(changed_names(changes)) == ["dockerContainer", "dockerIp", "state"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0004, "0.4 ms"), (0.0384, "38 ms"), (1.25, "1.2 s"), (59.6, "60 s"), (600, "10 min"), (7300, "2 h"), (400_000, "5 days")],
)
def test_durations_are_as_long_as_needed(seconds: float, told: str) -> None:
    assert duration(seconds) == told


# --- replay ---


def test_replay_ends_where_the_fold_of_everybody_else_ends() -> None:
    story = a_running_instance()
    for stream in story.resources():
        events = [event for event in story.log if event.stream == stream]
        steps = list(after_each(events))
        assert steps[-1].resource == fold(stream, events)
        assert [step.event for step in steps] == events


def test_the_changes_of_a_replay_lead_from_each_state_to_the_next() -> None:
    story = a_running_instance()
    state: dict[str, Any] = {}
    for step in after_each(event for event in story.log if event.stream == "instance-1"):
        for name, (old, new) in step.changed.items():
            assert state.get(name) == old
            state[name] = new
        assert {name: value for name, value in state.items() if value is not None} == step.state
    assert state["state"] == "running"
    assert state["imageUuid"] == "sim:busybox"


def test_fields_that_went_away_are_changes_too() -> None:
    assert differences({"a": 1, "b": 2}, {"b": 2, "c": 3}) == {"a": (1, None), "c": (None, 3)}


def test_long_values_are_cut_and_text_is_not_quoted() -> None:
    assert written("web") == "web"
    assert written(["8080:80"]) == '["8080:80"]'
    assert len(written("x" * 500)) == 100


def test_nulls_are_no_state() -> None:
    story = a_running_instance()
    assert None not in flat(story.resource("instance-1")).values()


# --- why ---


def test_a_running_instance_runs_because_it_was_created() -> None:
    chain = why(a_running_instance(), "instance-1")
    assert chain[0].data["to"] == "running"
    assert chain[-1].id == "instance-1@1"
    asked = [event.data["command"] for event in chain if event.type == "step-requested"]
    assert asked[:2] == [ACTIVATE, "storage.volume.activate"]


def test_a_failed_instance_is_removed_because_of_what_its_host_said() -> None:
    chain = why(an_instance_whose_host_fails(), "instance-1")
    types = [event.type for event in chain]
    assert types[:2] == ["process-succeeded", "process-started"]
    assert types.index("process-failed") < types.index("step-failed")
    assert [event.data["error"] for event in chain if event.type == "step-failed"] == ["no room on the disk"] * 3
    assert chain[-1].id == "instance-1@1"


def test_an_instance_that_finds_no_host_says_so() -> None:
    story = a_cloud(hosts=0)
    story.create("container", name="web", imageId=1, accountId=1)
    story.answer_all()
    chain = why(story, "instance-1")
    failures = [event.data["error"] for event in chain if event.type == "process-failed"]
    assert failures, [event.type for event in chain]
    assert "Failed to find a placement" in failures[0]
    assert chain[-1].id == "instance-1@1"


def test_a_stopped_instance_is_stopped_because_of_the_stop_and_not_of_its_creation() -> None:
    story = a_running_instance()
    story.command("instance-1", Run("stop", {}))
    story.answer_all()
    chain = why(story, "instance-1")
    assert (chain[-1].type, chain[-1].data["process"]) == ("process-started", "instance.stop")


def test_a_purge_that_nobody_asked_for_follows_from_the_removal() -> None:
    story = an_instance_whose_host_fails()
    story.pass_time(3600)
    story.answer_all()
    assert story.resource("instance-1").state == "purged"
    assert any(event.data.get("error") == "no room on the disk" for event in why(story, "instance-1"))


def test_what_found_no_host_says_so_also_once_it_is_purged() -> None:
    story = a_cloud(hosts=0)
    story.create("container", name="web", imageId=1, accountId=1)
    story.pass_time(3600)
    story.answer_all()
    assert story.resource("instance-1").state == "purged"
    assert any("Failed to find a placement" in str(event.data.get("error")) for event in why(story, "instance-1"))


def test_what_its_caller_is_not_shown_of_an_event_leaves_the_rest_to_be_told() -> None:
    """As /v1/events shows it to a user: without values of fields that users don't have, and without who did it."""
    hidden = {"type": "transitioned", "data": {"field": "allocationState", "process": "instance.allocate"}}
    states = {"field": "state", "from": "requested", "via": [], "to": "running"}
    shown = {"type": "transitioned", "data": {"process": "instance.create", **states}}
    teller = Teller({})
    at = "2026-11-20T14:05:00Z"
    for version, told in enumerate(({"type": "created", "data": {"changes": {"kind": "container"}}}, hidden, shown), start=1):
        place = {"position": version, "stream": "instance-1", "version": version, "metadata": {"correlation": "5f0c"}, "at": at}
        event = recorded({**place, **told})
        assert teller.heard(event)
        assert began(event, teller) == "It began with a command, request 5f0c"
    assert teller.resource("instance-1").state == "running"


def test_causes_always_go_back_in_the_log_whatever_event_one_asks_about() -> None:
    story = an_instance_whose_host_fails()
    for event in story.log:
        chain = causes.chain(event, lambda each: of_root(story, each))
        positions = [each.position for each in chain]
        assert positions == sorted(set(positions), reverse=True)


def test_a_log_that_names_itself_as_its_cause_does_not_loop() -> None:
    event = a_running_instance().log[-1]
    looped = Recorded(event.position, event.stream, event.version, event.type, event.data, {"causation": event.id}, event.at)
    assert causes.chain(looped, lambda _: [looped]) == [looped]


def test_who_is_waited_for_is_told() -> None:
    story = a_cloud()
    story.create("container", name="web", imageId=1, accountId=1)
    teller = Teller()
    teller.hear_all(story.log)
    [asked] = story.asks()
    told = f"imagestoragepoolmap.activate: agent-1 (sim) has not answered {asked.command} yet"
    assert waits(story.resource(asked.stream), teller) == [told]


# --- trace ---


def test_a_trace_has_every_command_and_every_answer_in_the_order_of_the_log() -> None:
    story = a_running_instance()
    begin = next(event.position for event in story.log if event.stream == "instance-1")
    found = hops(apart([event for event in story.log if event.position >= begin]), Teller())
    assert [hop.hop for hop in found[:2]] == ["gateway", "eventstore"]
    assert found[0].what == "accepted: container 'web' is created from sim:busybox"
    subjects = [hop.what for hop in found if hop.hop == "wire"]
    assert subjects == [f"corral.agent.a1.{name}" for name in ("storage.image.activate", "storage.volume.activate", ACTIVATE)]
    assert len([hop for hop in found if hop.hop == "agent"]) == 3
    assert found[-1].what == "instance.start is done: running"
    assert [hop.ms for hop in found] == sorted(hop.ms for hop in found)


def apart(log: list[Recorded]) -> list[Recorded]:
    """A story's clock stands still: here each answer comes a millisecond after its request, as with a real agent."""
    spread: list[Recorded] = []
    at = log[0].at
    for event in log:
        at += timedelta(milliseconds=event.type in ("step-succeeded", "step-failed"))
        spread.append(Recorded(event.position, event.stream, event.version, event.type, event.data, event.metadata, at))
    return spread


def test_appends_of_the_same_moment_are_told_apart_where_others_came_between() -> None:
    story = a_running_instance()
    log = story.log[:6]
    assert [len(group) for group in appends(log)] == [6]  # a story's clock stands still
    assert [len(group) for group in appends([*log[:2], *log[4:]])] == [2, 2]


def test_a_request_without_events_has_no_hops() -> None:
    assert hops([], Teller()) == []


# --- external handlers ---


def test_who_took_part_and_what_an_external_handler_said_is_told() -> None:
    story = a_cloud()
    a_handler(story, "pre.instance.start", "instance.start")
    a_container(story)
    teller = Teller()
    teller.hear_all(story.log)
    [ask] = story.asks()
    told = "instance.start: externalHandler-1 (demo) has not answered pre.instance.start;handler=demo yet"
    assert waits(story.resource("instance-1"), teller) == [told]
    story.answer(ask, {"description": "x"})
    story.command("externalHandler-1", Run("deactivate"))
    told_all = [sentence for _, _, sentence in timeline(story.log)]
    assert "instance.start begins: starting, with external handlers: demo (pre, 1000), demo (handlers, 1000)" in told_all
    assert "externalHandler-1 (demo) is asked for instance.start;handler=demo" in told_all
    assert any(each.startswith("externalHandler-1 (demo) has done pre.instance.start;handler=demo, after ") for each in told_all)
    assert "passed over: the handler is deactivated" in told_all
    story.command("externalHandler-1", Run("activate"))
    story.answer_all()
    story.command("instance-1", Run("stop"))
    story.answer_all()
    story.command("instance-1", Run("start"))
    assert "goes on, with external handlers: demo (pre, 1000), demo (handlers, 1000)" in [told for _, _, told in timeline(story.log)]
    subjects = [hop.what for hop in hops(apart(of_root(story, "instance-1")), Teller()) if hop.hop == "wire"]
    assert subjects[:2] == ["corral.handler.demo.pre.instance.start", "corral.handler.demo.instance.start"]
