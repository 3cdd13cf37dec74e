"""What an agent must not forget, on its disk: the newest epoch of every instance, volume and image in a pool, and what it answered.

Written before a command is carried out (epochs, removed ones included) and before its answer is sent. One agent holds a ledger at a time.
Its methods block (a commit waits for the disk): the agent calls them from a thread, with as many commands at once as have come in.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ANSWERS_KEPT = 4096
"""A command older than that many others is carried out again when it is sent again, which is harmless: drivers are idempotent."""

_SCHEMA = """
create table if not exists epochs (subject text primary key, epoch integer not null) without rowid;
create table if not exists answers (number integer primary key autoincrement, command text not null unique, reply blob not null);
create table if not exists facts (name text primary key, value text not null) without rowid;
"""


class LedgerInUse(Exception):
    """Another agent works with this folder: stop it, or give this one another folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another agent is using {folder}: stop it, or start this one with another folder")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A command that came in, as far as the ledger is concerned: see agents.driver.Subjects."""

    command: str
    guarded: tuple[str, ...]
    epoch: int
    heeded: tuple[str, ...] = ()
    outdates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fresh:
    """It is to be carried out: its epoch is on disk."""


@dataclass(frozen=True, slots=True)
class Answered:
    """It was carried out before: this was the reply."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class Behind:
    """A newer request about the same subject is known: it must not be carried out."""

    subject: str
    newest: int


Verdict = Fresh | Answered | Behind


class Ledger:
    """`open`, then from any thread `accept`, `answer`, `learn`; `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._held: TextIO | None = None

    def open(self) -> None:
        """Raises LedgerInUse."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        held = (self.folder / "lock").open("a")
        try:
            # The lock goes with the process, however that ends.
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            raise LedgerInUse(self.folder) from None
        self._held = held
        path = self.folder / "ledger.db"
        database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
        os.chmod(path, 0o600)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")  # in WAL mode: every commit is on disk when it returns
        database.executescript(_SCHEMA)
        self._database = database

    def close(self) -> None:
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None
            if self._held is not None:
                self._held.close()
                self._held = None

    def accept(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """Judges commands in the order of their arrival, in one commit. On return the epochs of the fresh ones are on disk."""
        with self._lock, self._transaction() as database:
            return [self._judge(database, each) for each in arrivals]

    def answer(self, replies: Mapping[str, bytes]) -> None:
        """Keeps what was answered, by command id; the first answer of a command stands."""
        with self._lock, self._transaction() as database:
            database.executemany("insert or ignore into answers (command, reply) values (?, ?)", replies.items())
            database.execute("delete from answers where number <= (select max(number) from answers) - ?", (ANSWERS_KEPT,))

    def learn(self, epochs: Mapping[str, int]) -> None:
        """Epochs that reality (labels) tells of: a lost ledger is made good, a newer one kept."""
        with self._lock, self._transaction() as database:
            self._raise(database, epochs.items())

    def newest(self, subject: str) -> int:
        with self._lock:
            return self._newest(self._open(), subject)

    def fact(self, name: str) -> str | None:
        with self._lock:
            row = self._open().execute("select value from facts where name = ?", (name,)).fetchone()
            return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        with self._lock, self._transaction() as database:
            database.execute("insert into facts values (?, ?) on conflict (name) do update set value = excluded.value", (name, value))

    def _judge(self, database: sqlite3.Connection, arrival: Arrival) -> Verdict:
        row = database.execute("select reply from answers where command = ?", (arrival.command,)).fetchone()
        if row is not None:
            return Answered(bytes(row[0]))
        for subject in (*arrival.guarded, *arrival.heeded):
            newest = self._newest(database, subject)
            if arrival.epoch < newest:
                return Behind(subject, newest)
        self._raise(database, ((subject, arrival.epoch) for subject in (*arrival.guarded, *arrival.outdates)))
        return Fresh()

    @staticmethod
    def _newest(database: sqlite3.Connection, subject: str) -> int:
        row = database.execute("select epoch from epochs where subject = ?", (subject,)).fetchone()
        return 0 if row is None else int(row[0])

    @staticmethod
    def _raise(database: sqlite3.Connection, epochs: Iterable[tuple[str, int]]) -> None:
        database.executemany(
            "insert into epochs values (?, ?) on conflict (subject) do update set epoch = excluded.epoch where epoch < excluded.epoch",
            [(subject, epoch) for subject, epoch in epochs if epoch > 0],
        )

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            raise RuntimeError("the ledger is not open")
        return self._database

    def _transaction(self) -> _Transaction:
        return _Transaction(self._open())


class _Transaction:
    """begin ... commit; sqlite3's own context manager would begin lazily, at the first write."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        self._database.execute("begin immediate")
        return self._database

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database.execute("commit" if kind is None else "rollback")
