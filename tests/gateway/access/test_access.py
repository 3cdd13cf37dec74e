"""Who sees what: keys select their account, and users see their own and what is public."""

from __future__ import annotations

from typing import Any

import pytest

from commands import events
from eventstore import Event
from eventstore.postgres import PostgresStore
from tests.support.http import Api, serving


async def account_with_key(api: Api, kind: str, name: str) -> tuple[int, tuple[str, str]]:
    account = await api.add("account", name=name, kind=kind)
    credential = await api.add("credential", accountId=account, publicValue=f"key-{name}", secretValue=f"secret-{name}", kind="apiKey")
    for stream in (f"account-{account}", f"credential-{credential}"):
        await api.happened(stream, Event(events.UPDATED, {"changes": {"state": "active"}}))
    await api.settled()
    return account, (f"key-{name}", f"secret-{name}")


async def test_a_user_sees_the_types_and_fields_made_for_users(api: Api) -> None:
    account, key = await account_with_key(api, "user", "u")
    made = (await api.http.post("/v1/containers", json={"imageUuid": "sim:1", "accountId": "1a1"}, auth=key)).json()
    assert "accountId" not in made
    assert "data" not in made
    assert "account" not in made["links"]
    assert (await api.get(f"/v1/containers/{made['id']}"))["accountId"] == f"1a{account}"
    schemas = {each["id"]: each for each in (await api.http.get("/v1/schemas", auth=key)).json()["data"]}
    assert "account" not in schemas
    assert "agent" not in schemas
    assert schemas["container"]["collectionMethods"] == ["GET", "POST"]
    assert "compute" not in schemas["container"]["resourceFields"]
    assert "secretValue" not in schemas["credential"]["collectionFilters"]
    assert (await api.http.get("/v1/agents", auth=key)).status_code == 404
    assert (await api.http.get(f"/v1/containers/{made['id'][2:]}?_plainId=true", auth=key)).status_code == 404


async def test_a_user_sees_own_and_public_rows_only(api: Api) -> None:
    _, mine = await account_with_key(api, "user", "mine")
    _, theirs = await account_with_key(api, "user", "theirs")
    made = (await api.http.post("/v1/containers", json={"imageUuid": "sim:1", "name": "c"}, auth=mine)).json()
    public = await api.add("image", name="public", isPublic=True)
    private = await api.add("image", name="private")
    await api.settled()
    path = f"/v1/containers/{made['id']}"

    for method, where in (("GET", path), ("PUT", path), ("DELETE", path), ("POST", f"{path}?action=remove"), ("GET", f"{path}/image")):
        assert (await api.http.request(method, where, auth=theirs)).status_code == 404, (method, where)
    assert (await api.http.get("/v1/containers", auth=theirs)).json()["data"] == []
    assert len((await api.http.get("/v1/containers", auth=mine)).json()["data"]) == 1
    names = [each["name"] for each in (await api.http.get("/v1/images", auth=mine)).json()["data"]]
    assert "public" in names
    assert "private" not in names
    assert (await api.http.get(f"/v1/images/1i{public}", auth=mine)).status_code == 200
    assert (await api.http.get(f"/v1/images/1i{private}", auth=mine)).status_code == 404
    refused = await api.http.post("/v1/containers", json={"imageId": f"1i{private}"}, auth=mine)
    assert (refused.status_code, refused.json()["code"]) == (422, "InvalidReference")


async def test_readers_may_not_write(api: Api) -> None:
    _, key = await account_with_key(api, "readAdmin", "r")
    assert (await api.http.get("/v1/hosts", auth=key)).status_code == 200
    assert (await api.http.post("/v1/hosts", json={}, auth=key)).status_code == 405
    schema = (await api.http.get("/v1/schemas/host", auth=key)).json()
    assert (schema["collectionMethods"], schema["resourceMethods"], schema["resourceActions"]) == (["GET"], ["GET"], {})
    account, key = await account_with_key(api, "readAdmin", "r2")
    own = (await api.http.get(f"/v1/accounts/1a{account}", auth=key)).json()
    assert own["name"] == "r2"
    assert own["actions"] == {}
    assert (await api.get(f"/v1/accounts/1a{account}"))["actions"] != {}


async def test_what_is_merely_public_is_only_looked_at(api: Api) -> None:
    account, key = await account_with_key(api, "user", "u")
    public = await api.add("image", name="public", isPublic=True)
    own = await api.add("image", name="own", accountId=account)
    for number in (public, own):
        await api.happened(f"image-{number}", Event(events.UPDATED, {"changes": {"state": "active"}}))
    await api.settled()

    assert "deactivate" in (await api.get(f"/v1/images/1i{public}"))["actions"], "to an admin"
    assert "deactivate" in (await api.http.get(f"/v1/images/1i{own}", auth=key)).json()["actions"]
    assert (await api.http.get(f"/v1/images/1i{public}", auth=key)).json()["actions"] == {}
    refused = await api.http.post(f"/v1/images/1i{public}?action=deactivate", auth=key)
    assert (refused.status_code, refused.json()["code"]) == (422, "ActionNotAvailable")
    for method in ("PUT", "DELETE"):
        assert (await api.http.request(method, f"/v1/images/1i{public}", json={"name": "mine"}, auth=key)).status_code == 405
    assert (await api.get(f"/v1/images/1i{public}"))["state"] == "active"


async def test_with_security_off_bad_keys_are_the_first_admin(api: Api) -> None:
    for auth in (("None", "None"), ("key", "wrong")):
        made = (await api.http.post("/v1/hosts", json={"name": "h"}, auth=auth)).json()
        assert made["accountId"] == f"1a{api.admin}"
    garbage = await api.http.get("/v1/hosts", headers={"Authorization": "Basic ###"})
    assert garbage.status_code == 200


@pytest.mark.parametrize("auth", [None, ("None", "None"), ("key-u", "wrong"), ("key-u", "")])
async def test_with_security_on_a_valid_key_is_needed(store: PostgresStore, database: str, auth: Any) -> None:
    async with serving(store, database, settings={"api.security.enabled": True}) as api:
        _, key = await account_with_key(api, "user", "u")
        refused = await api.http.get("/v1/containers", auth=auth)
        assert (refused.status_code, refused.json()["code"]) == (401, "Unauthorized")
        assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
        assert (await api.http.get("/v1/containers", auth=key)).status_code == 200
