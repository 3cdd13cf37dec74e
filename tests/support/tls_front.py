"""TLS before a server that speaks none, as a Docker engine with --tlsverify: who shows a certificate of the authority comes through."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.small_server import served

HANDSHAKE_SECONDS = 10


class _Front(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, onward: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.onward, self.context = onward, context


class _Connection(socketserver.BaseRequestHandler):
    server: _Front
    request: socket.socket

    def handle(self) -> None:
        """The handshake is ours to make: a server that fails it says why before it hangs up."""
        self.request.settimeout(HANDSHAKE_SECONDS)
        with suppress(OSError), self.server.context.wrap_socket(self.request, server_side=True) as inside:
            inside.settimeout(None)
            with socket.create_connection(self.server.onward, timeout=HANDSHAKE_SECONDS) as onward:
                onward.settimeout(None)
                back = threading.Thread(target=_copy, args=(onward, inside), daemon=True)
                back.start()
                _copy(inside, onward)
                back.join()


@contextmanager
def a_tls_front(address: str, port: int, authority: Path, certificate: Path, key: Path) -> Iterator[int]:
    """Its port on 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    with served(_Front((address, port), context)) as front:
        yield front.server_address[1]


def _copy(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while data := here.recv(65536):
            there.sendall(data)
    with suppress(OSError):
        there.shutdown(socket.SHUT_WR)
