"""Names of events, whom they concern, and the NATS subjects behind them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.wire import command_subject, handler_reply_subject, handler_subject, reply_subject
from gateway.bus import names
from gateway.bus.index import Index

TEXT = st.text(alphabet="ab.;=", max_size=8)
STARRED = st.text(alphabet="ab.;=*", min_size=1, max_size=8)


@given(STARRED, TEXT)
def test_a_star_is_any_text(wanted: str, name: str) -> None:
    pattern = ".*".join(re.escape(part) for part in wanted.split("*"))
    assert names.matches(wanted, name) == bool(re.fullmatch(pattern, name, re.DOTALL))


def test_many_stars_are_matched_in_one_pass() -> None:
    assert not names.matches("*a" * 120 + "*b", "a" * 255)


@given(st.lists(st.tuples(STARRED, st.integers(0, 3)), max_size=12), st.lists(st.integers(0, 11), max_size=6), TEXT)
def test_the_index_finds_whom_asking_everybody_would_find(wanted: list[tuple[str, int]], gone: list[int], name: str) -> None:
    index: Index[int] = Index()
    for text, who in wanted:
        index.add([text], who)
    left = {*wanted} - {wanted[each] for each in gone if each < len(wanted)}
    for text, who in {*wanted} - left:
        index.remove([text], who)
    assert sorted(index.find(name)) == sorted({who for text, who in left if names.matches(text, name)})
    for text, who in left:
        index.remove([text], who)
    assert not index


def covers(subjects: frozenset[str], subject: str) -> bool:
    return any(subject.startswith(each[:-1]) for each in subjects)


@pytest.mark.parametrize(
    ("wanted", "subjects"),
    [
        ("ping;agent=5", {"corral.agent.a5.>"}),
        ("compute.*;agent=5", {"corral.agent.a5.>"}),
        ("instance.start;handler=demo", {"corral.handler.demo.>"}),
        ("ping.reply", {"corral.reply.>"}),
        ("resource.change", set()),
        ("resource.change;account=3", set()),
        ("*.change", {"corral.handler.>"}),
        ("*", {"corral.agent.>", "corral.handler.>", "corral.reply.>"}),
    ],
)
def test_the_subjects_of_a_name(wanted: str, subjects: set[str]) -> None:
    assert names.subjects(wanted) == subjects


@given(STARRED, st.sampled_from(["ping", "compute.instance.activate"]), st.integers(1, 99))
def test_whatever_agents_are_asked_comes_to_who_wants_it(wanted: str, command: str, agent: int) -> None:
    if names.matches(wanted, f"{command};agent={agent}"):
        assert covers(names.subjects(wanted), command_subject(agent, command))


@given(STARRED, st.sampled_from(["a", "b", "ab"]))
def test_whatever_handlers_are_asked_comes_to_who_wants_it(wanted: str, handler: str) -> None:
    event = f"a.b;handler={handler}"
    if names.matches(wanted, event):
        assert covers(names.subjects(wanted), handler_subject(event))


def test_what_is_part_of_another_subject_is_not_heard_twice() -> None:
    wanted = frozenset({"corral.agent.a5.>", "corral.agent.>", "corral.handler.x.>"})
    assert names.narrowed(wanted) == {"corral.agent.>", "corral.handler.x.>"}


def test_an_answers_name_leads_back_to_who_asked() -> None:
    subject = reply_subject(3, 7, "0a-1b")
    name = names.answer_name(subject, "instanceHostMap-5")
    read = names.read_answer_name(name)
    assert read == names.AnswerName("3", "a7", "0a-1b", "instanceHostMap-5")
    assert (read.subject, read.agent, read.of_heartbeat) == (subject, 7, False)
    of_handler = handler_reply_subject(3, "instance.start;handler=de.mo", "0a-1b")
    read = names.read_answer_name(names.answer_name(of_handler, ""))
    assert read is not None
    assert (read.subject, read.agent) == (of_handler, None)
    heartbeat = names.read_answer_name(names.heartbeat_name(7, "0a-1b"))
    assert heartbeat is not None
    assert (heartbeat.of_heartbeat, heartbeat.agent) == (True, 7)


@pytest.mark.parametrize("name", ["reply.653336", "reply.3.a7", "reply.3.7.x", "reply.3.a7.x.y.z", "corral.reply.3.a7.x", "reply.3.a7.x.>"])
def test_what_is_no_answers_name(name: str) -> None:
    assert names.read_answer_name(name) is None
