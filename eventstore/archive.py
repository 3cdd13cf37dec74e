"""Archive files: what left the log, as gzipped NDJSON that anything can read. Written by eventstore.archiving, read by eventstore.history.

    <folder>/<log>-<run>/manifest.json           what the run took: ranges, counts, checksums
    <folder>/<log>-<run>/<first>-<last>.ndjson.gz   one event a line, by position:
    {"position":7,"stream":"instance-1","version":2,"type":"updated","at":"...","data":{...},"metadata":{...}}
"""

from __future__ import annotations

import gzip
import hashlib
import os
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from eventstore.errors import ArchiveAway
from eventstore.types import Recorded

FORMAT = 1
"""Of the files and the manifest. A reader refuses a newer one."""

MANIFEST = "manifest.json"
OPEN_FILES = 32
"""Files kept unpacked by a reader, so that reading on does not unpack one for every thousand events. About 6 MB each."""

BEGIN = b'{"position":'


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file, as the log's catalogue has it. `folder` is where it was written; it may have been moved since."""

    number: int
    folder: str
    name: str
    first: int
    last: int
    events: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """`log`: the identity of the log that it comes from. `before`: the position that was given. `files`: as in the catalogue."""

    format: int
    log: str
    run: int
    made: str
    before: int
    streams: int
    events: int
    files: list[dict[str, Any]]

    def write(self, folder: Path) -> None:
        fresh = folder / f"{MANIFEST}.new"
        with fresh.open("wb") as file:
            file.write(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / MANIFEST)
        sync_folder(folder)


def line_of(position: int, stream: str, version: int, type: str, at: datetime, data: str, metadata: str) -> bytes:
    """An event as a line. `data` and `metadata` are JSON as the database has it, so that no number changes on its way."""
    head = orjson.dumps({"position": position, "stream": stream, "version": version, "type": type, "at": at.isoformat()})
    return head[:-1] + b',"data":' + data.encode() + b',"metadata":' + metadata.encode() + b"}\n"


def event_of(line: bytes) -> Recorded:
    told = orjson.loads(line)
    at = datetime.fromisoformat(told["at"])
    return Recorded(told["position"], told["stream"], told["version"], told["type"], told["data"], told["metadata"], at)


def write_file(folder: Path, lines: Iterable[bytes], first: int, last: int) -> tuple[str, str]:
    """-> the file's name and checksum. It is on the disk, and not in a cache, when this returns."""
    name = f"{first:012}-{last:012}.ndjson.gz"
    content = gzip.compress(b"".join(lines), compresslevel=6, mtime=0)
    with (folder / name).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return name, hashlib.sha256(content).hexdigest()


def sync_folder(folder: Path) -> None:
    """A new name in a folder is not on the disk before the folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Unpacked:
    """A file's lines, by position."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._positions = [int(line[len(BEGIN) : line.index(b",")]) for line in lines]

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self, after: int, to: int) -> Iterator[bytes]:
        """Of the positions after + 1 .. to."""
        begin = bisect_right(self._positions, after)
        for position, line in zip(self._positions[begin:], self._lines[begin:], strict=True):
            if position > to:
                return
            yield line

    def events(self, after: int, to: int, words: Iterable[bytes] = ()) -> Iterator[Recorded]:
        """`words`: only lines that hold one of them are worth parsing."""
        wanted = tuple(words)
        for line in self.lines(after, to):
            if not wanted or any(word in line for word in wanted):
                yield event_of(line)


class Archive:
    """Where archived events are read from: `folder`, where one is given, else where each file was written. For several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._open: OrderedDict[str, Unpacked] = OrderedDict()
        self._lock = Lock()

    def unpack(self, file: ArchiveFile) -> Unpacked:
        """Checked against the catalogue each time. Raises ArchiveAway, naming the file and what to do. Blocks: call it in a thread."""
        with self._lock:
            if (found := self._open.get(file.sha256)) is not None:
                self._open.move_to_end(file.sha256)
                return found
        unpacked = check(file, self.path(file))
        with self._lock:
            self._open[file.sha256] = unpacked
            while len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)
        return unpacked

    def path(self, file: ArchiveFile) -> Path:
        """The folder that was given goes first: an archive may have been copied to this machine."""
        written = Path(file.folder) / file.name
        if self._folder is None:
            return written
        given = self._folder / file.name
        return given if given.exists() or not written.exists() else written

    def verify(self, files: Iterable[ArchiveFile], told: Callable[[ArchiveFile], None] = lambda file: None) -> list[str]:
        """Reads all of them. -> what is wrong, a sentence each."""
        wrong: list[str] = []
        for file in files:
            try:
                check(file, self.path(file))
            except ArchiveAway as away:
                wrong.append(str(away))
            told(file)
        return wrong


def check(file: ArchiveFile, path: Path) -> Unpacked:
    """The file unpacked, if it is the very one that was written; else ArchiveAway."""
    what = f"events between positions {file.first} and {file.last} are in the archive, in {path}"
    mend = "put it there again from a copy, or say with CORRAL_ARCHIVE in which folder the archive is now"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArchiveAway(f"{what}, which can't be read ({(error.strerror or str(error)).lower()}): {mend}") from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ArchiveAway(f"{what}, which is damaged (its checksum is another): {mend}")
    lines = gzip.decompress(content).splitlines(keepends=True)
    unpacked = Unpacked(lines)
    if len(unpacked) != file.events:
        raise ArchiveAway(f"{what}, which holds {len(unpacked)} events instead of {file.events}: {mend}")
    return unpacked
