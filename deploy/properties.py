"""Files in Java's properties syntax, as Cattle's own are: cattle.properties. Pure.

    # a comment, as one that begins with !
    engine.turns = 64          the name ends at the first =, : or blank that no backslash stands before
    agent.config.items : pyagent, \\
                         configscripts         a backslash at the end goes on in the next line, without the blanks it begins with
    motd = caf\\u00e9\\n                         \\t \\n \\r \\f \\uXXXX; before any other character a backslash means nothing

The last of several with one name counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BLANKS = " \t\f"

_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")


class BadProperties(Exception):
    """A line can't be read; the message says which and why."""


def decoded(content: bytes) -> str:
    """UTF-8, or what Java wrote for long, Latin-1."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def parse(text: str) -> dict[str, str]:
    """Raises BadProperties."""
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        name, value = _split(line)
        try:
            found[_plain(name)] = _plain(value)
        except ValueError as error:
            raise BadProperties(f"line {number}: {error}") from None
    return found


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """(number of its first line, all of it) of each that is neither blank nor a comment."""
    begun: tuple[int, str] | None = None
    for number, natural in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = natural.lstrip(BLANKS)
        if begun is None and (not line or line[0] in "#!"):
            continue
        first, before = begun or (number, "")
        line = before + line
        backslashes = len(line) - len(line.rstrip("\\"))
        begun = (first, line[:-1]) if backslashes % 2 else None
        if begun is None and line:
            yield first, line
    if begun is not None and begun[1]:
        yield begun


def _split(line: str) -> tuple[str, str]:
    """Name and value, escaped as they are."""
    end = 0
    while end < len(line) and line[end] not in "=:" + BLANKS:
        end += 2 if line[end] == "\\" else 1
    rest = line[end:].lstrip(BLANKS)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(BLANKS)
    return line[:end], rest


def _plain(escaped: str) -> str:
    """Raises ValueError."""
    parts: list[str] = []
    position = 0
    while (backslash := escaped.find("\\", position)) >= 0:
        parts.append(escaped[position:backslash])
        character = escaped[backslash + 1 : backslash + 2]
        position = backslash + 2
        if character == "u":
            code = _HEX.match(escaped, position)
            if code is None:
                raise ValueError(f"\\u needs four hex digits, as in \\u00e9: {escaped[backslash : backslash + 6]!r}")
            parts.append(chr(int(code[0], 16)))
            position += 4
        else:
            parts.append(_ESCAPED.get(character, character))
    text = "".join([*parts, escaped[position:]])
    try:  # what Java writes as two codes is one character
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError("half of a surrogate pair stands alone") from None
