"""?at=: a resource, its links and its causes as of a position, a time, or some while ago; from the log alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from commands import events
from eventstore import Event, Write
from eventstore.archiving import archive_before
from eventstore.postgres import PostgresStore
from projections import causes, history, past
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api, serving


async def renamed(api: Api) -> tuple[str, list[int]]:
    """A container called a, b and then c; -> its path, and the positions of these names."""
    made = await api.http.post("/v1/containers", json={"imageUuid": "sim:1", "name": "a"})
    path = f"/v1/containers/{made.json()['id']}"
    positions = [int(made.headers["X-Corral-Position"])]
    for name in ("b", "c"):
        changed = await api.http.put(path, json={"name": name})
        positions.append(int(changed.headers["X-Corral-Position"]))
    return path, positions


async def test_it_is_what_it_was_at_a_position_a_time_and_some_while_ago(api: Api) -> None:
    path, positions = await renamed(api)
    for position, name in zip(positions, ("a", "b", "c"), strict=True):
        answer = await api.http.get(f"{path}?at={position}")
        assert (answer.json()["name"], answer.headers["X-Corral-Position"]) == (name, str(position))
        [event] = await api.store.read_all(position - 1, 1)
        assert (await api.get(path, at=event.at.isoformat()))["name"] == name
        assert (await api.get(path, at=event.at.isoformat().replace("+00:00", "Z")))["name"] == name
        assert (await api.http.get(f"{path}?at={event.at.isoformat()}")).json()["name"] == name, "a + that a URL made a blank of"
    assert (await api.get(path, at="0s"))["name"] == "c"
    assert (await api.http.get(f"{path}?at=1h")).status_code == 404


async def test_the_past_has_nothing_to_be_done_and_its_links_stay_in_it(api: Api) -> None:
    path, [first, *_] = await renamed(api)
    then, now = await api.get(path, at=first), await api.get(path)
    assert now["actions"]
    assert then["actions"] == {}
    assert then["links"] == {name: f"{link}?at={first}" for name, link in now["links"].items()}
    image = await api.get(then["links"]["image"].removeprefix(api.url))
    assert image["links"]["self"].endswith(f"?at={first}")
    volumes = await api.get(then["links"]["volumes"].removeprefix(api.url))
    assert volumes["links"]["self"].endswith(f"/volumes?at={first}")
    assert (volumes["createTypes"], volumes["createDefaults"]) == ({}, {})


async def test_before_it_was_created_it_is_not_there(api: Api) -> None:
    before = await api.store.head()
    path, [first, *_] = await renamed(api)
    for where in ("", "/volumes", "/image", "/history", "/why"):
        missing = await api.http.get(f"{path}{where}?at={before}")
        assert (missing.status_code, missing.json()["code"]) == (404, "Not Found"), where
    assert (await api.http.get(f"{path}?at=0")).status_code == 404
    assert (await api.get(path, at=first))["name"] == "a"


@pytest.mark.parametrize(
    ("at", "named"),
    [("soon", "how long ago"), ("-1", "a position (120)"), ("", "a position"), ("9999-01-01", "still to come"), ("2026-02-30", "a time")],
)
async def test_what_is_no_moment_is_refused_with_what_is_one(api: Api, at: str, named: str) -> None:
    refused = await api.http.get(f"/v1/accounts/1a{api.admin}", params={"at": at})
    assert (refused.status_code, refused.json()["code"], refused.json()["fieldName"]) == (422, "InvalidFormat", "at")
    assert named in refused.json()["message"]


async def test_a_position_beyond_the_end_is_refused_with_where_that_is(api: Api) -> None:
    head = await api.store.head()
    refused = await api.http.get(f"/v1/accounts/1a{api.admin}?at={head + 1}")
    assert (refused.status_code, refused.json()["fieldName"]) == (422, "at")
    assert f"the log ends at {head}" in refused.json()["message"]
    assert refused.headers["X-Corral-Position"] == str(head), "errors tell of a position, too"


async def test_the_past_is_only_read(api: Api) -> None:
    for method, path in (("POST", "/v1/hosts?at=1"), ("PUT", "/v1/accounts/1a1?at=1"), ("DELETE", "/v1/accounts/1a1?at=1")):
        refused = await api.http.request(method, path, json={})
        assert (refused.status_code, refused.json()["fieldName"]) == (422, "at"), method
    assert (await api.http.get("/v1/schemas/container?at=1")).status_code == 200
    for path in ("/v1/settings?at=1", "/v1/activesettings/1as!engine.turns?at=1"):
        assert (await api.http.get(path)).json()["fieldName"] == "at", "settings are there for now alone"


async def test_lists_by_link_are_as_they_were_paged_sorted_and_with_includes(api: Api) -> None:
    made = [await api.add("host", name=name) for name in ("x", "z", "y")]
    machine = await api.add("physicalHost", name="m")
    for number in made:
        await api.happened(f"host-{number}", Event(events.UPDATED, {"changes": {"physicalHostId": machine}}))
    then = await api.store.head()
    await api.happened(f"host-{made[0]}", Event(events.UPDATED, {"changes": {"physicalHostId": None}}))
    await api.happened(f"host-{made[1]}", Event(events.UPDATED, {"changes": {"name": "renamed"}}))
    await api.settled()
    path = f"/v1/physicalhosts/1ph{machine}"

    def names(found: dict[str, Any]) -> list[str]:
        return [each["name"] for each in found["data"]]

    assert names(await api.get(f"{path}/hosts")) == ["renamed", "y"]
    assert names(await api.get(f"{path}/hosts", at=then)) == ["x", "z", "y"]
    assert [each["name"] for each in (await api.get(path, at=then, include="hosts"))["hosts"]] == ["x", "z", "y"]
    assert (await api.get(f"/v1/hosts/1h{made[0]}/physicalhost", at=then))["name"] == "m"
    assert (await api.http.get(f"/v1/hosts/1h{made[0]}/physicalhost")).status_code == 404
    assert (await api.get(f"/v1/hosts/1h{made[0]}", at=then, include="physicalHost"))["physicalHost"]["name"] == "m"


async def test_no_view_is_asked(store: PostgresStore, database: str) -> None:
    async with serving(store, database, projecting=False) as api:
        path, positions = await renamed(api)
        connection = await asyncpg.connect(database)
        await connection.execute(f'drop schema "{api.views.schema}" cascade')
        await connection.close()
        assert (await api.get(path, at=positions[1]))["name"] == "b"
        assert (await api.get(f"{path}/image", at=positions[1]))["uuid"] == "sim:1"
        assert (await api.get(f"{path}/volumes", at=positions[1]))["data"] == []
        assert len((await api.get(f"/v1/accounts/1a{api.admin}/instances", at=positions[1]))["data"]) == 1


async def test_what_has_left_for_the_archive_is_still_there_then(api: Api, database: str, tmp_path: Path) -> None:
    path, [first, *_] = await renamed(api)
    number = int(path.rpartition("1i")[2])
    stream, host = f"instance-{number}", await api.add("host", name="h")
    unplaced = await api.store.head()
    rows: dict[str, dict[str, Any]] = {
        "volume-900": {"instanceId": number, "name": "v", "accountId": api.admin},
        "instanceHostMap-900": {"instanceId": number, "hostId": host},
    }
    for name, changes in rows.items():
        await api.store.append([Write(name, 0, (Event(events.CREATED, {"changes": {**changes, "state": "active"}}),), stream)])
    then = await api.store.head()
    for name in (stream, *rows):
        await api.happened(name, Event(events.UPDATED, {"changes": {"state": "purged"}}, {"closed": True}))
    await api.happened(f"host-{host}", Event(events.UPDATED, {"changes": {"name": "later"}}))
    archived = await archive_before(database, tmp_path / "archive", await api.store.head())
    assert archived.streams == 3

    assert (await api.get(path, at=first))["name"] == "a"
    assert (await api.get(path, at=then))["name"] == "c"
    assert [each["name"] for each in (await api.get(f"{path}/volumes", at=then))["data"]] == ["v"]
    assert [each["name"] for each in (await api.get(f"/v1/hosts/1h{host}/instances", at=then))["data"]] == ["c"]
    assert (await api.get(f"/v1/hosts/1h{host}/instances", at=unplaced))["data"] == []
    names = [each["data"]["changes"].get("name") for each in await api.get(f"{path}/history", at=then) if each["type"] == "updated"]
    assert names == ["b", "c"]


async def test_why_is_the_chain_of_causes_and_to_each_what_they_may_see_of_it(store: PostgresStore, database: str) -> None:
    async with serving(store, database) as api:
        account, key = await account_with_key(api, "user", "u")
        shift = await api.store.head()
        made = await api.http.post("/v1/containers", json={"imageUuid": "sim:1", "name": "web"}, headers={"X-Correlation-Id": "mine"})
        path, stream = f"/v1/containers/{made.json()['id']}", f"instance-{made.json()['id'][2:]}"
        created = await api.store.head()
        [began] = [each for each in await api.store.read(stream) if each.type == events.PROCESS_STARTED]
        agent = await api.happened("agent-77", Event(events.CREATED, {"changes": {"kind": "agent", "state": "active"}}))
        pid = began.data["pid"]
        asked = Event(events.STEP_REQUESTED, {"pid": pid, "command": "c", "id": "x", "agent": 77}, {"causation": began.id})
        await api.happened(stream, asked)
        failed = {"pid": pid, "process": began.data["process"], "field": "state", "error": "no room", "to": "removed"}
        answered = Event(events.STEP_FAILED, {"pid": pid, "id": "x", "error": "no room"}, {"causation": "agent-77@1"})
        await api.happened(stream, answered, Event(events.PROCESS_FAILED, failed))
        await api.happened(stream, Event(events.UPDATED, {"changes": {"accountId": account}}))

        told = await api.get(f"{path}/why")
        assert (told["stream"], told["state"]) == (stream, "removed")
        assert (told["transitioning"], told["transitioningMessage"]) == ("error", "no room")
        chain = [each["type"] for each in told["chain"]]
        assert chain[:4] == [events.PROCESS_FAILED, events.STEP_FAILED, events.STEP_REQUESTED, events.PROCESS_STARTED]
        assert told["chain"][-1]["metadata"]["correlation"] == "mine"
        own = await api.store.read(stream)
        deciding = causes.deciding(own)
        assert deciding is not None
        assert [each["id"] for each in told["chain"]] == [each.id for each in causes.chain(deciding, lambda _: own)]

        earlier = await api.get(f"{path}/why", at=created)
        assert (earlier["state"], earlier["waits"]) == (began.data["via"], [{"process": began.data["process"], "reason": None}])
        assert earlier["chain"][0]["type"] == events.PROCESS_STARTED
        assert shift < earlier["chain"][-1]["position"] <= created < agent

        # The events from before it was theirs are not.
        theirs = (await api.http.get(f"{path}/why", auth=key)).json()
        assert (theirs["state"], theirs["chain"]) == ("removed", [])
        assert (await api.http.get(f"{path}/why")).headers["X-Corral-Position"]


QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("containers", {}),
    ("instances", {"sort": "name", "order": "desc"}),
    ("instances", {"limit": 2, "sort": "name"}),
    ("instances", {"limit": 2, "marker": "m2"}),
    ("instances", {"kind": "virtualMachine"}),
    ("containers", {"name_like": "a%"}),
    ("containers", {"name_notlike": "_"}),
    ("containers", {"name_prefix": "b"}),
    ("containers", {"name_null": ""}),
    ("containers", {"name_notnull": "", "sort": "id", "order": "desc"}),
    ("containers", {"name_ne": "a"}),
    ("containers", {"state": "requested"}),
    ("containers", {"id_gt": "1i1"}),
    ("containers", {"imageId": "1i1"}),
    ("containers", {"created_lte": "2100-01-01T00:00:00Z", "sort": "created"}),
    ("containers", {"memoryMb_gte": "64"}),
    ("containers", {"include": "image", "limit": 20}),
    ("hosts", {"sort": "computeFree"}),
    ("images", {"isPublic": "true"}),
    ("networks", {"name": "nobody's"}),
    ("credentials", {"publicValue_notnull": "", "kind": "apiKey"}),
    ("tasks", {"name_like": "p%", "sort": "name", "order": "desc"}),
    ("accounts", {"uuid": "admin"}),
)
"""Lists, and what they are asked by."""


async def test_a_whole_list_of_the_past_is_what_the_list_was_then(api: Api) -> None:
    for name in ("a", "b", "ab", None):
        await api.post("/v1/containers", imageUuid="sim:1", name=name)
    await api.post("/v1/virtualmachines", imageUuid="sim:1", memoryMb=64)
    await api.add("host", name="h", computeFree=7)
    await account_with_key(api, "user", "u")
    then = await api.store.head()
    listed = [await api.get(f"/v1/{type}", **asked) for type, asked in QUESTIONS]
    await api.post("/v1/containers", imageUuid="sim:1", name="later")
    for each in (await api.get("/v1/containers"))["data"]:
        await api.http.put(each["links"]["self"], json={"name": "changed"})
    await api.settled()
    for (type, asked), before in zip(QUESTIONS, listed, strict=True):
        shown = await api.get(f"/v1/{type}", at=then, **asked)
        assert [each["id"] for each in shown["data"]] == [each["id"] for each in before["data"]], (type, asked)
        assert [each.get("name") for each in shown["data"]] == [each.get("name") for each in before["data"]], (type, asked)
        assert (shown["filters"], shown["pagination"]["partial"]) == (before["filters"], before["pagination"]["partial"])
        assert all(each["actions"] == {} and each["links"]["self"].endswith(f"?at={then}") for each in shown["data"])
        assert shown["createTypes"] == {}
        if following := shown["pagination"]["next"]:
            assert f"at={then}" in following
    assert (await api.get("/v1/containers", at=0))["data"] == []
    [link] = {each["links"]["self"] for each in (await api.get("/v1/tasks", at=then, name="agent.ping"))["data"]}
    assert (await api.http.get(link)).json()["name"] == "agent.ping"


async def test_a_user_finds_in_the_past_what_was_theirs_and_is(api: Api) -> None:
    mine, key = await account_with_key(api, "user", "u")
    theirs, _ = await account_with_key(api, "user", "t")
    owners = (("kept", mine), ("given", mine), ("got", theirs))
    kept, given, got = [await api.add("network", name=name, accountId=owner) for name, owner in owners]
    then = await api.store.head()
    for number, owner in ((given, theirs), (got, mine)):
        await api.happened(f"network-{number}", Event(events.UPDATED, {"changes": {"accountId": owner}}))
    await api.settled()
    shown = (await api.http.get(f"/v1/networks?at={then}&limit=1", auth=key)).json()
    assert ([each["id"] for each in shown["data"]], shown["pagination"]["partial"]) == ([f"1n{kept}"], False)
    for secret in ("secretValue", "secretValue_like"):
        found = (await api.http.get("/v1/credentials", params={"at": then, secret: "secret-u"}, auth=key)).json()["data"]
        assert [each["publicValue"] for each in found] in ([], ["key-u"])


async def test_a_list_of_a_past_that_is_too_long_says_how_far_it_came(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await renamed(api)
    then = await api.store.head()
    monkeypatch.setattr(past, "LIST_SECONDS", 0.0)
    monkeypatch.setattr(history, "BATCH", 2)
    refused = await api.http.get(f"/v1/containers?at={then}")
    assert (refused.status_code, refused.json()["code"]) == (503, "QueryTooSlow")
    assert f"2 of {then}" in refused.json()["message"]
    many = await api.http.get(f"/v1/containers?at={then}&include=image")
    assert (many.status_code, many.json()["code"], many.json()["fieldName"]) == (422, "InvalidOption", "limit")
