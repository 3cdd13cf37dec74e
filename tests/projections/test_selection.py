"""Lists over rows in memory: LIKE as the database has it, in a time that no pattern can stretch."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from projections.selection import like

WILD = {"%": ".*", "_": "."}


@given(st.text(alphabet="ab%_", max_size=8), st.text(alphabet="ab\n", max_size=8))
@example("a%a", "a")
@example("a_%_a", "aba")
@example("%%", "")
def test_a_percent_is_any_text_and_an_underscore_any_character(pattern: str, text: str) -> None:
    expression = "".join(WILD.get(each, each) for each in pattern)
    assert like(pattern).fits(text) == bool(re.fullmatch(expression, text, re.DOTALL))


def test_a_backslash_takes_the_next_character_as_it_is() -> None:
    assert [like(r"a\%%").fits(text) for text in ("a%", "a%b", "ab")] == [True, True, False]
    assert [like(r"\_\\").fits(text) for text in ("_\\", "a\\")] == [True, False]


def test_many_percents_are_looked_for_in_one_pass() -> None:
    assert not like("%a" * 100 + "%b").fits("a" * 250)
    assert like("%a" * 100 + "%").fits("a" * 250)
