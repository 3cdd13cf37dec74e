"""The home folder (~/.corral): who holds it, which addresses were chosen in it. Everything embedded starts here.

    ~/.corral/           0700
      lock               flock of the living Corral, with its pid
      master.key         the key over the keys of all secrets (deploy/master.py); who loses it loses those
      addresses.json     what was chosen: ports stay the same from one start to the next. `postgres` and `nats` are those in use,
                         `own_postgres` and `own_nats` the embedded ones
      postgres/ nats/    the servers' own
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SUN_PATH = 107
"""Bytes a unix socket's path may have on Linux, less the final NUL (macOS: 103, hence the margin below)."""
SOCKET_NAME = 20  # bytes of "/.s.PGSQL.65535" and a margin


class HomeInUse(Exception):
    """Another living Corral holds the home folder."""


class HomeUnusable(Exception):
    """The home folder can't be made, written or trusted."""


@dataclass(frozen=True, slots=True)
class Home:
    """A home folder that this process holds; see `hold`."""

    path: Path

    def folder(self, name: str) -> Path:
        """A folder in the home, for its owner alone, made if need be."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def socket_folder(self, name: str) -> Path:
        """A folder short enough for unix sockets: in the home, or under the runtime folder where the home's path is too long."""
        inside = self.path / name
        if len(os.fsencode(inside)) + SOCKET_NAME <= SUN_PATH and "," not in str(inside):
            inside.mkdir(mode=0o700, parents=True, exist_ok=True)
            return inside
        digest = hashlib.sha256(os.fsencode(inside)).hexdigest()[:12]
        short = Path(_runtime_folder()) / f"corral-{os.geteuid()}-{digest}"
        with suppress(FileExistsError):
            short.mkdir(mode=0o700)
        found = short.lstat()
        # In a folder that all may write, somebody else may have been there first.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in _ours() or found.st_mode & 0o077:
            raise HomeUnusable(f"{short} is not a folder of this user alone; remove it, or choose a shorter home with CORRAL_HOME")
        return short

    def note(self, **values: str | int) -> None:
        """Remembers values over restarts, for this Corral and for whoever asks `noted`."""
        merged = {**noted(self.path), **values}
        fresh = self.path / "addresses.json.new"
        fresh.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n")
        fresh.replace(self.path / "addresses.json")

    def port(self, name: str, *, address: str = "127.0.0.1", preferred: int = 0, taken: frozenset[int] = frozenset()) -> int:
        """The port remembered under this name if it is free, else the preferred one, else any free one; remembers it.

        `taken`: ports found to be of no use although they look free.
        """
        remembered = noted(self.path).get(f"{name}_port")
        wanted = [port for port in (remembered, preferred) if isinstance(port, int) and port and port not in taken]
        port = next((port for port in wanted if is_free(address, port)), 0) or free_port(address)
        self.note(**{f"{name}_port": port})
        return port


@contextmanager
def hold(path: Path | str) -> Iterator[Home]:
    """Makes the home if need be and holds it; raises HomeInUse, naming the holder's pid, or HomeUnusable."""
    folder = Path(path).expanduser().absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
        if owner != os.geteuid():
            raise HomeUnusable(
                f"{folder} belongs to user {owner}, and this is user {os.geteuid()}: "
                "run as its owner, or choose another home with CORRAL_HOME"
            )
        folder.chmod(0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise HomeUnusable(f"{folder} can't be Corral's home: {error.strerror}; choose another with CORRAL_HOME") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise HomeInUse(
                f"{folder} is in use by a Corral that runs as process {holder}: stop that one, or choose another home with CORRAL_HOME"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield Home(folder)
    finally:
        os.close(lock)  # which also gives up the flock, as the process's death does


def noted(path: Path | str) -> dict[str, str | int]:
    """What the Corral of this home remembers, whoever holds it; empty where nothing is."""
    try:
        values = json.loads((Path(path).expanduser() / "addresses.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # remembered addresses are a convenience: without them new ones are chosen
    return values if isinstance(values, dict) else {}


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a closing connection is no obstacle
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def free_port(address: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _runtime_folder() -> str:
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    return given if given and len(given) < 50 and os.access(given, os.W_OK) else "/tmp"  # noqa: S108 - the folder in it is checked


def _ours() -> set[int]:
    """Owners a folder of ours may have: as root, Postgres' folders belong to nobody where no namespace can be made."""
    return {0, NOBODY} if os.geteuid() == 0 else {os.geteuid()}


NOBODY = 65534
