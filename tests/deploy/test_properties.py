"""Java's properties syntax: what Cattle's own files may hold is read as Java reads it."""

from __future__ import annotations

import pytest

from deploy.properties import BadProperties, decoded, parse


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("engine.turns=64", {"engine.turns": "64"}),
        ("  engine.turns  =  64", {"engine.turns": "64"}),
        ("engine.turns : 64", {"engine.turns": "64"}),
        ("engine.turns\t64", {"engine.turns": "64"}),
        ("a = b = c : d", {"a": "b = c : d"}),
        ("trailing = blanks stay  ", {"trailing": "blanks stay  "}),
        ("alone", {"alone": ""}),
        ("alone=", {"alone": ""}),
        ("= nameless", {"": "nameless"}),
        ("# comment\n! another\n\n   \n  # indented\na=b # not one", {"a": "b # not one"}),
        ("a=1\r\nb=2\rc=3", {"a": "1", "b": "2", "c": "3"}),
        ("a=1\na=2", {"a": "2"}),
        ("fruits = apple, \\\n         pear, \\\n\t plum", {"fruits": "apple, pear, plum"}),
        ("a = one\\\n# no comment here", {"a": "one# no comment here"}),
        ("# a comment does not go on \\\na=1", {"a": "1"}),
        ("even = two\\\\\nb=1", {"even": "two\\", "b": "1"}),
        ("odd = three\\\\\\\nand on", {"odd": "three\\and on"}),
        ("cut off = \\", {"cut": "off = "}),
        ("a=1\n\\\n", {"a": "1"}),
        (r"a\ b\=c\:d = e", {"a b=c:d": "e"}),
        (r"a = \  b", {"a": "  b"}),
        (r"tab = \t, line = \n, \r, \f", {"tab": "\t, line = \n, \r, \f"}),
        (r"other = \q\"\\", {"other": 'q"\\'}),
        (r"caf\u00e9 = \u20AC", {"café": "€"}),
        (r"pair = \uD83D\uDE00", {"pair": "😀"}),
        ("", {}),
    ],
)
def test_a_file_is_read_as_java_reads_it(text: str, wanted: dict[str, str]) -> None:
    assert parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a=1\nb=\\u12", r"line 2: \\u needs four hex digits, as in \\u00e9: .*u12"),
        ("a=\\\n  b \\uXYZW", "line 1: .*u needs four hex digits"),
        ("a=\\uD83D", "line 1: half of a surrogate pair"),
    ],
)
def test_what_can_not_be_read_is_named_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(BadProperties, match=complaint):
        parse(text)


def test_files_are_utf_8_or_what_java_wrote_for_long() -> None:
    assert parse(decoded("motd=café".encode())) == parse(decoded("motd=café".encode("latin-1"))) == {"motd": "café"}
    assert parse(decoded(b"\xef\xbb\xbfa=1")) == {"a": "1"}
