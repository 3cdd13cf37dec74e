"""External handlers over HTTP, as their users register them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.http import Api


@pytest.mark.parametrize("names", ["instance.start", ["instance.start", "pre.instance.stop"], "instance.start,pre.instance.stop"])
async def test_a_handler_is_registered_once_and_its_process_names_are_not_shown_again(api: Api, names: Any) -> None:
    made = await api.post("/v1/externalhandlers", uuid="demohandler1", name="demo", processNames=names)
    assert (made["state"], made["name"], made["priorityName"]) == ("registering", "demo", "specific")
    assert "processNames" not in made
    assert made["data"]["fields"]["processNames"] == (names if isinstance(names, list) else [names])
    again = await api.http.post("/v1/externalhandlers", json={"uuid": "demohandler1", "name": "demo", "processNames": names})
    assert again.status_code == 409


async def test_what_a_handler_may_be_told(api: Api) -> None:
    made = await api.post(
        "/v1/externalhandler", name="demo", processNames="instance.start", priority=7, priorityName="pre", retries=1, timeoutMillis=1000,
    )
    assert [made[key] for key in ("priority", "priorityName", "retries", "timeoutMillis")] == [7, "pre", 1, 1000]
    changed = await api.http.put(f"/v1/externalhandlers/{made['id']}", json={"priority": 8, "timeoutMillis": 2000})
    assert [changed.json()[key] for key in ("priority", "timeoutMillis")] == [8, 2000]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "MissingRequired"), ({"processNames": []}, "MissingRequired"),
        ({"processNames": "instance.start", "retries": 0}, "MinLimitExceeded"),
        ({"processNames": "instance.start", "timeoutMillis": 999}, "MinLimitExceeded"),
        ({"processNames": "instance.start", "priorityName": "x"}, "InvalidOption"),
    ],
)
async def test_what_a_handler_may_not_be_told(api: Api, fields: dict[str, Any], code: str) -> None:
    response = await api.http.post("/v1/externalhandlers", json={"name": "demo", **fields})
    assert (response.status_code, response.json()["code"]) == (422, code)


@pytest.mark.parametrize(
    ("fields", "field", "told"),
    [
        ({"name": None, "processNames": "instance.start"}, "name", "instance.start;handler=demo"),
        ({"name": " ", "processNames": "instance.start"}, "name", "instance.start;handler=demo"),
        ({"processNames": ["instance.start", "pre.instance.strat"]}, "processNames", "instance.start"),
        ({"processNames": "instance.start,instnce.start"}, "processNames", "instance.start"),
        ({"processNames": "nonsense"}, "processNames", "instance.start"),
    ],
)
async def test_a_handler_that_would_never_be_heard_is_refused(api: Api, fields: dict[str, Any], field: str, told: str) -> None:
    response = await api.http.post("/v1/externalhandlers", json={"name": "demo", **fields})
    document = response.json()
    assert (response.status_code, document["fieldName"]) == (422, field)
    assert told in document["message"]


async def test_a_handler_keeps_a_name_and_a_handlers_process_is_one_that_there_is(api: Api) -> None:
    made = await api.post("/v1/externalhandlers", name="demo", processNames=["pre.instance.start", "Post.Instance.Stop"])
    response = await api.http.put(f"/v1/externalhandlers/{made['id']}", json={"name": ""})
    assert (response.status_code, response.json()["fieldName"]) == (422, "name")
    process = await api.post("/v1/externalhandlerprocesses", name="pre.instance.start")
    response = await api.http.put(f"/v1/externalhandlerprocesses/{process['id']}", json={"name": "instance.nap"})
    assert (response.status_code, response.json()["fieldName"]) == (422, "name")
    response = await api.http.put(f"/v1/externalhandlerprocesses/{process['id']}", json={"description": "the first"})
    assert response.status_code == 200
    response = await api.http.post("/v1/externalhandlerprocesses", json={"name": "instance.nap"})
    assert (response.status_code, response.json()["fieldName"]) == (422, "name")
