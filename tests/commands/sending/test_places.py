"""Places for commands in flight: how many, for whom next, and that none is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from commands.sending.places import Places


def places(most: int) -> tuple[Places, list[str]]:
    called: list[str] = []
    return Places(lambda: most, called.append), called


def test_the_oldest_request_is_called_when_a_place_is_free() -> None:
    mine, called = places(1)
    assert mine.take(1, "ask-1")
    assert not mine.take(1, "ask-2")
    assert mine.wait(1, 20, "instance-2")
    assert not mine.wait(1, 10, "instance-3")
    mine.leave("ask-1")
    assert called == ["instance-3"]
    assert not mine.take(1, "ask-2"), "the place is kept for the one that was called"
    assert mine.came("instance-3") == {1}
    assert mine.take(1, "ask-3")


def test_other_agents_have_places_of_their_own() -> None:
    mine, _ = places(1)
    assert mine.take(1, "ask-1")
    assert mine.take(2, "ask-2")


def test_the_same_command_takes_one_place() -> None:
    mine, called = places(1)
    assert mine.take(1, "ask-1")
    assert mine.take(1, "ask-1")
    mine.leave("ask-1")
    mine.leave("ask-1")
    assert list(mine.loads()) == []
    assert called == []


def test_a_root_that_asks_two_agents_waits_at_each_and_is_forgotten_at_both() -> None:
    mine, called = places(1)
    for agent in (1, 2):
        assert mine.take(agent, f"ask-{agent}")
        mine.wait(agent, 5, "instance-1")
        mine.wait(agent, 6, "instance-2")
    mine.forget(lambda root: root == "instance-1")
    assert not mine.waits("instance-1")
    mine.leave("ask-1")
    mine.leave("ask-2")
    assert called == ["instance-2", "instance-2"]


def test_who_was_called_and_is_forgotten_makes_room_for_the_next() -> None:
    mine, called = places(1)
    assert mine.take(1, "ask-1")
    mine.wait(1, 5, "instance-1")
    mine.wait(1, 6, "instance-2")
    mine.leave("ask-1")
    mine.forget(lambda root: root == "instance-1")
    assert called == ["instance-1", "instance-2"]


def test_who_did_not_hear_the_call_is_called_again_and_who_came_is_not() -> None:
    mine, called = places(1)
    mine.wait(1, 5, "instance-1")
    mine.fill(1)
    mine.call_again(1, "instance-1")
    assert called == ["instance-1", "instance-1"]
    mine.came("instance-1")
    mine.call_again(1, "instance-1")
    assert called == ["instance-1", "instance-1"]


STEPS = st.lists(st.tuples(st.sampled_from(["ask", "answer", "forget"]), st.integers(1, 3), st.integers(0, 9)), max_size=80)


@given(STEPS, st.integers(1, 3))
def test_never_more_than_set_are_in_flight_and_all_have_their_turn(steps: list[tuple[str, int, int]], most: int) -> None:
    """`ask`: root number n asks agent a; who is called comes at once."""
    calls: list[str] = []
    mine = Places(lambda: most, calls.append)
    wants: dict[str, dict[int, int]] = {}
    in_flight: dict[str, int] = {}
    asked = 0

    def come(root: str) -> None:
        agents = mine.came(root)
        for agent, since in list(wants.get(root, {}).items()):
            ask = f"{root}@{agent}"
            if ask in in_flight or mine.take(agent, ask):
                in_flight[ask] = agent
                del wants[root][agent]
            else:
                mine.wait(agent, since, root)
        for agent in agents:
            mine.fill(agent)

    def settle() -> None:
        while calls:
            come(calls.pop(0))

    for what, agent, number in steps:
        root = f"instance-{number}"
        if what == "ask":
            asked += 1
            wants.setdefault(root, {})[agent] = asked
            come(root)
        elif what == "answer" and in_flight:
            ask = sorted(in_flight)[number % len(in_flight)]
            del in_flight[ask]
            mine.leave(ask)
        elif what == "forget":
            wants.pop(root, None)
            mine.forget(root.__eq__)
        settle()
        for each in {1, 2, 3}:
            assert sum(agent == each for agent in in_flight.values()) <= most
            assert sum(agent == each for agent in in_flight.values()) == most or not mine.waiting_for(each)
    while in_flight:
        ask = min(in_flight)
        del in_flight[ask]
        mine.leave(ask)
        settle()
    assert not any(wants.values())
    assert list(mine.loads()) == []
