"""How a live answer is written over HTTP: as text, as NDJSON, or as server-sent events. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from agents.live import Json
from gateway.history.streams import Ndjson, ServerSentEvents

LOGS = "logs"


class Form(Protocol):
    """`piece`: of an answer; `error`: the last one of a stream that had begun, `alive`: where nothing was written for a while."""

    @property
    def media_type(self) -> str: ...

    def piece(self, piece: Json) -> bytes: ...

    def error(self, document: Json) -> bytes: ...

    def alive(self) -> bytes: ...


class Lines:
    """Log lines as they were written, both streams in one; `timestamps`: each behind its time. A text has no way to say that it lives."""

    media_type = "text/plain; charset=utf-8"

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._within: set[str] = set()

    def piece(self, piece: Json) -> bytes:
        return b"".join(self._line(each) for each in piece.get("lines") or ())

    def error(self, document: Json) -> bytes:
        return f"*** the log ends here: {document['message']}\n".encode()

    def alive(self) -> bytes:
        return b""

    def _line(self, line: Json) -> bytes:
        begins = line["stream"] not in self._within
        (self._within.add if line.get("partial") else self._within.discard)(line["stream"])
        time = f"{line['time']} " if self._timestamps and begins and line["time"] else ""
        return f"{time}{line['text']}{'' if line.get('partial') else chr(10)}".encode("utf-8", "replace")


class Documents:
    """One document a line, a log's lines each for itself; a blank line is a sign of life, a document of type error the end in one."""

    media_type = Ndjson.media_type

    def piece(self, piece: Json) -> bytes:
        return b"".join(orjson.dumps(each) + b"\n" for each in _documents(piece))

    def error(self, document: Json) -> bytes:
        return orjson.dumps(document) + b"\n"

    def alive(self) -> bytes:
        return b"\n"


class ReadableDocuments(Documents):
    """The same, under a type that a browser shows instead of keeping it as a file."""

    media_type = Lines.media_type


class Events:
    """The same, as browsers' EventSource reads it. It asks again by itself after an end: `event: end` says that there is no more."""

    media_type = ServerSentEvents.media_type

    def piece(self, piece: Json) -> bytes:
        return b"".join(b"data: %s\n\n" % orjson.dumps(each) for each in _documents(piece))

    def error(self, document: Json) -> bytes:
        return b"event: error\ndata: %s\n\n" % orjson.dumps(document)

    def alive(self) -> bytes:
        return b": alive\n\n"


def form_of(accept: str, verb: str, options: Json, *, to_read: bool = False) -> Form:
    """As the client takes it: logs are text unless it says otherwise, all else is NDJSON. `to_read`: by somebody in a browser."""
    if ServerSentEvents.media_type in accept:
        return Events()
    if verb == LOGS and Ndjson.media_type not in accept and "application/json" not in accept:
        return Lines(bool(options.get("timestamps")))
    return ReadableDocuments() if to_read else Documents()


def _documents(piece: Json) -> Iterator[Any]:
    yield from piece["lines"] if isinstance(piece.get("lines"), list) else [piece]
