"""A value that is cheap to make is otherwise the value it was."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field, replace

from eventstore.unguarded import unguarded


@dataclass(frozen=True, slots=True)
class Guarded:
    name: str
    size: int = 3
    parts: dict[str, int] = field(default_factory=dict)


@unguarded
@dataclass(frozen=True, slots=True)
class Value:
    name: str
    size: int = 3
    parts: dict[str, int] = field(default_factory=dict)


@unguarded
@dataclass(frozen=True, slots=True)
class Bare:
    name: str
    size: int = 3


def test_it_is_made_compared_shown_and_changed_as_before() -> None:
    value = Value("a", parts={"b": 1})
    assert (value.name, value.size, value.parts) == ("a", 3, {"b": 1})
    assert value == Value("a", 3, {"b": 1})
    assert value != Value("b")
    assert replace(value, size=4) == Value("a", 4, {"b": 1})
    assert repr(value) == repr(Guarded("a", parts={"b": 1})).replace("Guarded", "Value")
    assert pickle.loads(pickle.dumps(value)) == value


def test_each_has_parts_of_its_own() -> None:
    assert Value("a").parts is not Value("a").parts


def test_equal_ones_hash_alike() -> None:
    assert hash(Bare("a")) == hash(Bare("a", 3))
    assert len({Bare("a"), Bare("a"), Bare("b")}) == 2
