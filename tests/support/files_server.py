"""A web server of a folder's files: where images come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from tests.support.small_server import SmallServer, served


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def files_of(folder: Path, address: str = "127.0.0.1") -> Iterator[str]:
    """Its URL, as long as it serves."""
    with served(SmallServer((address, 0), partial(_Files, directory=str(folder)))) as server:
        yield server.url
