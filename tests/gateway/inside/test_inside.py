"""What shows the inside: definitions with their pictures, extension points, processes as Cattle's process instances. For admins alone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.errors import Refused
from gateway.inside.pictures import Pictures
from tests.gateway.access.test_access import account_with_key
from tests.support.http import Api

START = "/v1/processdefinitions/1pd!instance.start"


async def test_every_process_is_defined_and_every_link_of_a_definition_leads_somewhere(api: Api) -> None:
    listed = await api.get("/v1/processDefinitions")
    assert [each["name"] for each in listed["data"]] == sorted(CATALOGUE.processes)
    [start] = [each for each in listed["data"] if each["name"] == "instance.start"]
    assert (start["id"], start["resourceType"], start["extensionBased"]) == ("1pd!instance.start", "instance", True)
    assert {"fromState": "stopped", "toState": "starting", "field": "state", "type": "TRANSITIONING"} in start["stateTransitions"]
    assert {"fromState": "starting", "toState": "running", "field": "state", "type": "DONE"} in start["stateTransitions"]
    assert await api.get(start["links"]["self"]) == start
    assert start["links"]["processDot"].endswith("/v1/processdefinitions/1pd!instance.start/processdot")
    for link in ("processDot", "resourceDot"):
        drawn = await api.http.get(start["links"][link])
        assert drawn.headers["content-type"] == "text/plain; charset=utf-8"
        assert drawn.text.startswith("digraph ")
        assert "instance.start" in drawn.text
    names = (await api.http.get(start["links"]["processes"])).text.splitlines()
    assert "instance.start" in names
    assert all(name in CATALOGUE.processes for name in names)


async def test_a_resource_definition_leads_to_its_processes_in_any_letter_case(api: Api) -> None:
    listed = await api.get("/v1/resourcedefinitions")
    assert {each["name"] for each in listed["data"]} == {each.type for each in CATALOGUE.processes.values()}
    found = await api.get("/v1/resourcedefinitions/1rd!INSTANCEHOSTMAP")
    assert found["name"] == "instanceHostMap"
    processes = await api.get(found["links"]["processes"])
    assert {each["resourceType"] for each in processes["data"]} == {"instanceHostMap"}
    for wrong in ("1rd!nothing", "instance", "1rd!instance/nothing"):
        assert (await api.http.get(f"/v1/resourcedefinitions/{wrong}")).status_code == 404
    assert (await api.get("/v1/resourcedefinitions/instance", _plainId="true"))["id"] == "instance"


async def test_an_extension_point_tells_the_steps_of_its_phase_in_their_order(api: Api) -> None:
    point = await api.get("/v1/extensionpoints/1ep!process.instance.start.handlers")
    assert point["listSetting"] == "process.instance.start.handlers.list"
    [logic] = point["implementations"]
    assert (logic["name"], logic["properties"]["priority"]) == ("InstanceStart", "2000")
    assert (await api.get(START))["processHandlers"] == point
    listed = await api.get("/v1/extensionpoints")
    assert len(listed["data"]) == 3 * len(CATALOGUE.processes)


async def test_documentation_of_a_type_is_for_everybody_who_sees_it(api: Api) -> None:
    told = await api.get("/v1/typedocumentations/container")
    assert "A kind of instance" in told["description"]
    assert told["resourceFields"]["hostname"]["description"].startswith("string")


async def test_a_process_is_found_by_what_it_is_about_and_tells_how_it_went(api: Api) -> None:
    made = await api.post("/v1/hosts", name="one")
    await api.settled()
    listed = await api.get("/v1/processinstances", resourceType=made["type"], resourceId=made["id"].removeprefix("1h"))
    instance = listed["data"][0]
    assert instance["processName"] == f"{made['type']}.create"
    assert instance["id"].startswith("1pi")
    assert await api.get(instance["links"]["self"]) == instance
    for name in ("result", "exitReason", "phase", "startTime", "endTime"):
        filters = {name: instance[name]} if instance[name] is not None else {f"{name}_null": "true"}
        found = await api.get("/v1/processinstances", processName=instance["processName"], **filters)
        assert instance["id"] in {each["id"] for each in found["data"]}, name
    assert (await api.get("/v1/processinstances", resourceId="x1"))["data"] == []
    [execution] = (await api.get(instance["links"]["processExecutions"]))["data"]
    assert execution["processInstanceId"] == instance["id"]
    assert execution["uuid"] == instance["data"]["pid"]
    [went] = execution["log"]["executions"]
    assert went["processName"] == instance["processName"]
    assert went["transitions"][0]["oldState"] == "requested"
    assert await api.get(execution["links"]["processInstance"]) == instance
    assert (await api.get("/v1/processexecutions", processInstanceId=instance["id"]))["data"] == [execution]
    assert (await api.http.get("/v1/processinstances/1pi99999999")).status_code == 404


async def test_users_see_nothing_of_the_inside(api: Api) -> None:
    _, key = await account_with_key(api, "user", "u")
    for path in ("processdefinitions", "resourcedefinitions", "extensionpoints", "processinstances", "processexecutions"):
        assert (await api.http.get(f"/v1/{path}", auth=key)).status_code == 404, path
        assert (await api.http.get(f"/v1/{path}")).status_code == 200, path
    told = await api.get("/v1/typedocumentations/container")
    assert "resourceFields" not in (await api.http.get("/v1/typedocumentations/container", auth=key)).json()
    assert "resourceFields" in told


async def test_a_picture_is_drawn_where_graphviz_is_and_else_it_is_said_to_be_missing(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn = await api.http.get(f"{START}/processdot", params={"_format": "svg"})
    if shutil.which("dot"):
        assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/svg+xml")
        assert "<svg" in drawn.text
    else:
        assert drawn.status_code == 501
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = await api.http.get(f"{START}/resourcedot", headers={"Accept": "image/svg+xml"})
    assert (missing.status_code, missing.json()["code"]) == (501, "Not Implemented")
    assert "install it" in missing.json()["message"]


async def test_a_graphviz_that_hangs_or_fails_is_given_up_and_the_loop_goes_on(tmp_path: Path) -> None:
    for name, script in (("hangs", "exec sleep 60"), ("fails", "exit 3")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    ticks = asyncio.create_task(asyncio.sleep(0.05))
    with pytest.raises(Refused, match="took over"):
        await Pictures(str(tmp_path / "hangs"), seconds=0.3).svg("digraph {}")
    assert ticks.done()
    with pytest.raises(Refused, match="status 3"):
        await Pictures(str(tmp_path / "fails")).svg("digraph {}")
