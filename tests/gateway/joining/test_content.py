"""Config items over HTTP: archives whose version tells what is in them, and what agents say that they have applied."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import httpx
import pytest

from commands.config.archive import Version, archive
from commands.config.sources import File, Item, Sources, Unreadable
from gateway.errors import status_and_code
from tests.support.http import Api

ITEM = "/v1/configcontent/configscripts"


async def an_agent(api: Api, *items: str) -> int:
    agent = await api.add("agent", uri="event://x", managedConfig=False)
    for name in items or ("configscripts",):
        await api.add("configItemStatus", name=name, agentId=agent, requestedVersion=1, appliedVersion=0)
    await api.settled()
    return agent


def configscripts(sources: Sources) -> Item:
    item = sources.item("configscripts")
    assert item is not None
    return item


def unpacked(answer: httpx.Response) -> dict[str, bytes]:
    assert answer.status_code == 200, answer.text
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:gz") as tar:
        return {each.name: file.read() for each in tar if (file := tar.extractfile(each)) is not None}


async def test_an_archive_holds_the_items_files_their_sums_and_the_version(api: Api) -> None:
    agent = await an_agent(api)
    answer = await api.http.get(ITEM, params={"agentId": f"1a{agent}"})
    files = unpacked(answer)
    version = f"1-{configscripts(Sources()).source}"
    root = f"configscripts-{version}"
    assert set(files) == {f"{root}/{name}" for name in ("config.sh", "version", "SHA1SUMS", "SHA1SUMSSUM")}
    assert files[f"{root}/version"].decode() == version
    for sums in ("SHA1SUMS", "SHA1SUMSSUM"):
        for line in files[f"{root}/{sums}"].decode().splitlines():
            summed, name = line.split("  ")
            assert hashlib.sha1(files[f"{root}/{name}"]).hexdigest() == summed
    again = await api.http.get(ITEM, params={"agentId": f"1a{agent}", "current": version})
    assert f"{root}/uptodate" in unpacked(again)


async def test_what_is_applied_is_kept_and_said_as_the_server_sees_it(api: Api) -> None:
    agent = await an_agent(api)
    params = {"agentId": f"1a{agent}"}
    version = (await api.http.get(ITEM, params=params)).headers["content-disposition"].split('"')[1].removesuffix(".tar.gz")
    version = version.removeprefix("configscripts-")
    for _ in range(2):
        put = await api.http.put(ITEM, params={**params, "version": version})
        assert (put.status_code, put.json()["version"], put.json()["agentId"]) == (200, version, f"1a{agent}")
    await api.settled()
    [row] = (await api.get("/v1/configitemstatuses", agentId=f"1a{agent}"))["data"]
    assert (row["appliedVersion"], row["sourceVersion"]) == (1, version.removeprefix("1-"))
    assert row["appliedUpdated"] is not None
    assert len(await api.store.read(f"configItemStatus-{row['id'].removeprefix('1cis')}")) == 2  # saying it again is no event


async def test_the_latest_is_whatever_is_requested(api: Api) -> None:
    agent = await an_agent(api)
    [row] = (await api.get("/v1/configitemstatuses", agentId=f"1a{agent}"))["data"]
    await api.http.put(row["links"]["self"].removeprefix(api.url), json={"requestedVersion": 3})
    put = await api.http.post(ITEM, data={"agentId": f"1a{agent}", "version": "latest"})
    assert put.json()["version"].startswith("3-")
    late = await api.http.put(ITEM, params={"agentId": f"1a{agent}", "version": "2-abc"})  # said before, and heard after
    assert late.status_code == 200
    assert (await api.get(f"/v1/configitemstatuses/{row['id']}"))["appliedVersion"] == 3


async def test_what_is_wrong_is_told_with_its_field(api: Api) -> None:
    agent = f"1a{await an_agent(api, 'configscripts', 'unknown')}"
    for method, path, params, status, field in (
        ("GET", ITEM, {}, 422, "agentId"),
        ("GET", ITEM, {"agentId": "1a999"}, 422, "agentId"),
        ("GET", "/v1/configcontent/pyagent", {"agentId": agent}, 404, None),
        ("GET", "/v1/configcontent/unknown", {"agentId": agent}, 404, None),
        ("GET", "/v1/configcontent/.hidden", {"agentId": agent}, 404, None),
        ("PUT", ITEM, {"agentId": agent}, 422, "version"),
        ("PUT", ITEM, {"agentId": agent, "version": "one"}, 422, "version"),
        ("PUT", ITEM, {"agentId": agent, "version": "7-abc"}, 422, "version"),
        ("DELETE", ITEM, {"agentId": agent}, 405, None),
    ):
        answer = await api.http.request(method, path, params=params)
        assert (answer.status_code, answer.json().get("fieldName")) == (status, field), (method, path, params, answer.text)
    assert (await api.http.put(ITEM, params={"agentId": agent}, json=[])).status_code == 400


def test_a_file_of_an_item_can_not_pass_for_the_word_that_an_agent_has_it_already() -> None:
    item = Item("mine", {"uptodate": File(b"", False), "file": File(b"x", False)})
    version = Version(1, item.source)
    for current, expected in ((None, False), (str(version), True)):
        with tarfile.open(fileobj=io.BytesIO(archive(item, version, current)), mode="r:gz") as tar:
            assert (f"mine-{version}/uptodate" in tar.getnames()) is expected


def test_an_item_that_can_not_be_read_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "two\nlines").write_text("")
    with pytest.raises(Unreadable, match=r"config item mine has a file 'two\\nlines', which no agent could write") as failed:
        Sources(tmp_path).item("mine")
    assert status_and_code(failed.value) == (503, "Service Unavailable")


def test_an_operators_own_item_is_served_in_the_place_of_corrals(tmp_path: Path) -> None:
    (tmp_path / "configscripts" / "deep").mkdir(parents=True)
    (tmp_path / "configscripts" / "deep" / "file").write_text("mine")
    mine, ours = configscripts(Sources(tmp_path)), configscripts(Sources())
    assert set(mine.files) == {"deep/file"}
    assert mine.source != ours.source
    (tmp_path / "configscripts" / "deep" / "file").write_text("mine, changed")
    assert configscripts(Sources(tmp_path)).source != mine.source
    assert Sources(tmp_path).item("../configscripts") is None
