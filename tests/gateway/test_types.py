"""The types without a life of their own, over HTTP, and who sees which types at all."""

from __future__ import annotations

from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api

USERS_TYPES = {
    "credential", "host", "image", "instance", "volume", "subscribe", "typeDocumentation", "virtualMachine", "container", "apiKey",
    "instanceStop", "instanceConsole", "instanceConsoleInput", "schema",
}  # fmt: skip
"""Of those that are no network's."""


async def test_admins_see_all_types_but_two_and_users_theirs(api: Api) -> None:
    admin = {each["id"] for each in (await api.get("/v1/schemas"))["data"]}
    assert admin >= {"agentGroup", "register", "setting", "task", "processInstance", "extensionPoint", "publish", "databasechangelog"}
    assert not admin & {"zone", "offering"}
    _, key = await account_with_key(api, "user", "u")
    user = {each["id"] for each in (await api.http.get("/v1/schemas", auth=key)).json()["data"]}
    assert user >= USERS_TYPES
    assert not user & {"setting", "task", "register", "sshKey", "credentialInstanceMap", "data", "publish"}


async def test_a_record_shows_its_fields_and_no_state(api: Api) -> None:
    made = await api.post("/v1/configitems", name="scripts", sourceVersion="1")
    assert made["id"] == "1ci1"
    assert {"state", "uuid", "created", "transitioning"}.isdisjoint(made)
    assert made["actions"] == {}
    changed = (await api.http.put("/v1/configitems/1ci1", json={"name": "other"})).json()
    assert changed["name"] == "other"
    await api.post("/v1/configitems", name="scripts")
    refused = await api.post("/v1/configitems", status=409, name="other")
    assert refused["code"] == "Conflict"
    await api.settled()
    assert [each["name"] for each in (await api.get("/v1/configitems", name="other"))["data"]] == ["other"]
    assert (await api.get("/v1/databasechangelogs"))["data"] == []


async def test_a_new_ssh_key_shows_both_its_halves_to_an_admin(api: Api) -> None:
    made = await api.post("/v1/sshkeys", name="mine")
    assert made["kind"] == "sshKey"
    assert made["publicValue"].startswith("ssh-rsa ")
    assert made["secretValue"].startswith("-----BEGIN RSA PRIVATE KEY-----")


async def test_a_register_needs_a_key_and_a_key_registers_once(api: Api) -> None:
    assert (await api.post("/v1/register", status=422))["code"] == "MissingRequired"
    made = await api.post("/v1/register", key="k")
    assert (made["id"], made["type"], made["state"]) == ("1go1", "register", "registering")
    assert (await api.post("/v1/register", status=409, key="k"))["code"] == "Conflict"
