"""What a machine said on its serial console: the file that libvirt writes, and those that it put aside, as lines. Blocks.

    serial-<uuid>.log     libvirt's virtlogd writes it; when it is full it becomes .0, and what was .0 becomes .1 (older ones go)
"""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from agents.driver import DriverError, Json

PIECE = 32 * 1024
MOST_ASIDE = 100
"""virtlogd keeps as many as its max_backups says: 3 unless told otherwise."""


class Console:
    """`begin` once, then `read` until it tells nothing, and again when there may be more. `with`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: list[BinaryIO] = []
        """What is still to be read, the oldest first; the last is the one that is written."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for file in self._open:
            file.close()

    def begin(self, tail: int | None) -> None:
        """`tail`: with so many lines from the end; None: with all. Raises DriverError."""
        try:
            self._open = [each.open("rb") for each in (*reversed(put_aside(self._path)), self._path) if each.exists()]
        except OSError as error:
            raise DriverError(f"what the machine said can't be read: {error}. Run the agent as a user who may read {self._path}") from error
        if tail is None:
            return
        wanted = tail
        for index in range(len(self._open) - 1, -1, -1):
            wanted -= _seek_lines(self._open[index], wanted)
            if wanted <= 0:
                for file in self._open[:index]:
                    file.close()
                self._open = self._open[index:]
                return

    def read(self) -> list[Json]:
        """What came, as lines; the last one may be a part of one, and go on with what is read next."""
        while True:
            if not self._open:
                if not self._path.exists():
                    return []
                self._open = [self._path.open("rb")]
            file = self._open[0]
            if os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)  # it was emptied
            if piece := file.read(PIECE):
                return _lines(self._decoder.decode(piece))
            if len(self._open) == 1 and not self._was_put_aside(file):
                return []
            self._open.pop(0).close()

    def _was_put_aside(self, file: BinaryIO) -> bool:
        try:
            return not os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False


def put_aside(path: Path) -> list[Path]:
    """The newest first."""
    named = (path.with_name(f"{path.name}.{number}") for number in range(MOST_ASIDE))
    return [each for each in named if each.exists()]


def _lines(text: str) -> list[Json]:
    *whole, rest = text.split("\n")
    lines: list[Json] = [{"stream": "stdout", "time": None, "text": each.removesuffix("\r")} for each in whole]
    return [*lines, {"stream": "stdout", "time": None, "text": rest, "partial": True}] if rest else lines


def _seek_lines(file: BinaryIO, count: int) -> int:
    """To where the last lines begin. -> how many there are; one without its end yet counts."""
    end = position = file.seek(0, os.SEEK_END)
    found = 0
    while position > 0 and count > 0:
        begin = max(0, position - PIECE)
        file.seek(begin)
        piece = file.read(position - begin)
        at = len(piece)
        while (at := piece.rfind(b"\n", 0, at)) >= 0:
            if begin + at == end - 1:  # the end of the last line, and not of one before it
                continue
            found += 1
            if found == count:
                file.seek(begin + at + 1)
                return count
        position = begin
    file.seek(0 if count > 0 else end)
    return found + 1 if end and count > 0 else found
