"""Every door to the past and to the log shows what a plain read shows, to every kind of account: no field more, and of secrets less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from commands import events
from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.ids import api_id
from commands.catalogue.model import Field, ResourceType
from eventstore import Event, Write
from gateway.history.sight import TOLD
from gateway.inside.door import INSIDE
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api

OURS = frozenset({"id", "kind", "state", "accountId", "removed", "removeTime", "isPublic", "data", "uuid"})
"""Columns that decide what a row is; the others hold a value that is nowhere else."""

FIRST_PROBE = 7_000_000_000
PROBE = re.compile(r"(?<![0-9])70000[0-9]{5}(?![0-9])")
TOKEN = re.compile(r'"(token|registrationUrl)": ?"[^"]*"')
"""A registration token is made of what is not shown by itself."""

STORED = [
    type for type in CATALOGUE.types.values()
    if type.stored and CATALOGUE.root_type(type.name).stored and type.name != "task" and type.name not in INSIDE
]  # fmt: skip
"""What has rows. (Tasks are data, and so is what is inside.)"""


class Probes:
    """Numbers that say which field of which row they were written to."""

    def __init__(self) -> None:
        self.of: dict[str, tuple[str, str]] = {}

    def new(self, stream: str, name: str) -> int:
        number = FIRST_PROBE + len(self.of)
        self.of[str(number)] = (stream, name)
        return number

    def found(self, text: str, stream: str) -> set[str]:
        """The fields of a row whose value is in a text."""
        return {name for found in PROBE.findall(text) for its, name in [self.of[found]] if its == stream}


def value_of(field: Field, number: int) -> Any:
    if field.type.startswith("array["):
        return [number]
    if field.type.startswith("map["):
        return {"key": number if field.reference else f"probe {number}"}
    return number if field.reference or field.type == "int" else f"probe {number}"


def filled(type: ResourceType, stream: str, owner: int, probes: Probes) -> Event:
    """A row's first event, with a probe in every column, field and corner of its data."""
    changes: dict[str, Any] = {"kind": type.name, "state": "active", "accountId": owner}
    fields: dict[str, Any] = {"unknownField": f"probe {probes.new(stream, 'unknownField')}"}
    for each in type.fields.values():
        if each.name in OURS or each.type in ("boolean", "date") or each.store == "proto":
            continue
        if type.name == "setting" and each.secret:  # a row has it or the value
            continue
        if each.store == "col":
            changes[each.name] = value_of(each, probes.new(stream, each.name))
        elif each.store == "fld":
            fields[each.name] = value_of(each, probes.new(stream, each.name))
    changes["data"] = {"fields": fields, "unknown": f"probe {probes.new(stream, 'unknown')}"}
    return Event(events.CREATED, {"changes": changes})


async def a_cloud_of_probes(api: Api, owners: list[int]) -> tuple[Probes, list[tuple[ResourceType, str]]]:
    """A row of every type for each of these accounts."""
    probes, rows = Probes(), list[tuple[ResourceType, str]]()
    for type in STORED:
        root = CATALOGUE.root_type(type.name)
        for owner in owners:
            [number] = await api.store.ids(root.name, 1)
            stream = f"{root.name}-{number}"
            begun = Event(events.PROCESS_STARTED, {
                "pid": f"p-{stream}", "process": f"{root.name}.update", "field": "state", "from": "active", "via": "updating-active",
                "input": {"probed": f"probe {probes.new(stream, 'input')}"},
                "handlers": [{"id": 1, "name": f"probe {probes.new(stream, 'handlers')}", "phase": "pre", "priority": 1}],
            })  # fmt: skip
            ended = Event(events.PROCESS_SUCCEEDED, {
                "pid": f"p-{stream}", "process": f"{root.name}.update", "field": "state", "to": "active",
            }, {"correlation": f"r-{stream}", "causation": f"{stream}@2"})  # fmt: skip
            message = f"probe {probes.new(stream, 'transitioningMessage')}"
            failed = {"+data": {"+fields": {"transitioning": "error", "transitioningMessage": message}}}
            write = Write(stream, 0, (filled(type, stream, owner, probes), begun, ended, Event(events.UPDATED, {"changes": failed})))
            await api.store.append(await api.commands.vault.sealed([write]))
            rows.append((type, stream))
    await api.settled()
    return probes, rows


def documents(text: str) -> Iterator[dict[str, Any]]:
    """Of NDJSON, or of server-sent events."""
    for line in text.splitlines():
        payload = line.removeprefix("data: ")
        if payload.startswith("{"):
            yield orjson.loads(payload)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["superadmin", "admin", "readAdmin", "user", "agent"])
async def test_no_door_shows_more_than_a_plain_read(api: Api, kind: str) -> None:
    account, key = await account_with_key(api, kind, "u")
    other, _ = await account_with_key(api, "user", "other")
    probes, rows = await a_cloud_of_probes(api, [account, other])
    head = await api.store.head()

    async def text(path: str, http: httpx.AsyncClient = api.http) -> str:
        answer = await http.get(path, auth=key)
        assert answer.status_code in (200, 404), answer.text
        return answer.text if answer.status_code == 200 else ""

    pages, after = list[dict[str, Any]](), 0
    while after < head:
        page = orjson.loads(await text(f"/v1/events?limit=1000&after={after}&to={head}"))
        pages += page["data"]
        after = page["next"]
    streamed = list(documents(await text(f"/v1/events?follow=true&to={head}")))
    sent = list(documents(await text(f"/v1/events?follow=sse&to={head}")))
    assert [each["position"] for each in pages] == [each["position"] for each in streamed] == [each["position"] for each in sent]
    by_stream: dict[str, list[dict[str, Any]]] = {}
    for each in streamed:
        by_stream.setdefault(each["stream"], []).append(each)

    told = 0
    for type, stream in rows:
        number = int(stream.rpartition("-")[2])
        root = CATALOGUE.root_type(type.name)
        path = f"/v1/{root.plural.lower()}/{api_id(type.name, number, CATALOGUE)}"
        plain = await text(path)
        readable = probes.found(TOKEN.sub("", plain), stream)
        told += len(readable)
        secrets = {each.name for each in type.fields.values() if each.secret}
        then = plain if type.name == "setting" else await text(f"{path}?at={head}")  # settings have no past
        assert probes.found(TOKEN.sub("", then), stream) == readable, f"{type.name} as of then"
        once = {name: value for name, value in orjson.loads(then or "{}").items() if name not in ("links", "actions")}
        assert once == {name: value for name, value in orjson.loads(plain or "{}").items() if name not in ("links", "actions")}

        everything = kind in ("admin", "superadmin")
        whole = "data" in orjson.loads(plain or "{}")
        more = {"input", "handlers"} if whole or everything else set()
        history, why = await text(f"{path}/history"), await text(f"{path}/why")
        of_one = await text(f"/v1/events?stream={stream}")
        for door, shown in (("history", history), ("follow", str(by_stream.get(stream, ""))), ("stream", of_one)):
            seen = probes.found(shown, stream)
            assert seen <= (readable | more) - secrets, f"{type.name} by {door}"
            if plain:
                assert seen == (readable | more) - secrets, f"{type.name} by {door}: it hides what may be seen"
        assert probes.found(why, stream) <= readable | more
        assert bool(plain) == bool(history) == bool(why), type.name
        if not everything and not plain:
            assert stream not in by_stream, "nothing at all is told of what is not theirs"
            assert f'"{stream}' not in of_one
        if kind == "user":
            assert "accountId" not in history
            assert "actor" not in history
    assert told > (1 if kind == "agent" else 20)


def test_what_events_say_to_anybody_is_what_events_say() -> None:
    assert {key for keys in events.KEYS.values() for key in keys} >= TOLD


async def test_what_was_somebody_elses_tells_them_nothing_of_that_time(api: Api) -> None:
    first, key = await account_with_key(api, "user", "first")
    second, other = await account_with_key(api, "user", "second")
    number = await api.add("image", name="first's", accountId=first)
    stream, path = f"image-{number}", f"/v1/images/1i{number}"
    before = await api.store.head()
    assert (await api.http.get(path, auth=key)).status_code == 200
    moved = await api.happened(stream, Event(events.UPDATED, {"changes": {"accountId": second, "name": "second's"}}))
    await api.settled()

    for door in (path, f"{path}?at={before}", f"{path}?at={moved}", f"{path}/history", f"{path}/why", f"{path}/why?at={before}"):
        assert (await api.http.get(door, auth=key)).status_code == 404, door
    assert (await api.http.get(f"{path}?at={before}", auth=other)).status_code == 404
    assert (await api.http.get(f"{path}?at={moved}", auth=other)).json()["name"] == "second's"
    for door in (f"/v1/events?stream={stream}", f"/v1/events?follow=true&stream={stream}&to={moved}"):
        assert "first's" not in (await api.http.get(door, auth=key)).text
        seen = (await api.http.get(door, auth=other)).text
        assert "second's" in seen
        assert "first's" not in seen


async def test_a_purged_secret_is_gone_from_its_past_too(api: Api) -> None:
    made = await api.post("/v1/apikeys", publicValue="p", secretValue="s3cret")
    path, number = f"/v1/apikeys/{made['id']}", int(made["id"][2:])
    before = await api.store.head()
    assert (await api.get(path, at=before))["secretValue"] == "s3cret"
    await api.happened(f"credential-{number}", Event(events.UPDATED, {"changes": {"state": "purged"}}))
    await api.settled()
    then = await api.get(path, at=before)
    assert (then["secretValue"], then["publicValue"]) == (None, "p")
    assert (await api.get(f"/v1/accounts/1a{api.admin}", at=before, include="credentials"))["credentials"] != []
    assert "s3cret" not in str(await api.get(f"/v1/accounts/1a{api.admin}/credentials", at=before))
