"""What something that is under way waits for: told from the log (as `corral why` does), and from what agents say of themselves."""

from __future__ import annotations

from collections.abc import Iterator

from commands import events
from commands.resource import Asked, Open, Resource
from deploy.cli.client import Client
from deploy.cli.errors import Failed
from deploy.cli.reading import names, of_request, of_root, of_stream
from deploy.cli.telling import Teller
from deploy.cli.things import path_of


def waits(resource: Resource, teller: Teller) -> list[str]:
    """What is under way, on it and on what belongs to it, and whom it waits for; then what its requests began elsewhere (its image in a
    pool) and nobody answered."""
    inside = _inside(resource, teller)
    told = [
        bracket.process + (f": {reason}" if reason else "")
        for each in inside
        for bracket in each.open.values()
        if (reason := _reason(bracket, teller)) or each is resource
    ]
    requests = {bracket.correlation for each in inside for bracket in each.open.values()} - {None}
    streams = {each.stream for each in inside}
    return told + [
        f"{teller.named(each.stream)}, {bracket.process}: {reason}"
        for each in teller.all()
        for bracket in each.open.values()
        if each.stream not in streams and bracket.correlation in requests and (reason := _reason(bracket, teller))
    ]


def _reason(bracket: Open, teller: Teller) -> str:
    if bracket.parked:
        return bracket.parked
    return ", ".join(f"{teller.asked(each.agent, each.handler)} has not answered {each.command} yet" for each in _silent(bracket))


def _silent(bracket: Open) -> Iterator[Asked]:
    return (asked for asked in bracket.asked.values() if asked.unanswered)


def _inside(resource: Resource, teller: Teller) -> list[Resource]:
    return teller.sharing(resource.root) if resource.stream == resource.root else [resource]


def hear_requests(client: Client, resource: Resource, teller: Teller) -> None:
    """The streams elsewhere on which what is under way on it asked for something that nobody answered."""
    requests = {bracket.correlation for each in _inside(resource, teller) for bracket in each.open.values()} - {None}
    for request in sorted(str(each) for each in requests):
        asked: dict[str, str] = {}
        for event in of_request(client, request):
            if event.type == events.STEP_REQUESTED and event.root != resource.root:
                asked[event.data["id"]] = event.stream
            elif event.type in (events.STEP_SUCCEEDED, events.STEP_FAILED):
                asked.pop(event.data["id"], None)
        for stream in sorted(set(asked.values())):
            teller.hear_all(of_stream(client, stream))


class Pending:
    """Asks a server again and again what a thing waits for."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client, self._stream = client, stream
        self._names: dict[str, str] | None = None

    def told(self) -> str:
        """In a few words; "" where nothing is known (also to those who may not see the log)."""
        try:
            self._names = names(self._client) if self._names is None else self._names
            teller = Teller(self._names)
            teller.hear_all(of_root(self._client, self._stream))
            resource = teller.resource(self._stream)
            hear_requests(self._client, resource, teller)
            return "; ".join([*(each for each in waits(resource, teller) if ": " in each), *self._absent(teller)])
        except Failed:
            return ""

    def _absent(self, teller: Teller) -> Iterator[str]:
        """The agents that are waited for and are not there."""
        asked = {asked.agent for each in teller.all() for bracket in each.open.values() for asked in _silent(bracket) if asked.agent}
        for number in sorted(asked):
            state = (self._client.find(path_of("agent", number)) or {}).get("state")
            if state not in (None, "active"):
                yield f"{teller.named(f'agent-{number}')} is {state}"
