"""The agenda: one turn a root at a time, in order, and no more roots at work than there may be."""

from __future__ import annotations

from commands.engine.agenda import Agenda
from commands.turns.intake import Answer


def agenda(most: int) -> Agenda:
    return Agenda(lambda: most, lambda root: root.startswith("image-"))


def taken(of: Agenda) -> list[str]:
    """All that may take a turn now."""
    found = []
    while following := of.take():
        found.append(following[0])
    return found


def test_a_root_takes_one_turn_for_all_that_came_before_it() -> None:
    mine = agenda(10)
    answers = [Answer("1", "ping", {}), Answer("2", "ping", {})]
    mine.add("instance-1", cause="a")
    mine.add("instance-1", answer=answers[0])
    mine.add("instance-1", answer=answers[1], failed=("image-1", "why"))
    mine.add("instance-1", silent="3")
    following = mine.take()
    assert following is not None
    root, triggers = following
    assert (root, triggers.cause, triggers.answers, triggers.failed) == ("instance-1", "a", tuple(answers), {"image-1": "why"})
    assert triggers.silent == {"3"}
    assert mine.take() is None


def test_what_comes_during_a_turn_is_taken_in_by_the_next_and_never_beside_it() -> None:
    mine = agenda(10)
    mine.add("instance-1")
    assert taken(mine) == ["instance-1"]
    mine.add("instance-1", cause="news")
    assert mine.take() is None
    mine.done("instance-1", under_way=True)
    following = mine.take()
    assert following is not None
    assert following[1].cause == "news"
    mine.done("instance-1", under_way=False)
    assert mine.take() is None


def test_beyond_the_most_at_work_roots_wait_and_the_first_come_is_the_first_served() -> None:
    mine = agenda(2)
    for number in range(5):
        mine.add(f"instance-{number}")
    assert taken(mine) == ["instance-0", "instance-1"]
    assert (mine.at_work, mine.queued) == (2, 3)
    mine.done("instance-0", under_way=True)  # it waits for an agent
    assert mine.take() is None
    mine.add("instance-0", answer=Answer("1", "ping", {}))
    assert taken(mine) == ["instance-0"], "who is at work goes on"
    mine.done("instance-0", under_way=False)
    mine.done("instance-1", under_way=False)
    assert taken(mine) == ["instance-2", "instance-3"]
    mine.done("instance-3", under_way=False)
    assert taken(mine) == ["instance-4"]


def test_what_others_wait_for_never_waits_behind_them() -> None:
    mine = agenda(1)
    mine.add("instance-1")
    mine.add("instance-2")
    mine.add("image-1")
    assert taken(mine) == ["instance-1", "image-1"]


def test_an_answer_is_taken_in_whatever_waits() -> None:
    mine = agenda(1)
    mine.add("instance-1")
    mine.add("instance-2")
    assert taken(mine) == ["instance-1"]
    mine.add("instance-2", answer=Answer("1", "ping", {}))
    assert taken(mine) == ["instance-2"], "it was at work before this engine had it"
    mine.add("instance-2", silent="1")
    mine.done("instance-2", under_way=False)
    assert taken(mine) == ["instance-2"]


def test_what_another_engine_has_now_is_forgotten_and_makes_room() -> None:
    mine = agenda(2)
    for number in range(4):
        mine.add(f"instance-{number}")
    assert taken(mine) == ["instance-0", "instance-1"]
    mine.add("instance-0", cause="late")
    mine.forget(lambda root: root in ("instance-0", "instance-2"))
    assert taken(mine) == ["instance-3"]
    mine.done("instance-0", under_way=False)
    assert taken(mine) == []
    mine.add("instance-0")
    mine.forget(lambda root: root == "instance-0")
    mine.add("instance-0")
    mine.done("instance-1", under_way=False)
    assert taken(mine) == ["instance-0"], "once, although it came twice"


def test_who_waits_for_another_or_for_people_makes_room_and_comes_before_all_that_came_later() -> None:
    mine = agenda(1)
    for number in range(3):
        mine.add(f"instance-{number}")
    assert taken(mine) == ["instance-0"]
    mine.done("instance-0", under_way=True, waits=True)
    assert taken(mine) == ["instance-1"], "else what it waits for might wait for it"
    mine.add("instance-0", cause="what it waited for is done")
    mine.add("instance-3")
    mine.done("instance-1", under_way=False)
    assert taken(mine) == ["instance-0"]
    mine.done("instance-0", under_way=False)
    mine.add("instance-0", cause="something new")
    for following in ("instance-2", "instance-3", "instance-0"):
        assert taken(mine) == [following]
        mine.done(following, under_way=False)
    assert (mine.at_work, mine.queued) == (0, 0)


def test_a_root_is_next_until_its_turn_is_over_unless_it_waits_for_room() -> None:
    agenda = Agenda(lambda: 1, lambda root: False)
    agenda.add("instance-1")
    agenda.add("instance-2")
    assert [agenda.is_next(root) for root in ("instance-1", "instance-2", "instance-3")] == [True, False, False]
    assert agenda.take() is not None
    assert agenda.is_next("instance-1")
    agenda.done("instance-1", under_way=False, waits=False)
    assert [agenda.is_next(root) for root in ("instance-1", "instance-2")] == [False, True]
