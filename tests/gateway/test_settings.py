"""/v1/settings over HTTP: listed with value and source, changed, refused, and not shown to who may not see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commands import events
from commands.catalogue.fields import date_text
from commands.settings.settings import DEFAULTS, SETTINGS
from eventstore import Event
from eventstore.postgres import PostgresStore
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api, serving

TURNS, SPREAD = "engine.turns", "simple.allocator.spread"
DATABASE, PACKAGED, COMMAND_LINE = "Database", "Code Packaged Defaults", "System Properties"


@pytest.fixture
async def given(store: PostgresStore, database: str) -> AsyncIterator[Api]:
    """A server that was told its settings on the command line."""
    async with serving(store, database, settings={TURNS: 5, "given.password": "hunter2"}) as api:
        yield api


def path(name: str) -> str:
    return f"/v1/settings/1as!{name}"


async def in_force(api: Api, name: str) -> tuple[Any, ...]:
    found = await api.get(path(name))
    return found["activeValue"], found["value"], found["source"], found["inDb"]


async def put(api: Api, where: str, **body: Any) -> Any:
    response = await api.http.put(where, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_every_setting_is_listed_with_its_value_and_source(api: Api) -> None:
    for plural in ("settings", "activesettings"):
        listed = await api.get(f"/v1/{plural}", limit=1)
        assert listed["pagination"] is None, "they are not paged"
        assert [each["name"] for each in listed["data"]] == sorted(SETTINGS)
        assert {each["type"] for each in listed["data"]} == {"activeSetting"}
        assert {each["source"] for each in listed["data"]} == {PACKAGED}
    assert await api.get(path(SPREAD)) == {
        "id": f"1as!{SPREAD}", "type": "activeSetting", "links": {"self": f"{api.url}/v1/activesettings/1as!{SPREAD}"}, "actions": {},
        "name": SPREAD, "activeValue": "true", "value": "true", "inDb": False, "source": PACKAGED,
    }  # fmt: skip


async def test_a_value_is_stored_changed_and_taken_away_again(api: Api) -> None:
    made = await put(api, path(TURNS), value=7)
    assert (made["type"], made["value"], made["activeValue"], made["source"], made["inDb"]) == ("activeSetting", "7", "7", DATABASE, True)
    again = await put(api, made["links"]["self"], value="8", name="other", source="me")
    assert (again["id"], again["name"], again["activeValue"]) == (made["id"], TURNS, "8")
    assert await put(api, path(TURNS)) == again, "without a value nothing changes"
    assert await api.get(f"/v1/settings/{made['id'].replace('1as', '1s')}") == again
    assert [each["id"] for each in (await api.get("/v1/settings"))["data"] if each["name"] == TURNS] == [made["id"]]
    for _ in range(2):
        gone = await api.http.delete(path(TURNS))
        assert gone.status_code == 200
        assert (gone.json()["activeValue"], gone.json()["source"], gone.json()["inDb"]) == (str(DEFAULTS[TURNS]), PACKAGED, False)
    assert (await api.http.delete(made["links"]["self"])).status_code == 404


async def test_rows_are_made_by_post_also_several_at_once(api: Api) -> None:
    made = await api.post("/v1/settings", name="mine", value="one")
    assert (made["type"], made["name"], made["value"]) == ("setting", "mine", "one")
    assert await in_force(api, "mine") == ("one", "one", DATABASE, True)
    second = await api.post("/v1/settings", name="mine", value="two")
    rows = [(each["value"], each["activeValue"]) for each in (await api.get("/v1/settings"))["data"] if each["name"] == "mine"]
    assert rows == [("one", "two"), ("two", "two")], "the newest of a name counts"
    assert (await api.http.delete(f"/v1/settings/{second['id']}")).json()["activeValue"] == "one"
    both = await api.http.post("/v1/settings", json=[{"name": TURNS, "value": "9"}, {"name": SPREAD, "value": "false"}])
    assert both.status_code == 201
    assert [each["name"] for each in both.json()["data"]] == [TURNS, SPREAD]
    assert (await in_force(api, SPREAD))[0] == "false"
    await api.http.delete(path("mine"))
    assert (await api.http.get(path("mine"))).status_code == 404, "neither stored nor anybody's"


async def test_a_form_is_as_good_as_json_and_names_need_not_be_in_their_own_letters(api: Api) -> None:
    answer = await api.http.put(path("Engine.TURNS"), data={"value": "6"})
    assert answer.json()["activeValue"] == "6"
    assert (await in_force(api, TURNS))[0] == "6"


async def test_plain_ids_are_taken_and_shown(api: Api) -> None:
    row = await put(api, path(TURNS), value=7)
    plain = await api.get(f"/v1/settings/{row['id'].removeprefix('1as')}", _plainId="true")
    assert (plain["id"], plain["name"]) == (row["id"].removeprefix("1as"), TURNS)
    assert (await api.get(f"/v1/settings/{SPREAD}", _plainId="true"))["id"] == SPREAD


@pytest.mark.parametrize(
    ("name", "value", "code", "field"),
    [
        (TURNS, "many", "InvalidFormat", "value"), (TURNS, "0", "MinLimitExceeded", "value"), (TURNS, 10_001, "MaxLimitExceeded", "value"),
        (SPREAD, "maybe", "InvalidOption", "value"), ("mac.prefix.start", "01:00:00", "InvalidFormat", "value"),
        ("mac.prefix.end", "02:00:00", "InvalidFormat", "value"), (TURNS, {"a": 1}, "InvalidFormat", "value"),
        ("mine", "x" * 1025, "MaxLengthExceeded", "value"), ("mine", "a\0b", "InvalidCharacters", "value"),
        ("x" * 256, "1", "MaxLengthExceeded", "name"), (None, "1", "MissingRequired", "name"), ("", "1", "MissingRequired", "name"),
    ],
)  # fmt: skip
async def test_what_a_setting_can_not_have_is_refused(api: Api, name: str | None, value: Any, code: str, field: str) -> None:
    answers = [await api.http.post("/v1/settings", json={"name": name, "value": value})]
    if name in SETTINGS:
        answers.append(await api.http.put(path(str(name)), json={"value": value}))
    for answer in answers:
        assert (answer.status_code, answer.json()["code"], answer.json()["fieldName"]) == (422, code, field), answer.text
    assert len((await api.get("/v1/settings"))["data"]) == len(SETTINGS)


async def test_what_is_not_there_and_what_can_not_be_asked(api: Api) -> None:
    for gone in ("1as!no.such", "1as99", "99", "no.such", "1as!"):
        for method in ("GET", "PUT", "DELETE"):
            answer = await api.http.request(method, f"/v1/settings/{gone}", json={"value": "1"} if method == "PUT" else None)
            assert (answer.status_code, answer.json()["type"]) == (404, "error"), f"{method} {gone}: {answer.text}"
    assert (await api.http.post("/v1/activesettings", json={"name": "a", "value": "b"})).status_code == 405
    assert (await api.http.put("/v1/settings", json={"value": "b"})).status_code == 405


async def test_what_a_server_was_given_is_stronger_than_a_row_and_both_are_shown(given: Api) -> None:
    assert await in_force(given, TURNS) == ("5", "5", COMMAND_LINE, False)
    await put(given, path(TURNS), value=7)
    assert await in_force(given, TURNS) == ("5", "7", COMMAND_LINE, True)


async def test_a_request_sent_twice_with_its_key_is_done_once(api: Api) -> None:
    for method, where, body in (
        ("POST", "/v1/settings", {"name": "mine", "value": "1"}),
        ("PUT", path(TURNS), {"value": "7"}),
        ("PUT", path(TURNS), {"value": "8"}),
        ("DELETE", path(TURNS), None),
    ):
        key = {"Idempotency-Key": f"{method} {body}"}
        first, second = [await api.http.request(method, where, json=body, headers=key) for _ in range(2)]
        assert first.status_code == second.status_code < 300, (first.text, second.text)
        assert first.json() == second.json()
    assert [each["name"] for each in (await api.get("/v1/settings"))["data"] if each["inDb"]] == ["mine"]
    other = await api.http.put(path(TURNS), json={"value": "9"}, headers={"Idempotency-Key": "PUT {'value': '8'}"})
    assert (other.status_code, other.json()["code"]) == (422, "IdempotencyKeyReused")


async def test_secrets_are_shown_to_admins_alone_and_sealed_in_the_log(given: Api) -> None:
    made = await given.post("/v1/settings", name="stored.password", value="topsecret")
    assert made["value"] == "topsecret"
    await put(given, path("stored.password"), value="topsecret2")
    assert (await in_force(given, "stored.password"))[:2] == ("topsecret2", "topsecret2")
    assert (await in_force(given, "given.password"))[0] == "hunter2"
    assert "topsecret" not in str(await given.store.read_all(0, 1000))
    for path_of_log in ("/v1/events", f"/v1/settings/{made['id']}/history"):
        assert "topsecret" not in (await given.http.get(path_of_log, params={"limit": 1000})).text
    _, key = await account_with_key(given, "readAdmin", "reader")
    assert (await given.http.put(path(TURNS), json={"value": "1"}, auth=key)).status_code == 405
    for name in ("stored.password", "given.password"):
        seen = (await given.http.get(path(name), auth=key)).json()
        assert (seen["value"], seen["activeValue"]) == ("***", "***")
    everything = (await given.http.get("/v1/settings", auth=key)).text
    assert "topsecret" not in everything
    assert "hunter2" not in everything


async def test_users_see_no_settings(api: Api) -> None:
    _, key = await account_with_key(api, "user", "somebody")
    for where in ("/v1/settings", "/v1/activesettings", path(TURNS)):
        assert (await api.http.get(where, auth=key)).status_code == 404
    assert (await api.http.post("/v1/settings", json={"name": TURNS, "value": "1"}, auth=key)).status_code == 404
    assert (await in_force(api, TURNS))[2] == PACKAGED


async def test_what_another_server_wrote_is_shown_at_once(api: Api) -> None:
    assert (await in_force(api, TURNS))[0] == str(DEFAULTS[TURNS])
    await api.add("setting", name=TURNS, value="7")
    assert await in_force(api, TURNS) == ("7", "7", DATABASE, True)


async def test_cattles_own_client_lists_changes_and_deletes_them(api: Api) -> None:
    def use(client: Any) -> None:
        made = client.create_setting(name="mine", value="one")
        assert (made.name, made.value) == ("mine", "one")
        [mine] = [each for each in client.list_setting() if each.name == "mine"]
        assert (mine.activeValue, mine.inDb, mine.source) == ("one", True, DATABASE)
        assert client.update(mine, value="two").value == "two"
        assert client.by_id_setting("1as!mine").activeValue == "two"
        turns = client.by_id_setting(f"1as!{TURNS}")
        assert client.update(turns, value="9").activeValue == "9"
        client.delete(mine)
        assert all(each.name != "mine" for each in client.list_setting())

    await api.with_client(use)


async def test_a_changed_setting_counts_for_the_very_next_request(api: Api) -> None:
    refused = await api.http.post("/v1/containers", json={"name": "without an image"})
    assert (refused.status_code, refused.json()["fieldName"]) == (422, "imageUuid")
    await put(api, path("api.instance.require.image"), value="false")
    assert (await api.http.post("/v1/containers", json={"name": "without an image"})).status_code == 201


async def test_for_how_long_lists_show_what_is_removed_is_changed_too(api: Api) -> None:
    number = await api.add("image", name="gone", accountId=api.admin)
    moment = datetime.now(UTC)
    removed = {"removed": date_text(moment), "removeTime": date_text(moment + timedelta(days=1))}
    await api.happened(f"image-{number}", Event(events.UPDATED, {"changes": removed}))
    await api.settled()
    places = ("/v1/images", f"/v1/accounts/1a{api.admin}/images")
    for place in places:
        assert [each["name"] for each in (await api.get(place))["data"]] == ["gone"]
    await put(api, path("api.show.removed.for.seconds"), value=0)
    for place in places:
        assert (await api.get(place))["data"] == []
