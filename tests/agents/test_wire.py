"""What goes over the wire between the engine and external handlers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agents.wire import BadMessage, HandlerAnswer, Message, Presence, handler_reply_subject, handler_subject


def test_a_handlers_subject_names_it_in_one_token() -> None:
    assert handler_subject("instance.start;handler=demo") == "corral.handler.demo.instance.start"
    assert handler_subject("pre.instance.start;handler=my.handler > *") == "corral.handler.my%2Ehandler%20%3E%20%2A.pre.instance.start"
    assert handler_subject("a.b;handler=x;handler=y") == "corral.handler.x%3Bhandler%3Dy.a.b"
    assert handler_reply_subject(3, "instance.start;handler=a.b", "id-1") == "corral.reply.3.handler-a%2Eb.id-1"


@pytest.mark.parametrize(
    ("body", "data", "passes"),
    [
        ({"data": {"a": 1}}, {"a": 1}, False),
        ({"data": {}}, {}, False),
        ({"data": None}, {}, True),
        ({"previousIds": ["x"]}, {}, True),
        ({"data": {"continue": True, "a": 1}}, {"continue": True, "a": 1}, True),
        ({"+data": {"hello": "world"}}, {"+data": {"hello": "world"}}, False),
        ({"name": "renamed"}, {"name": "renamed"}, False),
        ({}, {}, False),
    ],
)
def test_an_answer_is_an_event_or_the_result_alone(body: dict[str, Any], data: dict[str, Any], passes: bool) -> None:
    answer = HandlerAnswer.decode(orjson.dumps(body))
    assert (answer.data, answer.passes, answer.transitioning) == (data, passes, None)


def test_an_answer_without_anything_is_no_result() -> None:
    assert HandlerAnswer.decode(b"").passes
    assert HandlerAnswer.decode(b" \n").passes


def test_an_events_other_keys_may_be_anything() -> None:
    told = {"id": 5, "time": "now", "name": None, "resourceId": 7, "context": "x", "transitioning": "error", "transitioningMessage": "no"}
    answer = HandlerAnswer.decode(orjson.dumps(told))
    assert (answer.transitioning, answer.transitioningMessage) == ("error", "no")


@pytest.mark.parametrize("body", [b"OK", b"[]", b"null", b'"text"', b'{"data": "text"}', b'{"data": [1]}', b'{"transitioning": "maybe"}'])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        HandlerAnswer.decode(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "it is no JSON object"),
        (b'{"id": null}', "id: None is not a text"),
        (b'{"data": []}', "data: [] is not a map"),
        (b'{"time": "soon", "name": 5}', "name: 5 is not a text; time: 'soon' is not a whole number"),
        (b'{"time": true}', "time: True is not a whole number"),
        (b'{"previousIds": [1]}', "previousIds: [1] is not a list of texts"),
        (b'{"transitioning": "maybe"}', "transitioning: 'maybe' is not \"no\", \"yes\" or \"error\""),
    ],
)
def test_what_is_no_message_is_told_field_by_field(body: bytes, said: str) -> None:
    with pytest.raises(BadMessage) as told:
        Message.decode(body)
    assert str(told.value) == said


def test_a_message_survives_the_wire_and_what_is_unknown_in_it_is_left_out() -> None:
    said = Message(name="ping", data={"é": [1, None, {"a": 1.5}]}, previousIds=["x"], context={"epoch": 3})
    assert Message.decode(said.encode()) == said
    assert Message.read({**said.document(), "more": 1}) == said
    odd = Message.decode(b'{"time": 5.0, "timeoutMillis": "7", "replyTo": null}')
    assert (odd.time, odd.timeoutMillis, odd.replyTo) == (5, 7, None)


def test_a_heartbeat_names_its_agent_and_a_time_that_is_one() -> None:
    assert Presence.decode(Presence(agent=7, uuid="x", instances={"a": "running"}).encode()).instances == {"a": "running"}
    for payload in (b"{}", b'{"agent": 7}', b'{"agent": 7, "uuid": "x", "time": -1}', b'{"agent": 7, "uuid": "x", "instances": {"a": 1}}'):
        with pytest.raises(BadMessage):
            Presence.decode(payload)
