"""The OpenAPI document, and the API held to it: whatever it permits, and what it does not, gets one of the answers that it names."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Collection, Mapping
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from commands.catalogue.builtin import CATALOGUE
from eventstore.postgres import PostgresStore
from tests.gateway.access.test_access import account_with_key
from tests.gateway.samples import body_of, createable
from tests.support.http import Api, serving

Json = dict[str, Any]
Operation = APIOperation[Any, Any, Any, Any]

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
]  # fmt: skip
BUDGET = 25.0
"""Seconds for which the document's operations are tried, in an order that a seed gives; each at least once where they last."""
EXAMPLES = 3
"""Requests an operation, of those that the document permits, and as many of those that it does not."""

SETTINGS = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


async def sampled(api: Api) -> dict[str, str]:
    """One of each type that can be made. -> type -> id"""
    schemas = {each["id"]: each for each in (await api.get("/v1/schemas"))["data"]}
    ids: dict[str, str] = {}
    for name in createable(schemas):
        made = await api.post(f"/v1/{name}", **body_of(schemas[name], ids))
        ids[name] = ids[CATALOGUE.root_type(name).name] = made["id"]
        if name == "container":  # with an engine it would make its own
            ids["volume"] = f"1v{await api.add('volume', instanceId=int(made['id'].removeprefix('1i')))}"
    return ids


async def test_the_document_is_valid_and_has_all_that_the_schemas_have(api: Api) -> None:
    document = await api.get("/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": api.url}]
    schemathesis.openapi.from_dict(document).validate()
    for schema in (await api.get("/v1/schemas"))["data"]:
        if not CATALOGUE.type(schema["id"]).stored:
            continue
        path = f"/v1/{schema['pluralName'].lower()}"
        assert {method.lower() for method in schema["collectionMethods"]} == set(document["paths"].get(path, {})), path
        assert {method.lower() for method in schema["resourceMethods"]} <= set(document["paths"].get(f"{path}/{{id}}", {})), path
        for name in schema["includeableLinks"]:
            assert f"{path}/{{id}}/{name.lower()}" in document["paths"]


async def test_a_user_is_told_of_what_users_can_do(api: Api) -> None:
    _, key = await account_with_key(api, "user", "u")
    document = (await api.http.get("/v1/openapi.json", auth=key)).json()
    schemathesis.openapi.from_dict(document).validate()
    assert "/v1/containers" in document["paths"]
    assert "/v1/agents" not in document["paths"]
    assert "data" not in document["components"]["schemas"]["container"]["allOf"][1]["properties"]


@pytest.mark.parametrize("kind", ["superadmin", "admin", "readAdmin", "user", "agent", "agentRegister"])
async def test_every_kind_is_told_what_its_schemas_say(api: Api, kind: str) -> None:
    _, key = await account_with_key(api, kind, "k")
    document = (await api.http.get("/v1/openapi.json", auth=key)).json()
    schemathesis.openapi.from_dict(document).validate()
    paths, described = document["paths"], document["components"]["schemas"]
    for schema in (await api.http.get("/v1/schemas", auth=key)).json()["data"]:
        name = schema["id"]
        if not CATALOGUE.type(name).stored:
            continue
        for purpose in ("create", "update"):
            may = {field for field, its in schema["resourceFields"].items() if its[purpose]} - ({"id"} if purpose == "update" else set())
            assert set(described[f"{name}.{purpose}"]["properties"]) == may, (name, purpose)
        shown = set(described[name]["allOf"][1]["properties"]) - {"type"}
        assert shown - {each for each in shown if each.endswith("TS")} <= set(schema["resourceFields"]), name
        path = f"/v1/{schema['pluralName'].lower()}"
        assert ("post" in paths.get(f"{path}/{{id}}", {})) == bool(schema["resourceActions"]), name
        assert kind not in ("readAdmin", "agent") or f"{path}/{{id}}/retry" not in paths
        listing = paths.get(path, {}).get("get", {}).get("parameters", [])
        filters: Json = next((each["schema"]["properties"] for each in listing if each.get("name") == "filters"), {})
        assert {each.partition("_")[0] for each in filters} == set(schema["collectionFilters"]), name


OWN_PATHS = (
    "/ping", "/healthcheck", "/corral/nats/keys", "/v1/events", "/v1/publish", "/v1/subscribe", "/v1/configcontent/{item}",
    "/v1/authorized_keys", "/v1/scripts/{name}", "/v1/registrationtokens/{id}/command", "/v1/sshkeys/{id}/pem", "/v1/processdefinitions",
    "/v1/processdefinitions/{id}", "/v1/processdefinitions/{id}/processdot", "/v1/resourcedefinitions/{id}/processes",
    "/v1/extensionpoints", "/v1/typedocumentations/{id}", "/v1/containers/{id}/history", "/v1/containers/{id}/why", "/v1/hosts/{id}",
    "/v1/virtualmachines/{id}/resize", "/v1/tasks/{id}", "/v1/taskinstances", "/v1/processinstances", "/v1/accounts/{id}/instances",
)  # fmt: skip
"""What stands beside the lists and documents of types, and some that can be asked for the past."""

NAMED = {"processDefinition": "1pd!instance.start", "resourceDefinition": "1rd!instance", "typeDocumentation": "instance"}


async def test_what_is_no_types_list_is_documented_and_answers_so(store: PostgresStore, database: str, nats_url: str) -> None:
    async with serving(store, database, nats=nats_url) as api:
        ids = {**await sampled(api), **NAMED, "account": f"1a{api.admin}"}
        document = await api.get("/v1/openapi.json")
        assert set(OWN_PATHS) <= set(document["paths"])
        tried, of = await asyncio.to_thread(held_to, document, ids, OWN_PATHS)
        assert 0 < tried <= of


async def test_who_may_not_is_not_told_of_it(api: Api) -> None:
    _, key = await account_with_key(api, "user", "u")
    paths = (await api.http.get("/v1/openapi.json", auth=key)).json()["paths"]
    hidden = ("/v1/publish", "/v1/configcontent/{item}", "/v1/processdefinitions", "/v1/sshkeys/{id}/pem", "/v1/authorized_keys")
    for path in (*hidden, "/corral/nats/keys"):
        assert path not in paths, path
    for path in ("/v1/events", "/v1/subscribe", "/v1/containers/{id}/history", "/v1/scripts/{name}", "/ping"):
        assert path in paths, path


async def test_settings_and_what_is_inside_have_no_past_to_be_asked_for(api: Api) -> None:
    paths = (await api.get("/v1/openapi.json"))["paths"]

    def asks(path: str) -> bool:
        return {"$ref": "#/components/parameters/at"} in paths[path]["get"]["parameters"]

    for path, past in (("/v1/containers/{id}", True), ("/v1/settings/{id}", False), ("/v1/processinstances/{id}", False)):
        assert asks(path) is past, path
        answer = await api.http.get(path.replace("{id}", "1i1"), params={"at": "0"})
        assert (answer.status_code == 422) is not past, answer.text
        assert (f"{path}/history" in paths) is past


@pytest.mark.timeout(180)
async def test_whatever_is_asked_gets_an_answer_that_is_documented(api: Api) -> None:
    ids = await sampled(api)
    document = await api.get("/v1/openapi.json")
    tried, of = await asyncio.to_thread(held_to, document, ids)
    assert tried >= min(of, 20), "hardly anything was tried"
    assert (await api.get("/v1"))["id"] == "v1"


ENDLESS = ("post", "/v1/subscribe")
"""It is answered with a stream (tests/gateway/bus), which none of the checks outlives."""


def held_to(document: Json, ids: Mapping[str, str], paths: Collection[str] = ()) -> tuple[int, int]:
    """-> how many operations (of these paths, or of all) were tried within the budget, and how many there are"""
    found = [each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations() if isinstance(each, Ok)]
    operations = [each for each in found if (each.method, each.path) != ENDLESS and (not paths or each.path in paths)]
    random.Random(2014).shuffle(operations)
    began, tried = time.monotonic(), 0
    with requests.Session() as session:
        for operation in operations:
            if time.monotonic() - began > BUDGET:
                break
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _try(operation, mode, ids, document["servers"][0]["url"], session)
            tried += 1
    return tried, len(operations)


def _try(operation: Operation, mode: GenerationMode, ids: Mapping[str, str], url: str, session: requests.Session) -> None:
    type = CATALOGUE.by_path(operation.path.split("/")[2]) if operation.path.count("/") > 1 else None
    known: dict[str, Any] = {"path_parameters": {"id": ids[type.name]}} if "{id}" in operation.path and type and type.name in ids else {}
    if operation.path == "/v1/events":
        known["query"] = {"follow": "false"}  # as a stream it is endless, too

    @settings(SETTINGS)
    @given(case=operation.as_strategy(generation_mode=mode, **known))
    def ask(case: Case[Any]) -> None:
        response = case.call(base_url=url, session=session, timeout=20)
        case.validate_response(response, checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # there is nothing that the document would not permit, or it takes too long to find
        ask()
