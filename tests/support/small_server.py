"""A small HTTP server in a thread, which answers as a test tells it to, for those who ask a server: agents and the CLI."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from typing import Any, TypeVar


class Answering(BaseHTTPRequestHandler):
    """What a test's handlers are made of."""

    wbufsize = -1  # headers and body in one packet: else each answer waits 40 ms for an acknowledgement

    def read(self) -> bytes:
        """The request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def say(self, document: Any, status: int = 200) -> None:
        """Bytes as they are, anything else as JSON."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class SmallServer(ThreadingHTTPServer):
    daemon_threads = True

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.server_address[:2])


Server = TypeVar("Server", bound=BaseServer)


@contextmanager
def served(server: Server) -> Iterator[Server]:
    """It answers until it is left."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)
