"""/v1/tasks and their executions over HTTP. Nobody leads here: what is begun is ended by the tests."""

from __future__ import annotations

from typing import Any

import pytest

from commands.accepting import executions
from commands.catalogue.tasks import PING, PURGE, TASKS
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api

TASK = f"/v1/tasks/1t!{PURGE}"


async def execute(api: Api, name: str = PURGE, **headers: str) -> Any:
    answer = await api.http.post(f"/v1/tasks/1t!{name}/?action=execute", headers=headers)
    assert answer.status_code == 200, answer.text
    await api.settled()
    return answer.json()


async def of(api: Api, name: str) -> list[Any]:
    """A task's executions."""
    return list((await api.get(f"/v1/tasks/1t!{name}/taskinstances"))["data"])


async def test_every_task_is_listed_by_its_name(api: Api) -> None:
    listed = await api.get("/v1/tasks")
    assert [each["id"] for each in listed["data"]] == [f"1t!{task.name}" for task in TASKS]
    found = await api.get(TASK)
    assert found == {
        "id": f"1t!{PURGE}", "type": "task", "name": PURGE,
        "links": {"self": f"{api.url}{TASK}", "taskInstances": f"{api.url}{TASK}/taskinstances"},
        "actions": {"execute": f"{api.url}{TASK}/?action=execute"},
    }  # fmt: skip
    assert found in listed["data"]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"name": PING}, [PING]), ({"name_prefix": "p"}, ["process.replay", PURGE]), ({"name_null": ""}, []),
        ({"id": f"1t!{PING}"}, [PING]),
        ({"id_gt": f"1t!{PING}", "sort": "name", "order": "desc"}, ["retry.timeout", "resource.change.monitor", "cleanup.task.instances"]),
        ({"name_like": "%.re%", "limit": "2"}, ["process.replay", PURGE]), ({"limit": "1", "marker": "m2"}, [PING]), ({"id": "5"}, []),
    ],
)  # fmt: skip
async def test_tasks_are_filtered_sorted_and_paged_as_rows_are(api: Api, params: dict[str, str], names: list[str]) -> None:
    assert [each["name"] for each in (await api.get("/v1/tasks", **params))["data"]] == names


async def test_an_execution_is_seen_from_its_beginning_to_its_end(api: Api) -> None:
    assert (await execute(api))["id"] == f"1t!{PURGE}"
    [begun] = await of(api, PURGE)
    assert (begun["type"], begun["name"], begun["taskId"], begun["endTime"]) == ("taskInstance", PURGE, f"1t!{PURGE}", None)
    assert begun["startTime"]
    assert (await api.get(f"/v1/taskinstances/{begun['id']}/task"))["id"] == f"1t!{PURGE}"
    await executions.end(api.commands, f"taskInstance-{begun['id'][3:]}", "here", "it went wrong " * 40)
    await api.settled()
    [ended] = (await api.get("/v1/taskinstances", taskId=f"1t!{PURGE}"))["data"]
    assert ended["endTime"] >= ended["startTime"] == begun["startTime"]
    assert (ended["serverId"], len(ended["exception"])) == ("here", 255)
    assert await of(api, PING) == []


async def test_who_asks_meanwhile_gets_the_execution_under_way_and_another_after_it(api: Api) -> None:
    for _ in range(2):
        await execute(api)
    await execute(api, PING)
    [first] = await of(api, PURGE)
    await executions.end(api.commands, f"taskInstance-{first['id'][3:]}", "here")
    await executions.end(api.commands, f"taskInstance-{first['id'][3:]}", "there")
    await execute(api)
    assert [(each["serverId"], bool(each["endTime"])) for each in await of(api, PURGE)] == [("here", True), (None, False)]


async def test_a_request_sent_twice_with_its_key_executes_once(api: Api) -> None:
    for _ in range(2):
        await execute(api, **{"Idempotency-Key": "one"})
        for each in await of(api, PURGE):
            await executions.end(api.commands, f"taskInstance-{each['id'][3:]}", "here")
    assert len(await of(api, PURGE)) == 1


async def test_who_joined_an_execution_with_a_key_begins_none_later(api: Api) -> None:
    await execute(api)
    for _ in range(2):
        await execute(api, **{"Idempotency-Key": "joined"})
        for each in await of(api, PURGE):
            await executions.end(api.commands, f"taskInstance-{each['id'][3:]}", "here")
    assert len(await of(api, PURGE)) == 1


async def test_an_execution_that_is_deleted_is_gone_and_makes_room(api: Api) -> None:
    await execute(api)
    [begun] = await of(api, PURGE)
    assert (await api.http.delete(f"/v1/taskinstances/{begun['id']}")).status_code == 200
    await api.settled()
    assert await of(api, PURGE) == []
    assert (await api.http.get(f"/v1/taskinstances/{begun['id']}")).status_code == 404
    assert (await api.http.delete(f"/v1/taskinstances/{begun['id']}")).status_code == 404
    await executions.end(api.commands, f"taskInstance-{begun['id'][3:]}", "here")
    await execute(api)
    assert len(await of(api, PURGE)) == 1


async def test_what_is_no_task_or_nobodys_to_execute(api: Api) -> None:
    for path in ("/v1/tasks/1t!nothing", "/v1/tasks/1t99", "/v1/tasks/5"):
        assert (await api.http.get(path)).status_code == 404
        assert (await api.http.post(f"{path}/?action=execute")).status_code == 404
    assert (await api.http.post(f"{TASK}/?action=dance")).json()["code"] == "InvalidAction"
    assert (await api.http.delete(TASK)).status_code == 405
    assert (await api.http.post("/v1/tasks", json={"name": "mine"})).status_code == 405
    _, user = await account_with_key(api, "user", "somebody")
    assert (await api.http.get(TASK, auth=user)).status_code == 404
    _, reader = await account_with_key(api, "readAdmin", "reader")
    seen = await api.http.get(TASK, auth=reader)
    assert (seen.status_code, seen.json()["actions"]) == (200, {})
    assert (await api.http.post(f"{TASK}/?action=execute", auth=reader)).status_code == 422
    assert await of(api, PURGE) == []


async def test_cattles_own_client_executes_a_task_and_sees_it(api: Api) -> None:
    def use(client: Any) -> None:
        [task] = [each for each in client.list_task() if each.name == PURGE]
        assert client.action(task, "execute").id == task.id

    await api.with_client(use)
    await api.settled()
    assert len(await of(api, PURGE)) == 1
