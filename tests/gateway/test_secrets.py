"""Secrets as the API shows them: in clear to who may read them, wherever they stand, though nothing behind it holds them so."""

from __future__ import annotations

from typing import Any

import pytest

from commands import events
from commands.catalogue.secrets import is_sealed
from eventstore import Event, Write
from tests.support.http import Api

SECRET = "s3cret"


async def key(api: Api, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = await api.post("/v1/apikeys", **{"publicValue": "p", "secretValue": SECRET, **fields})
    await api.settled()
    return made


async def test_by_id_in_lists_links_and_includes_a_secret_is_in_clear(api: Api) -> None:
    made = await key(api)
    assert made["secretValue"] == SECRET
    path = f"/v1/apikeys/{made['id']}"
    assert (await api.get(path))["secretValue"] == SECRET
    assert SECRET in [each.get("secretValue") for each in (await api.get("/v1/credentials"))["data"]]
    account = f"/v1/accounts/1a{api.admin}"
    assert SECRET in [each.get("secretValue") for each in (await api.get(f"{account}/credentials"))["data"]]
    included = await api.get(account, include="credentials")
    assert SECRET in [each.get("secretValue") for each in included["credentials"]]
    row = (await api.views.get("credential", int(made["id"][2:]))) or pytest.fail("it is not in the views")
    assert is_sealed(row.resource.row["secretValue"])


async def test_the_answer_to_a_create_of_many_and_to_a_repeated_one_shows_them_too(api: Api) -> None:
    both = await api.http.post("/v1/apikeys", json=[{"secretValue": "one", "publicValue": "1"}, {"secretValue": "two", "publicValue": "2"}])
    assert [each["secretValue"] for each in both.json()["data"]] == ["one", "two"]
    for _ in range(2):
        again = await api.http.post("/v1/apikeys", json={"publicValue": "p", "secretValue": "kept"}, headers={"Idempotency-Key": "once"})
        assert again.json()["secretValue"] == "kept"


async def test_putting_back_what_was_read_changes_nothing_and_a_new_secret_does(api: Api) -> None:
    made = await key(api)
    path = f"/v1/apikeys/{made['id']}"
    before = await api.store.head()
    answer = await api.http.put(path, json=await api.get(path))
    assert (answer.status_code, answer.json()["secretValue"]) == (200, SECRET)
    assert await api.store.head() == before
    answer = await api.http.put(path, json={"secretValue": "another"})
    assert answer.json()["secretValue"] == "another"
    assert await api.store.head() == before + 1
    assert "another" not in str(await api.store.read_all())


async def test_secrets_in_the_free_map_of_a_row_are_shown_there_and_come_back_unchanged(api: Api) -> None:
    made = await api.post("/v1/virtualmachines", imageUuid="sim:1", data={"fields": {"libvirtVncPassword": SECRET, "note": "n"}, "free": 1})
    path = f"/v1/virtualmachines/{made['id']}"
    for document in (made, await api.get(path)):
        assert document["libvirtVncPassword"] == SECRET
        assert document["data"]["fields"]["libvirtVncPassword"] == SECRET
        assert (document["data"]["fields"]["note"], document["data"]["free"]) == ("n", 1)
    before = await api.store.head()
    assert (await api.http.put(path, json={"data": (await api.get(path))["data"]})).status_code == 200
    assert await api.store.head() == before
    assert SECRET not in str(await api.store.read_all())


async def test_the_token_of_an_instance_is_shown_to_admins_and_masked_in_its_history(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1")
    number = int(made["id"][2:])
    version = len(await api.store.read(f"instance-{number}"))
    change = Event(events.UPDATED, {"changes": {"token": SECRET, "+data": {"+fields": {"environment": {"token": "theirs"}}}}})
    await api.store.append(await api.commands.vault.sealed([Write(f"instance-{number}", version, (change,))]))
    document = await api.get(f"/v1/containers/{made['id']}")
    assert (document["token"], document["environment"]) == (SECRET, {"token": "theirs"})
    for shown in (await api.get(f"/v1/containers/{made['id']}/history"), await api.get("/v1/events", limit=1000)):
        assert SECRET not in str(shown)
        assert "sealed" not in str(shown)
        assert "'token': '***'" in str(shown)


FILTERS: list[tuple[dict[str, str], set[str]]] = [
    ({"secretValue": "alpha"}, {"1"}),
    ({"secretValue_ne": "alpha"}, {"2", "3"}),
    ({"secretValue_prefix": "al"}, {"1", "2"}),
    ({"secretValue_like": "al_ha"}, {"1", "2"}),
    ({"secretValue_like": r"al\_ha"}, {"2"}),
    ({"secretValue_notlike": "%ha"}, {"3"}),
    ({"secretValue_prefix": "al", "publicValue": "2"}, {"2"}),
    ({"secretValue_null": ""}, set()),
    ({"secretValue_notnull": ""}, {"1", "2", "3"}),
    ({"secretValue": "nobody's"}, set()),
]


async def test_admins_filter_by_secrets_as_by_any_field(api: Api) -> None:
    for public, secret in (("1", "alpha"), ("2", "al_ha"), ("3", "gamma")):
        await key(api, publicValue=public, secretValue=secret, name="mine")
    for params, wanted in FILTERS:
        found = await api.get("/v1/apikeys", name="mine", **params)
        assert {each["publicValue"] for each in found["data"]} == wanted, params
    page = await api.get("/v1/apikeys", name="mine", secretValue_ne="x", limit=2, sort="publicValue")
    assert [each["publicValue"] for each in page["data"]] == ["1", "2"]
    assert page["pagination"]["partial"] is True
    rest = (await api.http.get(page["pagination"]["next"])).json()
    assert [each["publicValue"] for each in rest["data"]] == ["3"]


async def test_no_filter_tells_of_a_passwords_hash(api: Api) -> None:
    made = await api.post("/v1/credentials", kind="usernamePassword", publicValue="bob", secretValue=SECRET)
    await api.settled()
    now = {"secretValue_prefix": "scrypt$", "secretValue_like": "s%", "secretValue_ne": "x", "secretValue": SECRET}
    for params in ({name: value} for name, value in now.items()):
        for at in ({}, {"at": str(await api.store.head())}):
            found = await api.get("/v1/credentials", kind="usernamePassword", **params, **at)
            assert found["data"] == [], (params, at)
    [shown] = (await api.get("/v1/credentials", kind="usernamePassword"))["data"]
    assert (shown["id"], shown["secretValue"]) == (made["id"], None)


async def test_a_log_from_before_shows_its_secrets_and_seals_the_next(api: Api) -> None:
    made = await key(api)
    stream = f"credential-{made['id'][2:]}"
    await api.happened(stream, Event(events.UPDATED, {"changes": {"secretValue": "clear"}}))
    assert (await api.get(f"/v1/apikeys/{made['id']}"))["secretValue"] == "clear"
    await api.http.put(f"/v1/apikeys/{made['id']}", json={"secretValue": "sealed now"})
    assert (await api.get(f"/v1/apikeys/{made['id']}"))["secretValue"] == "sealed now"
    assert "sealed now" not in str(await api.store.read(stream))


async def test_a_purged_key_shows_no_secret_though_its_key_is_still_remembered(api: Api) -> None:
    made = await key(api, accountId=f"1a{api.admin}")
    stream = f"credential-{made['id'][2:]}"
    await api.happened(stream, Event(events.UPDATED, {"changes": {"state": "purged"}}, {"closed": True}))
    await api.settled()
    assert (await api.get(f"/v1/apikeys/{made['id']}"))["secretValue"] is None
    [linked] = [each for each in (await api.get(f"/v1/accounts/1a{api.admin}/credentials"))["data"] if each["id"] == made["id"]]
    assert linked["secretValue"] is None
    assert await api.store.keys([stream]) == {}


async def test_no_more_secrets_are_opened_for_a_list_than_is_good_for_all(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await key(api)
    monkeypatch.setattr("gateway.reads.MOST_OPENED", 0)
    refused = await api.http.get("/v1/apikeys", params={"secretValue": "x"})
    assert (refused.status_code, refused.json()["code"], refused.headers["Retry-After"]) == (503, "QueryTooSlow", "1")
    assert "secretValue is kept sealed" in refused.json()["message"]
