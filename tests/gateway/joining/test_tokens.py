"""Registration tokens: what they show, the scripts that they are good for, and the keys that only who registered reads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from commands import events
from commands.accepting.service import Actor
from commands.catalogue.builtin import CATALOGUE
from commands.logic.registration_tokens import HOUR, token
from eventstore import Event
from eventstore.postgres import PostgresStore
from gateway.access.caller import Caller
from gateway.listing import read_listing
from gateway.request import ApiRequest
from tests.support.http import Api, serving

SECRET = "a secret of forty characters, or so"


async def a_token(api: Api, state: str = "active", account: int | None = None) -> tuple[int, str]:
    """-> the credential's number, and the token that it gives now."""
    made = await api.add(
        "registrationToken", kind="registrationToken", publicValue="PUBLIC", secretValue=SECRET, accountId=account or api.admin
    )
    await api.happened(f"credential-{made}", Event(events.UPDATED, {"changes": {"state": state}}))
    await api.settled()
    return made, token("PUBLIC", SECRET, int(api.store.now().timestamp() * 1000))


async def test_an_active_token_shows_the_address_of_its_script(api: Api) -> None:
    number, text = await a_token(api)
    url = f"{api.url}/v1/scripts/{text}"
    [shown] = [each for each in (await api.get("/v1/registrationtokens"))["data"] if each["id"] == f"1c{number}"]
    alone = await api.get(f"/v1/registrationtokens/1c{number}")
    assert {(each["token"], each["registrationUrl"], each["links"]["registrationUrl"]) for each in (shown, alone)} == {(text, url, url)}
    assert SECRET not in str(alone)
    command = await api.http.get(f"/v1/registrationtokens/1c{number}/command")
    assert command.text == f"curl -sS '{url}' | sh\n"
    assert command.headers["content-type"].startswith("text/plain")


async def test_a_token_that_is_not_active_gives_nobody_anything(api: Api) -> None:
    number, text = await a_token(api, "inactive")
    assert "token" not in await api.get(f"/v1/registrationtokens/1c{number}")
    assert (await api.http.get(f"/v1/registrationtokens/1c{number}/command")).status_code == 404
    assert (await api.http.get(f"/v1/scripts/{text}")).status_code == 404


async def test_the_script_of_a_token_says_where_to_register_and_with_what(api: Api) -> None:
    _, text = await a_token(api)
    script = await api.http.get(f"/v1/scripts/{text}", headers={"X-Forwarded-For": "10.9.8.7"})
    assert script.status_code == 200
    assert script.headers["content-type"].startswith("text/plain")
    variables = await printed(script.text)
    assert variables == {
        "CATTLE_URL": f"{api.url}/v1",
        "CATTLE_REGISTRATION_ACCESS_KEY": "registrationToken",
        "CATTLE_REGISTRATION_SECRET_KEY": text,
        "CATTLE_AGENT_IP": "10.9.8.7",
        "CATTLE_AGENT_IMAGE": "python:3.13-slim",
    }


@pytest.mark.parametrize("noted", ["10.9.8.7, 172.16.0.1", "::ffff:10.9.8.7"])
async def test_the_machines_address_is_one_that_others_can_reach_it_at(api: Api, noted: str) -> None:
    _, text = await a_token(api)
    script = (await api.http.get(f"/v1/scripts/{text}", headers={"X-Forwarded-For": noted})).text
    assert (await printed(script))["CATTLE_AGENT_IP"] == "10.9.8.7"


async def test_a_client_cannot_write_into_its_own_script(api: Api) -> None:
    _, text = await a_token(api)
    script = (await api.http.get(f"/v1/scripts/{text}", headers={"X-Forwarded-For": "'; touch /tmp/owned; '"})).text
    assert (await printed(script))["CATTLE_AGENT_IP"] == "'; touch /tmp/owned; '"


async def test_what_is_no_good_token_gets_a_script_that_says_so(api: Api, tmp_path: Path) -> None:
    _, text = await a_token(api)
    public, start, signed = text.split(":")
    for wrong in (
        f"{public}:{start}:x{signed[1:]}",
        f"{public}:{int(start) + 3600000}:{signed}",
        f"OTHER:{start}:{signed}",
        "a::b",
        "unknown",
    ):
        refused = await api.http.get(f"/v1/scripts/{wrong}")
        assert refused.status_code == 404, wrong
        ended, said = await shell(refused.text)
        assert ended == 1
        assert "no valid registration token" in said
    local = await api.http.get(f"/v1/scripts/{text}", headers={"Host": "localhost:8080"})
    assert (local.status_code, "as localhost" in local.text) == (404, True)
    nowhere = await api.http.get("/v1/scripts/nope", headers={"Host": "localhost:8080"})
    assert (nowhere.status_code, "there is no such script" in nowhere.text) == (404, True)
    assert (await api.http.get("/v1/scripts")).status_code == 404


async def test_the_command_asked_under_localhost_says_that_no_other_machine_reaches_it_and_can_be_pasted_still(api: Api) -> None:
    number, _ = await a_token(api)
    path = f"/v1/registrationtokens/1c{number}/command"
    elsewhere, local = [await api.http.get(path, headers={"Host": host}) for host in ("127.0.0.1:8080", "localhost:8080")]
    assert elsewhere.text.startswith("curl -sS 'http://127.0.0.1:8080/v1/scripts/")
    comment, command, end = local.text.split("\n")
    assert comment.startswith("# another machine can't reach this server as localhost")
    assert (command.startswith("curl -sS 'http://localhost:8080/v1/scripts/"), end) == (True, "")
    assert await shell(f"curl() {{ echo echo pasted; }}\n{local.text}") == (0, "pasted\n")


async def test_a_token_ends_with_its_period_and_with_its_account(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={"registration.token.period.millis": 3 * HOUR}) as api:
        _, text = await a_token(api)
        now = int(api.store.now().timestamp() * 1000)
        for hours, status in ((4, 404), (1, 200), (0, 200)):
            earlier = token("PUBLIC", SECRET, now - hours * HOUR)
            assert (await api.http.get(f"/v1/scripts/{earlier}")).status_code == status, hours
        await api.happened(f"account-{api.admin}", Event(events.UPDATED, {"changes": {"state": "inactive"}}))
        await api.settled()
        assert (await api.http.get(f"/v1/scripts/{text}")).status_code == 404


async def test_the_settings_say_under_which_address_machines_join(store: PostgresStore, database: str) -> None:
    settings = {"agent.instance.register.url": "https://corral.example/v1", "agent.image": "mine:1"}
    async with serving(store, database, settings=settings) as api:
        _, text = await a_token(api)
        variables = await printed((await api.http.get(f"/v1/scripts/{text}", headers={"Host": "localhost"})).text)
        assert (variables["CATTLE_URL"], variables["CATTLE_AGENT_IMAGE"]) == ("https://corral.example/v1", "mine:1")


async def test_a_machines_keys_are_shown_to_who_brings_its_key(api: Api) -> None:
    made = (await api.http.post("/v1/register", data={"key": "of this machine"})).json()
    number = int(made["id"].removeprefix("1go"))
    fields = {"accessKey": "ACCESS", "secretKey": "SECRET"}
    await api.commands.update("register", number, fields, Actor(api.admin))  # sealed, as an engine's are
    await api.settled()
    path = f"/v1/register/{made['id']}"
    for where, seen in ((path, False), (f"{path}?key=of+another", False), (f"{path}?key=of+this+machine", True)):
        shown = await api.get(where)
        assert {name: shown.get(name) for name in ("key", *fields)} == (
            {"key": "of this machine", **fields} if seen else dict.fromkeys(("key", *fields))
        )
        assert ("ACCESS" in str(shown)) is seen, where
    [listed] = (await api.get("/v1/register", key="of this machine"))["data"]
    assert listed["secretKey"] == "SECRET"
    assert "secretKey" not in (await api.get("/v1/register"))["data"][0]
    assert "SECRET" not in str(await api.get("/v1/genericobjects"))


async def test_nobody_finds_out_a_key_letter_by_letter() -> None:
    """Who does not see everybody's keys anyway asks for one whole key, and for no order of them."""
    type = CATALOGUE.type("register")
    asked = [("key_prefix", "a"), ("key_like", "%b%"), ("key", "whole"), ("sort", "key"), ("name_prefix", "c")]
    for caller, filters, sort in ((Caller(5, "readAdmin"), {"key": "eq", "name": "prefix"}, None), (Caller(1), None, "key")):
        request = ApiRequest("GET", ("register",), asked, [{}], False, "", "", "", caller, False, None, "", None)
        listing = read_listing(type, request)
        assert filters is None or {each.field.name: each.modifier for each in listing.filters} == filters
        assert (listing.sort.name if listing.sort else None) == sort


async def printed(script: str) -> dict[str, str]:
    """The variables that a script sets for what it runs, by a shell."""
    head = script.partition("set -eu")[0]
    _, said = await shell(head + "env -0\n")
    pairs = (each.partition("=") for each in said.split("\0"))
    return {name: value for name, _, value in pairs if name.startswith("CATTLE_")}


async def shell(script: str, *arguments: str, **variables: str) -> tuple[int, str]:
    """-> its exit status, and all that it said."""
    options: dict[str, Any] = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    running = await asyncio.create_subprocess_exec("sh", "-s", *arguments, env={"PATH": "/usr/bin:/bin", **variables}, **options)
    async with asyncio.timeout(20):
        said, _ = await running.communicate(script.encode())
    return running.returncode or 0, said.decode()
