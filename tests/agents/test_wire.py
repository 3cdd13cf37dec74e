"""What goes over the wire between the engine and external handlers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from agents.wire import HandlerAnswer, handler_reply_subject, handler_subject


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
