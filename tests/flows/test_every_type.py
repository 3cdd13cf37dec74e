"""Every type of the live schemas: made, asked for each action that it offers until its life is over, and given each kind of wrong value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.catalogue.builtin import CATALOGUE
from tests.gateway.samples import REFERS, body_of, createable
from tests.support.server import Server
from tests.support.waiting import until

Json = dict[str, Any]

CREATEABLE = sorted(
    (type.name for type in CATALOGUE.types.values() if type.stored and "POST" in type.admin.collection),
    key=lambda name: (-len(REFERS.get(name, ())), name),
)
"""Those that hang on others first: what they hang on is removed in the end."""

LAST = ("deactivate", "stop", "remove", "restore", "purge")
"""Actions in the order in which they are asked for, after all others."""

BESIDE: Mapping[str, tuple[str, ...]] = {"registrationToken": ("token", "registrationUrl")}
"""What a document has beside its schema's fields, as Cattle's does."""


@dataclass
class Live:
    """A server's API by its own schemas."""

    http: httpx.Client
    schemas: Mapping[str, Json]
    ids: dict[str, str] = field(default_factory=dict)
    made: dict[str, Json] = field(default_factory=dict)

    def make_all(self) -> None:
        """One of each type, settled."""
        for name in createable(self.schemas):
            schema = self.schemas[name]
            response = self.http.post(schema["links"]["collection"], json=body_of(schema, self.ids))
            assert response.status_code == 201, f"{name}: {response.text}"
            self.made[name] = made = self.settled(response.json())
            self.ids[name] = self.ids[CATALOGUE.root_type(name).name] = made["id"]
            if name == "container":
                [volume] = self.get(f"/v1/containers/{made['id']}/volumes")["data"]
                self.ids["volume"] = volume["id"]

    def get(self, path: str) -> Json:
        response = self.http.get(path)
        assert response.status_code == 200, response.text
        document = response.json()
        assert isinstance(document, dict)
        return document

    def settled(self, document: Json) -> Json:
        return until(lambda: self.get(document["links"]["self"]), lambda seen: seen.get("transitioning", "no") != "yes")

    def act(self, document: Json, action: str) -> httpx.Response:
        told = self.schemas[document["type"]]["resourceActions"].get(action, {})
        body = body_of(self.schemas[told["input"]], self.ids) if told.get("input") else {}
        return self.http.post(f"{document['links']['self']}/?action={action}", json=body)

    def refused(self, response: httpx.Response, status: int, code: str, field: str | None = None) -> None:
        error = response.json()
        assert (response.status_code, error["status"], error["code"]) == (status, status, code), response.text
        assert error.get("fieldName") == field, response.text
        assert error["message"], "an error says what to do"


@pytest.fixture(scope="module")
def live(shared_home: Path) -> Iterator[Live]:
    with Server(shared_home) as server, server.http() as http:
        schemas = {each["id"]: each for each in http.get("/v1/schemas").json()["data"]}
        assert sorted(createable(schemas)) == sorted(CREATEABLE)
        live = Live(http, schemas)
        live.make_all()
        yield live


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CREATEABLE)
def test_a_type_lives_as_its_schema_says(live: Live, name: str) -> None:
    made = live.made[name]
    schema = live.schemas[made["type"]]
    fields = {key for name in schema["resourceFields"] for key in (name, f"{name}TS")}
    assert set(made) - fields <= {"id", "type", "links", "actions", *BESIDE.get(name, ())}
    assert set(made["actions"]) <= set(schema["resourceActions"])

    done: list[str] = []
    document = live.get(made["links"]["self"])
    while left := sorted((each for each in document["actions"] if each not in done), key=_place):
        done.append(left[0])
        response = live.act(document, left[0])
        assert response.status_code in (200, 202), f"{left[0]} of what is {document['state']}: {response.text}"
        answer = response.json()
        output = schema["resourceActions"][left[0]]["output"]
        assert CATALOGUE.root_type(answer["type"]).name == CATALOGUE.root_type(output).name
        document = live.settled(made)
    for action in schema["resourceActions"]:
        if action not in document["actions"]:
            live.refused(live.act(document, action), 422, "ActionNotAvailable")
    live.refused(live.act(document, "nothing"), 422, "InvalidAction")


def _place(action: str) -> tuple[int, str]:
    return (LAST.index(action) if action in LAST else -1, action)


@pytest.mark.parametrize("name", CREATEABLE)
def test_a_wrong_value_is_refused_by_the_limits_that_the_schema_tells(live: Live, name: str) -> None:
    schema = live.schemas[name]
    url = schema["links"]["collection"]
    for each, told in schema["resourceFields"].items():
        if not told["create"]:
            continue
        for value, code in wrong(told):
            live.refused(live.http.post(url, json={each: value}), 422, code, each)
        if told["unique"]:
            live.refused(live.http.post(url, json={each: live.made[name][each]}), 422, "NotUnique", each)
        if told["required"] and told["default"] is None:
            body = {key: value for key, value in body_of(schema, live.ids).items() if key != each}
            live.refused(live.http.post(url, json=body), 422, "MissingRequired", each)
    for missing in ("99999999", "0" * 18):
        live.refused(live.http.get(f"{url}/{live.made[name]['id'].rstrip('0123456789')}{missing}"), 404, "Not Found")
        live.refused(live.http.get(f"{url}/{missing}"), 404, "Not Found")
    live.refused(live.http.put(url, json={}), 405, "Method not allowed")


def wrong(told: Json) -> Iterator[tuple[Any, str]]:
    """Values that a field does not take, and the code with which it says so."""
    kind, limited = told["type"].partition("[")[0], told["options"] or told["validChars"]
    if not told["nullable"]:
        yield None, "NotNullable"
    match kind:
        case "int":
            number: Any
            for number in ("seven", {}, 1.5, 2**70):
                yield number, "InvalidFormat"
            yield from _beyond(told)
        case "boolean":
            yield "maybe", "InvalidFormat"
        case "date":
            yield "someday", "InvalidDateFormat"
        case "map":
            yield "text", "InvalidFormat"
        case "array":
            yield [None], "NotNullable"
        case "reference":
            for each in ("1x99999999", "5", "nothing"):
                yield each, "InvalidReference"
        case "string" | "enum" | "password":
            yield {"a": 1}, "InvalidFormat"
            yield "a\0", "InvalidCharacters"
            if told["options"]:
                yield "none of them", "InvalidOption"
            if told["validChars"]:
                yield "\u00a7", "InvalidCharacters"
            if told["maxLength"] is not None and not limited:
                yield "x" * (told["maxLength"] + 1), "MaxLengthExceeded"
            if told["minLength"] and not limited:
                yield "x" * (told["minLength"] - 1), "MinLengthExceeded"


def _beyond(told: Json) -> Iterator[tuple[int, str]]:
    if told["min"] is not None:
        yield told["min"] - 1, "MinLimitExceeded"
    if told["max"] is not None:
        yield told["max"] + 1, "MaxLimitExceeded"
