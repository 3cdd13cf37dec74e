"""W3C trace context: what of a request's headers counts, and what is told to whoever is asked next."""

from __future__ import annotations

import pytest

from commands.trace import NO_TIES, Ties, Trace, named, read, ties_of

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_traceparent_is_read_with_the_state_that_others_keep_beside_it() -> None:
    assert read(PARENT, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE") == Trace(
        TRACE_ID, SPAN_ID, "01", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    )
    assert read(PARENT) == Trace(TRACE_ID, SPAN_ID)


def test_a_version_to_come_may_say_more_and_is_answered_in_ours() -> None:
    later = read(f"cc-{TRACE_ID}-{SPAN_ID}-01-what-will-be")
    assert later is not None
    assert later.parent == PARENT


@pytest.mark.parametrize("malformed", [
    "", "00", PARENT.upper(), f"ff-{TRACE_ID}-{SPAN_ID}-01", f"00-{'0' * 32}-{SPAN_ID}-01", f"00-{TRACE_ID}-{'0' * 16}-01",
    f"00-{TRACE_ID[:-1]}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-1", f"00-{TRACE_ID}-{SPAN_ID}-0g", PARENT.replace("-", "_"),
    f"{PARENT}-more", f"{PARENT},{PARENT}",
])  # fmt: skip
def test_what_is_malformed_does_not_count_and_neither_does_its_state(malformed: str) -> None:
    assert read(malformed, "rojo=1") is None


def test_a_state_that_is_too_long_or_no_text_is_left_out_whole() -> None:
    assert read(PARENT, "a=" + "b" * 600) == read(PARENT, "a=\x00") == Trace(TRACE_ID, SPAN_ID)


def test_each_hop_is_a_span_of_its_own_and_sent_again_it_is_the_same_one() -> None:
    ties = Ties("chosen", read(PARENT, "rojo=1"))
    first, other = ties.hop("ask-1"), ties.hop("ask-2")
    assert first is not None
    assert other is not None
    assert first == ties.hop("ask-1")
    assert len({SPAN_ID, first.span_id, other.span_id}) == 3
    assert (first.trace_id, first.flags, first.state) == (TRACE_ID, "01", "rojo=1")
    assert first.headers() == {"traceparent": f"00-{TRACE_ID}-{first.span_id}-01", "tracestate": "rojo=1"}


def test_what_an_event_keeps_of_it_is_read_from_it_again() -> None:
    for ties in (NO_TIES, Ties("chosen"), Ties("chosen", read(PARENT)), Ties(None, read(PARENT, "rojo=1"))):
        assert ties_of(ties.metadata()) == ties
    assert ties_of({"correlation": "chosen", "traceparent": 7, "tracestate": []}) == Ties("chosen")


def test_a_request_without_one_is_the_trace_of_its_own_id() -> None:
    assert Ties("corral:seed").hop("ask") is None
    assert named("0" * 32) is None
    hop = Ties(TRACE_ID).hop("ask")
    assert hop is not None
    assert hop.trace_id == TRACE_ID
    assert Ties(TRACE_ID).metadata() == {"correlation": TRACE_ID}, "its events need to say no more"
