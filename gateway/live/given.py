"""What a command is given, as clients say it over a WebSocket and over NATS alike: in pieces that any message has room for. Pure.

    {"stdin": text}, {"base64": bytes}, {"resize": [columns, rows]}, {"eof": true}: its input ends
"""

from __future__ import annotations

import base64
from typing import Any

import orjson

from agents.live import MOST_BYTES, Json
from commands.errors import Refused

MOST_LETTERS = MOST_BYTES // 4
"""Of text in one piece, whatever its letters are."""


class NoInput(Refused):
    """What came is nothing that a command can be given."""

    def __init__(self, said: str) -> None:
        super().__init__("InvalidFormat", f'{said}: send {{"stdin": "text"}}, bytes, {{"resize": [80, 24]}} or {{"eof": true}}')


def read(said: str | bytes) -> Any:
    """Raises NoInput."""
    try:
        return orjson.loads(said)
    except ValueError:
        raise NoInput("a frame is no JSON") from None


def pieces(frame: Any) -> list[Json]:
    """Raises NoInput."""
    match frame:
        case {"stdin": str(text)}:
            return [{"stdin": text[begin : begin + MOST_LETTERS]} for begin in range(0, len(text), MOST_LETTERS)]
        case {"base64": str(text)}:
            try:
                return pieces_of(base64.b64decode(text, validate=True))
            except ValueError:
                raise NoInput("a frame's base64 is none") from None
        case {"eof": True}:
            return [{"eof": True}]
        case {"resize": [int(columns), int(rows)]}:
            return [{"resize": [columns, rows]}]
    raise NoInput("a frame is none that is known")


def pieces_of(raw: bytes) -> list[Json]:
    parts = (raw[begin : begin + MOST_BYTES] for begin in range(0, len(raw), MOST_BYTES))
    return [{"base64": base64.b64encode(part).decode()} for part in parts]
