"""The merge syntax: what replies and events' changes do to a row."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from commands.merge import composed, merged

keys = st.sampled_from(["a", "b", "c"])
leaves: st.SearchStrategy[Any] = st.integers(0, 3) | st.text("xy", max_size=2)
rows: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.dictionaries(keys, leaves, max_size=3), lambda inner: st.dictionaries(keys, leaves | inner, max_size=3), max_leaves=8
)


def with_plus(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Changes: plain keys, and + keys that hold changes again; never both for one name."""

    def marked(changes: dict[str, Any], plus: set[str]) -> dict[str, Any]:
        return {f"+{key}" if key in plus and isinstance(value, dict) else key: value for key, value in changes.items()}

    return st.builds(marked, st.dictionaries(keys, leaves | inner, max_size=3), st.sets(keys))


changes: st.SearchStrategy[dict[str, Any]] = st.recursive(st.dictionaries(keys, leaves, max_size=3), with_plus, max_leaves=8)


def test_a_plain_key_replaces_and_a_plus_merges() -> None:
    row = {"data": {"a": 1}}
    assert merged(row, {"+data": {"b": 2}}) == {"data": {"a": 1, "b": 2}}
    assert merged(row, {"data": {"b": 2}}) == {"data": {"b": 2}}
    assert row == {"data": {"a": 1}}


def test_nested_keys_may_merge_again() -> None:
    row = {"data": {"fields": {"x": 1, "y": {"p": 1}}, "z": 1}}
    change = {"+data": {"+fields": {"x": 2, "+y": {"q": 2}}}}
    assert merged(row, change) == {"data": {"fields": {"x": 2, "y": {"p": 1, "q": 2}}, "z": 1}}


@given(rows, changes, changes)
def test_two_changes_composed_do_what_they_do_one_after_the_other(row: dict[str, Any], one: dict[str, Any], two: dict[str, Any]) -> None:
    assert merged(row, composed(one, two)) == merged(merged(row, one), two)


@given(rows, changes)
def test_merging_twice_is_merging_once(row: dict[str, Any], change: dict[str, Any]) -> None:
    assert merged(merged(row, change), change) == merged(row, change)
