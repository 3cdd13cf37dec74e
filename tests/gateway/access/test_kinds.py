"""Every kind of account, every type, every verb: what the live schemas say is what is answered, and nobody sees another's rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from commands.catalogue.builtin import CATALOGUE
from eventstore.postgres import PostgresStore
from gateway.access.kinds import KINDS
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api, serving

AT_ONCE = 8

WITHOUT_API = ("test", "system", "service", "invented")

ONLY: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
    "agent": {
        "agent": ("GET;GET", {"id": "", "name": "", "user": "c"}),
        "publish": ("POST;GET", dict.fromkeys((
            "id", "name", "resourceId", "resourceType", "previousIds", "data", "time", "publisher", "transitioning",
            "transitioningProgress", "transitioningMessage", "transitioningInternalMessage",
        ), "c")),
        "subscribe": ("GET,POST;GET", {"eventNames": "c", "agentId": "c"}),
        "configContent": ("GET;GET,PUT", {"version": "u", "agentId": "u"}),
        "authorized": ("GET;GET", {}),
        "error": ("GET;GET", {}),
    },
    "agentRegister": {"agent": ("GET,POST;GET", {"uri": "c", "user": "c"}), "authorized": ("GET;GET", {}), "error": ("GET;GET", {})},
}  # fmt: skip
"""What agents see, and those that become agents: methods, and of each field whether it is created and updated."""

USER_TYPES = {
    "credential", "host", "image", "instanceLink", "instance", "ipAddress", "network", "nic", "port", "subnet", "volume", "subscribe",
    "typeDocumentation", "virtualMachine", "container", "apiKey", "instanceStop", "instanceConsole", "instanceConsoleInput",
    "ipAddressAssociateInput", "schema",
}  # fmt: skip


@pytest.fixture
async def secure(store: PostgresStore, database: str) -> AsyncIterator[Api]:
    async with serving(store, database, settings={"api.security.enabled": True}) as api:
        yield api


async def schemas_of(api: Api, key: tuple[str, str]) -> dict[str, Any]:
    return {each["id"]: each for each in (await api.http.get("/v1/schemas", auth=key)).json()["data"]}


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"register"}))
async def test_what_the_schemas_of_a_kind_say_is_what_is_answered(secure: Api, kind: str) -> None:
    _, key = await account_with_key(secure, kind, "me")
    schemas = await schemas_of(secure, key)
    few = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []

    async def ask(method: str, path: str, allowed: bool, hidden: bool) -> None:
        async with few:
            answer = await secure.http.request(method, path, auth=key, json={} if method in ("POST", "PUT") else None)
        status = answer.status_code
        good = status == 404 if hidden else status < 500 if allowed else status in (404, 405)
        if not good:
            wrong.append(f"{method} {path}: {status} {answer.text[-150:]}")

    async with asyncio.TaskGroup() as group:
        for name, type in CATALOGUE.types.items():
            schema = schemas.get(name)
            collection, resource = (schema["collectionMethods"], schema["resourceMethods"]) if schema else ([], [])
            if name == "subscribe":
                continue  # its answer may have no end
            # Both kinds of settings are one list, which who may see a setting may see.
            listed = ["GET"] if name == "activeSetting" and schema else []
            for method in ("GET", "POST"):
                group.create_task(ask(method, f"/v1/{type.plural}", method in [*collection, *listed], schema is None))
            for method in ("GET", "PUT", "DELETE"):
                group.create_task(ask(method, f"/v1/{type.plural}/{type.prefix}999999", method in resource, schema is None))
    assert wrong == []


async def test_agents_see_what_agents_need_and_no_more(secure: Api) -> None:
    for kind, types in ONLY.items():
        _, key = await account_with_key(secure, kind, kind)
        schemas = await schemas_of(secure, key)
        assert schemas.keys() == {*types, "schema"}, kind
        for name, (methods, fields) in types.items():
            schema = schemas[name]
            assert ";".join((",".join(schema["collectionMethods"]), ",".join(schema["resourceMethods"]))) == methods, (kind, name)
            seen = {
                field: "".join(letter for letter, flag in (("c", "create"), ("u", "update")) if each[flag])
                for field, each in schema["resourceFields"].items()
            }
            assert seen == {field: letters for field, letters in fields.items() if field in CATALOGUE.type(name).fields}, (kind, name)
            assert (schema["resourceActions"], schema["includeableLinks"], schema["collectionFilters"]) == ({}, [], {})


async def test_users_readers_and_superadmins_have_their_types(secure: Api) -> None:
    _, user = await account_with_key(secure, "user", "u")
    _, admin = await account_with_key(secure, "admin", "a")
    _, reader = await account_with_key(secure, "readAdmin", "r")
    _, superadmin = await account_with_key(secure, "superadmin", "s")
    admins, readers, supers = await schemas_of(secure, admin), await schemas_of(secure, reader), await schemas_of(secure, superadmin)
    assert (await schemas_of(secure, user)).keys() == USER_TYPES
    assert not {"zone", "offering"} & admins.keys()
    assert supers.keys() == CATALOGUE.types.keys()
    assert supers["zone"]["resourceFields"]["name"]["update"]
    assert not supers["zone"]["resourceFields"]["state"]["create"]
    writing = {"POST", "PUT", "DELETE"}
    for name, schema in readers.items():
        if name == "subscribe":
            continue
        assert not writing & {*schema["collectionMethods"], *schema["resourceMethods"]}, name
        assert name == "publish" or not any(each["create"] or each["update"] for each in schema["resourceFields"].values()), name
        assert schema["resourceFields"].keys() <= admins[name]["resourceFields"].keys()


@pytest.mark.parametrize("kind", WITHOUT_API)
@pytest.mark.parametrize("security", [True, False])
async def test_kinds_without_schemas_have_no_api(store: PostgresStore, database: str, kind: str, security: bool) -> None:
    async with serving(store, database, settings={"api.security.enabled": security}) as api:
        _, key = await account_with_key(api, kind, "x")
        for path in ("/v1", "/v1/schemas", "/v1/containers", "/v1/events", "/corral/info"):
            refused = await api.http.get(path, auth=key)
            assert (refused.status_code, refused.json()["code"]) == (403, "Forbidden"), path


@pytest.mark.parametrize("kind", ["user", "readAdmin", "agent", "agentRegister"])
async def test_another_accounts_row_is_not_there(secure: Api, kind: str) -> None:
    me, key = await account_with_key(secure, kind, "me")
    other, _ = await account_with_key(secure, "user", "other")
    schemas = await schemas_of(secure, key)
    rows = {name: await secure.add(name, accountId=other, name="theirs") for name in ("image", "network", "host", "genericObject")}
    rows["agent"] = await secure.add("agent", accountId=other, uri="event://theirs", name="theirs")
    rows["account"] = other
    await secure.settled()
    for name, number in rows.items():
        type = CATALOGUE.type(name)
        identity = str(number) if kind == "agent" else f"{type.prefix}{number}"
        asked = ("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "?action=remove"), ("GET", "/account"), ("POST", "/force-remove")
        for method, path in asked:
            answer = await secure.http.request(method, f"/v1/{type.plural}/{identity}{path}", auth=key)
            refused = (404, 405, 422) if name in schemas else (404,)
            assert answer.status_code in refused, (kind, method, name, answer.text)
            assert "theirs" not in answer.text
        if name in schemas:
            listed = (await secure.http.get(f"/v1/{type.plural}", auth=key)).json()["data"]
            assert [each["id"] for each in listed] == ([f"1a{me}"] if name == "account" else [])


async def test_who_registers_agents_has_the_server_log_in_to_their_own_machine_alone(secure: Api) -> None:
    _, key = await account_with_key(secure, "agentRegister", "r")

    async def made(uri: str | None) -> tuple[int, str]:
        answer = await secure.http.post("/v1/agents", json={"uri": uri, "user": "me"}, auth=key)
        return answer.status_code, answer.json().get("fieldName") or answer.json()["uri"]

    assert await made("ssh://root@victim.example:22") == (403, "uri")
    assert await made("ssh://root:guessed@10.0.0.7") == (403, "uri")
    assert await made("ssh://me@127.0.0.1:2222") == (201, "ssh://me@127.0.0.1:2222")
    assert await made("event://mine") == (201, "event://mine")
    status, uri = await made(None)
    assert (status, uri.startswith("ssh://me@")) == (201, True)


async def test_an_agents_account_speaks_in_plain_numbers_of_its_own_agent(secure: Api) -> None:
    account, key = await account_with_key(secure, "agent", "me")
    number = await secure.add("agent", accountId=account, uri="event://mine", name="mine")
    await secure.settled()
    listed = (await secure.http.get("/v1/agents", auth=key)).json()["data"]
    assert [(each["id"], each["name"]) for each in listed] == [(str(number), "mine")]
    document = (await secure.http.get(f"/v1/agents/{number}", auth=key)).json()
    assert document.keys() == {"id", "type", "links", "actions", "name", "user"}
    assert (document["actions"], list(document["links"])) == ({}, ["self"])
    for what in ("retry", "cancel", "force-remove"):
        assert (await secure.http.post(f"/v1/agents/{number}/{what}", auth=key)).status_code == 405
