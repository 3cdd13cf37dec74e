"""What a container writes: the engine's frames -> streams -> lines. Pure."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

from agents.driver import Json

STREAMS = ("stdin", "stdout", "stderr")
MOST_LINE = 32 * 1024
"""A longer line comes in parts."""


@dataclass(slots=True)
class Frames:
    """Fed with what comes, tells (stream, bytes). With a terminal there are no frames, and all is stdout."""

    terminal: bool
    _rest: bytes = b""

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        if self.terminal:
            return [("stdout", chunk)]
        self._rest += chunk
        found: list[tuple[str, bytes]] = []
        while len(self._rest) >= 8:
            end = 8 + int.from_bytes(self._rest[4:8], "big")
            if len(self._rest) < end:
                break
            found.append((STREAMS[self._rest[0] % 3], self._rest[8:end]))
            self._rest = self._rest[end:]
        return found


@dataclass(slots=True)
class Lines:
    """Log lines, each with the time that the engine wrote before it."""

    terminal: bool
    _rest: bytes = b""

    def feed(self, stream: str, output: bytes) -> list[Json]:
        """Of a frame, which is one line or a part of one; a terminal's lines are found by their ends."""
        if not self.terminal:
            return [_line(stream, output.removesuffix(b"\n"), partial=not output.endswith(b"\n"))]
        *whole, self._rest = (self._rest + output).split(b"\n")
        lines = [_line(stream, each.removesuffix(b"\r"), partial=False) for each in whole]
        if len(self._rest) > MOST_LINE:
            lines.append(_line(stream, self._rest, partial=True))
            self._rest = b""
        return lines

    def end(self) -> list[Json]:
        return [_line("stdout", self._rest, partial=True)] if self._rest else []


@dataclass(slots=True)
class Characters:
    """Output cut where characters end, so that text stays text: what is begun comes with what follows."""

    _rest: dict[str, bytes] = field(default_factory=dict)

    def feed(self, stream: str, output: bytes) -> bytes:
        output = self._rest.pop(stream, b"") + output
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(output)
        begun = decoder.getstate()[0]
        if begun:
            self._rest[stream] = begun
        return output[: len(output) - len(begun)]

    def end(self) -> list[tuple[str, bytes]]:
        return [(stream, begun) for stream, begun in self._rest.items()]


def _line(stream: str, line: bytes, *, partial: bool) -> Json:
    time, _, text = line.partition(b" ")
    told: Json = {"stream": stream, "time": time.decode(errors="replace"), "text": text.decode(errors="replace")}
    return {**told, "partial": True} if partial else told
