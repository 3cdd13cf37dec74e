"""The CLI's way to a running server: its HTTP API, with the standard library alone, so that a command starts fast.

Requests that write carry an idempotency key: one whose connection broke is sent again, and done once.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from agents.joining.credentials import Credentials
from deploy.cli.errors import NotAnswering, ServerRefused, WrongUse
from deploy.cli.keys import key_for, trusting

Json = dict[str, Any]
Params = Mapping[str, Any]

DEFAULT_URL = "http://127.0.0.1:8080"
TIMEOUT = 30.0
SILENCE = 40.0
"""Seconds without a line after which a stream counts as broken: a living server writes one every 15 s."""
BUSY_TRIES, BUSY_SECONDS = 5, 1.0
"""How often, and how many seconds apart, a server is asked that says 503 (its database is away, say)."""
FOLLOW_SECONDS = 0.5
"""Between two tries of a stream that broke."""


def home() -> Path:
    """$CORRAL_HOME, or ~/.corral."""
    return Path(os.environ.get("CORRAL_HOME") or "~/.corral").expanduser().absolute()


def remembered(name: str, folder: Path | None = None) -> str:
    """An address that the Corral of this home noted when it last started ("": none)."""
    from deploy.embedded.home import noted

    return str(noted(folder or home()).get(name, ""))


def is_own(url: str) -> bool:
    """Whether the server there is this home's."""
    return bool(url) and url.rstrip("/") == remembered("url").rstrip("/")


def key_at(url: str) -> Credentials | None:
    """The key that is shown to the server there; what this home keeps is shown to its own alone."""
    return key_for(home() if is_own(url) else None)


def trusted(url: str) -> ssl.SSLContext | None:
    """What the server there is believed by; None: it speaks no TLS."""
    return trusting(remembered("certificate") if is_own(url) else "") if urlsplit(url).scheme == "https" else None


def base_url(given: str | None) -> str:
    """What was given, or what the home remembers, or the default; a /v1 at its end is no harm."""
    url = given or remembered("url") or DEFAULT_URL
    url = url if "//" in url else f"http://{url}"
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise WrongUse(f"{given} is not an address such as {DEFAULT_URL}")
    return url.rstrip("/").removesuffix("/v1")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    document: Any


class Client:
    """`with Client(url) as client: client.get("/v1/hosts")`. Raises NotAnswering and ServerRefused."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self.url = url
        self._parts = urlsplit(url)
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        return trusted(self.url)

    def get(self, path: str, **params: Any) -> Any:
        """The answer's document. None values are left out; lists repeat the parameter."""
        return self.send("GET", path, params=params).document

    def now(self, path: str, **params: Any) -> Answer:
        """What is so at this moment. "Not there" is an answer to that, which waiting would not change for long."""
        return self.send("GET", path, params=params, tries=1)

    def find(self, path: str) -> Json | None:
        """A document, or None where there is none."""
        try:
            found: Json = self.get(path)
        except ServerRefused as refused:
            if refused.http_status == 404:
                return None
            raise
        return found

    def all(self, path: str, **params: Any) -> list[Json]:
        """Every page of a collection."""
        found: list[Json] = []
        page = self.get(path, limit=1000, **params)
        while True:
            found += page["data"]
            following = (page.get("pagination") or {}).get("next")
            if not following:
                return found
            parts = urlsplit(following)
            page = self.get(f"{parts.path}?{parts.query}")

    def events(self, after: int = 0, to: int | None = None, **params: Any) -> Iterator[Json]:
        """The log's events as documents, page by page, up to where it is now (or to `to`)."""
        end = to
        while True:
            page = self.get("/v1/events", after=after, to=end, limit=1000, **params)
            end = min(end, page["head"]) if end is not None else page["head"]
            yield from page["data"]
            after = page["next"]
            if after >= end:
                return

    def follow(self, after: int = 0, tell: Callable[[str], None] = lambda text: None, **params: Any) -> Iterator[Json]:
        """The log from `after` on, for ever; a server that goes away is waited for, which is told, and nothing is missed or repeated."""
        connected = there = False
        while True:
            try:
                for event in self._lines("/v1/events", {"follow": "true", "after": after, **params}):
                    if not there:
                        if connected:
                            tell("Corral is there again")
                        connected = there = True
                    if event is not None and "position" not in event:
                        tell(f"Corral says: {event.get('message')}")
                    elif event is not None:
                        after = event["position"]
                        yield event
            except (OSError, http.client.HTTPException) as error:
                if not connected:
                    raise NotAnswering(self.url, _reason(error)) from None
            except ServerRefused as refused:
                if refused.http_status != 503:
                    raise
            if there:
                tell("Corral went away; waiting for it")
                there = False
            time.sleep(FOLLOW_SECONDS)

    def head(self) -> int:
        """The last position of the log."""
        return int(self.get("/v1/events", limit=1, after=10**17)["head"])

    def post(self, path: str, body: Json | None = None, **params: Any) -> Answer:
        return self.send("POST", path, params=params, body=body or {})

    def delete(self, path: str) -> Answer:
        return self.send("DELETE", path)

    def send(self, method: str, path: str, *, params: Params | None = None, body: Json | None = None, tries: int = BUSY_TRIES) -> Answer:
        """`tries`: how often in all a server is asked that says it is busy."""
        headers = self._headers()
        if method != "GET":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        content = json.dumps(body).encode() if body is not None else None
        if content is not None:
            headers["Content-Type"] = "application/json"
        target = self._target(path, params or {})
        answer = self._once(method, target, content, headers)
        for _ in range(tries - 1):
            if answer.status != 503:
                break
            time.sleep(BUSY_SECONDS)
            answer = self._once(method, target, content, headers)
        if answer.status >= 400:
            raise self._refusal(answer)
        return answer

    def _once(self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        for attempt in (1, 2):
            fresh = self._connection is None
            connection = self._connection or self._connect(self._timeout)
            self._connection = connection
            try:
                connection.request(method, target, content, dict(headers))
                response = connection.getresponse()
                raw = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # A kept connection may have been closed since, and a write is done once whatever comes: once more.
                if attempt == 2 or (fresh and isinstance(error, ConnectionRefusedError)):
                    raise NotAnswering(self.url, _reason(error)) from None
                continue
            return Answer(response.status, dict(response.getheaders()), self._read(raw, response.status))
        raise AssertionError("unreachable: the second attempt returns or raises")

    def stream(self, path: str, **params: Any) -> Iterator[Json]:
        """A stream of documents, one a line, to its end. Raises ServerRefused, also where it ends in an error."""
        try:
            for document in self._lines(path, params):
                if document is not None and document.get("type") == "error":
                    raise self._refusal(Answer(int(document.get("status") or 500), {}, document))
                if document is not None:
                    yield document
        except (OSError, http.client.HTTPException) as error:
            raise NotAnswering(self.url, _reason(error)) from None

    def websocket(self, path: str, **params: Any) -> tuple[str, dict[str, str], ssl.SSLContext | None]:
        """What a WebSocket there is opened with: its URL, headers, and for wss:// whom it trusts."""
        url = self.url.replace("http", "ws", 1).removesuffix(self._parts.path.rstrip("/")) + self._target(path, params)
        return url, {name: value for name, value in self._headers().items() if name == "Authorization"}, self._tls

    def _lines(self, path: str, params: Params) -> Iterator[Json | None]:
        """One connection's worth of a stream; None when it stands, before its first document."""
        connection = self._connect(SILENCE)
        try:
            connection.request("GET", self._target(path, params), headers={**self._headers(), "Accept": "application/x-ndjson"})
            response = connection.getresponse()
            if response.status >= 400:
                raise self._refusal(Answer(response.status, dict(response.getheaders()), self._read(response.read(), response.status)))
            yield None
            while line := response.readline():
                if line.strip():
                    yield json.loads(line)
        finally:
            connection.close()

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, self._parts.port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(host, self._parts.port, timeout=timeout)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "corral"}
        if (key := key_at(self.url)) is not None:
            headers["Authorization"] = key.header
        return headers

    def _target(self, path: str, params: Params) -> str:
        query = urlencode([pair for pair in params.items() if pair[1] is not None], doseq=True)
        joined = f"{path}{'&' if '?' in path else '?'}{query}" if query else path
        return self._parts.path.rstrip("/") + joined

    def _read(self, raw: bytes, status: int) -> Any:
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            raise NotAnswering(self.url, f"something else answers there: status {status}, and no JSON") from None

    def _refusal(self, answer: Answer) -> ServerRefused:
        if not isinstance(answer.document, dict):
            raise NotAnswering(self.url, f"something else answers there: status {answer.status}, without a document of Corral's")
        document = answer.document
        code, message, field = (str(document.get(key) or "") for key in ("code", "message", "fieldName"))
        text = f"{field}: {message or code}" if field and field not in message else message or code
        if answer.status == 401:
            text += ". Set CORRAL_ACCESS_KEY and CORRAL_SECRET_KEY, or give --key ACCESS:SECRET before the command"
        return ServerRefused(answer.status, code, text or f"status {answer.status}")


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
