"""One request to the server's HTTP API at a time, as agents register, join and fetch with it. Functions here block."""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode, urlsplit

from agents.joining.credentials import Credentials

SECONDS = 10
"""For one request."""
LARGEST = 64 * 1024 * 1024


class BadAddress(Exception):
    """It is none of a server: the text says what one looks like."""


class Answered(Exception):
    """The server answered with an error. `words`: what it says, in a line."""

    def __init__(self, request: str, status: int, words: str) -> None:
        super().__init__(f"{request} answered {words}")
        self.status, self.words = status, words


class NoAnswer(Exception):
    """The server does not answer now, or answers more than it may."""


class Api:
    """`base`: where paths begin. `tls`: whose certificates are believed; None: those of the system."""

    def __init__(self, base: str, credentials: Credentials | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Raises BadAddress."""
        self.base, self._credentials = base.rstrip("/"), credentials
        host = _host(self.base)
        if not host:
            raise BadAddress(f"{base!r} is no address of a server: it must look like http://server:8080")
        # A proxy is not asked for what is on this machine.
        proxies = [urllib.request.ProxyHandler({})] if is_local(host) else []
        self._opener = urllib.request.build_opener(*proxies, urllib.request.HTTPSHandler(context=tls))

    def ask(self, method: str, path: str, query: dict[str, str] | None = None, body: Any = None) -> bytes:
        """The answer's body; `body` is sent as JSON. Raises Answered, NoAnswer."""
        place = f"{self.base}/{path}"
        address = f"{place}?{urlencode(query)}" if query else place
        request = urllib.request.Request(address, method=method)  # noqa: S310 - the scheme was checked
        request.add_header("Accept", "application/json")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self._credentials is not None:
            request.add_header("Authorization", self._credentials.header)
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                content: bytes = answer.read(LARGEST + 1)
                if len(content) <= LARGEST and answer.length:  # so many bytes more were to come
                    raise NoAnswer(f"{place} breaks off in the middle of its answer")
        except urllib.error.HTTPError as error:
            with error:
                raise Answered(f"{method} {place}", error.code, _said(error)) from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"{place} does not answer: {getattr(error, 'reason', error)}") from None
        if len(content) > LARGEST:
            raise NoAnswer(f"{place} answers more than {LARGEST} bytes")
        return content


def _host(address: str) -> str:
    """"": it is no address over HTTP."""
    try:
        parts = urlsplit(address)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _said(error: urllib.error.HTTPError) -> str:
    try:
        document = json.loads(error.read())
        parts = [str(document[key]) for key in ("code", "message", "detail", "fieldName") if document.get(key)]
    except (ValueError, OSError, TypeError, AttributeError):
        parts = []
    return " ".join([str(error.code), *parts])


def is_loopback(host: str) -> bool:
    """Whether only the machine itself can reach this."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_local(host: str) -> bool:
    """Whether this names the machine that it is said on."""
    address = _address(host)
    return is_loopback(host) or (address is not None and address.is_unspecified)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def own_address() -> str:
    """This machine's on its way out; that of the loopback where there is no way."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only picks the route (the address is kept for documentation)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
