"""The log as the CLI asks the server for it: a stream, a root, and what people call the things in it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from commands import events
from commands.catalogue.ids import number_of
from deploy.cli.client import Client
from deploy.cli.errors import Failed, ServerRefused
from deploy.cli.show import waiting
from deploy.cli.telling import recorded
from deploy.cli.things import Unknown, images_give_way, resolve, stream_meant
from eventstore import Recorded

NAMED = (("host", "/v1/hosts"), ("agent", "/v1/agents"), ("storagePool", "/v1/storagepools"), ("account", "/v1/accounts"),
         ("externalHandler", "/v1/externalhandlers"))  # fmt: skip


def stream_of(client: Client, text: str) -> str:
    """A stream as it is written, whatever became of it; anything else is looked up, among what is long removed too."""
    meant = stream_meant(text)
    if meant is not None:
        return f"{meant[0]}-{meant[1]}"
    try:
        return resolve(client, text).stream
    except Unknown as unknown:
        with waiting("looking through the log"):
            found = [each["stream"] for each in client.events(type=events.CREATED) if _called(each["data"].get("changes") or {}, text)]
        found = images_give_way(found, lambda stream: stream.rpartition("-")[0])
        if len(found) == 1:
            return str(found[0])
        if found:
            raise Failed(f"{text} was the name of several things, all long removed: name one of {', '.join(found)}") from None
        raise unknown


def _called(changes: Mapping[str, Any], text: str) -> bool:
    return text in (changes.get("name"), changes.get("uuid"))


def of_stream(client: Client, stream: str, to: int | None = None) -> list[Recorded]:
    return [recorded(each) for each in client.events(stream=stream, to=to)]


def of_root(client: Client, stream: str) -> list[Recorded]:
    """The events of all streams that share this one's root (an instance with its maps and volumes)."""
    first = client.get("/v1/events", stream=stream, limit=1)["data"]
    root = recorded(first[0]).root if first else stream
    return [recorded(each) for each in client.events(root=root)]


def of_request(client: Client, correlation: str) -> list[Recorded]:
    """All that a request led to, on whatever stream."""
    return [recorded(each) for each in client.events(correlation=correlation)]


def names(client: Client) -> dict[str, str]:
    """stream -> what people call it, for hosts, agents, pools, accounts and external handlers."""
    named: dict[str, str] = {}
    for kind, path in NAMED:
        with suppress(ServerRefused):  # who may not see them sees their numbers
            for each in client.all(path):
                if each.get("name"):
                    named[f"{kind}-{number_of(each['id'], plain=True)}"] = each["name"]
    return named


class Roots:
    """Streams with all that shares their root, each asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard: dict[int, Recorded] = {}

    def load(self, stream: str) -> list[Recorded]:
        events = of_root(self._client, stream)
        self._heard.update({event.position: event for event in events})
        return events

    def all(self) -> list[Recorded]:
        """All that was loaded, by position."""
        return [self._heard[position] for position in sorted(self._heard)]
