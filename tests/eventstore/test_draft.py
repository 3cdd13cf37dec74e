"""How appends share batches: each stream once, in the order asked, nobody forgotten."""

from __future__ import annotations

from asyncio import Future, new_event_loop
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from eventstore import Appended, CommandKey, Event, Work, Write
from eventstore.batch import Draft, Member, Outcome, answers, draft_of
from eventstore.encode import encode_append

streams = st.sampled_from([f"s-{n}" for n in range(6)])
appends = st.tuples(st.sets(streams, max_size=3), st.sets(streams, max_size=2), st.sampled_from(["", "k-1", "k-2"]), st.booleans())


@contextmanager
def members(wanted: list[tuple[set[str], set[str], str, bool]]) -> Iterator[list[Member]]:
    loop = new_event_loop()
    made = []
    for written, read, key, work in wanted:
        encoded = encode_append(
            [Write(stream, 0, (Event("created", {}),)) for stream in sorted(written)],
            unchanged=dict.fromkeys(read, 0),
            command=CommandKey("1a1", key, "h") if key else None,
            work=[Work("root-1", 0)] if work else (),
        )
        answer: Future[Appended] = loop.create_future()
        made.append(Member(encoded, answer, 0))
    yield made
    loop.close()


def drafts(waiting: list[Member], cap: int) -> list[Draft]:
    made = []
    while waiting:
        draft = Draft(cap)
        waiting = [member for member in waiting if not draft.add(member)]
        made.append(draft)
    return made


@given(st.lists(appends, max_size=30), st.integers(1, 40))
def test_a_batch_touches_nothing_twice_and_order_is_kept(wanted: list[tuple[set[str], set[str], str, bool]], cap: int) -> None:
    with members(wanted) as waiting:
        made = drafts(waiting, cap)
        assert all(draft.members for draft in made), "every batch takes somebody, so all are sent in the end"
        batch_of = {id(member): number for number, draft in enumerate(made) for member in draft.members}
        assert len(batch_of) == len(waiting)
        for draft in made:
            keys = [key for member in draft.members for key in member.encoded.keys]
            assert len(keys) == len(set(keys))
            for member in draft.members:
                others = {key for other in draft.members if other is not member for key in other.encoded.keys}
                assert others.isdisjoint(member.encoded.unchanged or ())
            assert len(draft.members) == 1 or sum(len(member.encoded.events) or 1 for member in draft.members) <= cap
            assert [id(member) for member in draft_of(draft.members).members] == [id(member) for member in draft.members]
        for number, earlier in enumerate(waiting):
            for later in waiting[number + 1 :]:
                if not set(earlier.encoded.keys).isdisjoint(later.encoded.keys):
                    assert batch_of[id(earlier)] < batch_of[id(later)]


def test_positions_skip_the_refused() -> None:
    now = datetime.now(UTC)
    written: list[set[str]] = [{"s-1", "s-2"}, {"s-3"}, set(), {"s-4"}]
    with members([(each, set(), "", False) for each in written]) as made:
        refused = [{"member": 2, "why": "version", "stream": "s-3", "expected": 0, "actual": 4}, {"member": 2, "why": "reused", "key": "k"}]
        told = answers(made, Outcome(11, now, refused))
        assert [told[0], told[2], told[3]] == [Appended(11, 12, now), Appended(13, 12, now), Appended(13, 13, now)]
        assert str(told[1]) == "stream s-3 is at version 4, not 0: reload it and decide again"
