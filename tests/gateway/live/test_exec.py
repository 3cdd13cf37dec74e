"""The WebSocket of exec: a conversation with a command, what is refused before it begins, and how it ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from eventstore.postgres import PostgresStore
from tests.gateway.access.test_access import account_with_key
from tests.gateway.live.conftest import SECONDS, Cloud
from tests.support.http import serving


def url(cloud: Cloud, *command: str, **more: str) -> str:
    query = urlencode({"command": command, **more}, doseq=True)
    return f"{cloud.api.url.replace('http', 'ws', 1)}/v1/containers/{cloud.id}/exec?{query}"


async def said(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        return dict(json.loads(await socket.recv()))


async def test_input_goes_in_output_and_status_come_out(cloud: Cloud) -> None:
    async with connect(url(cloud, "cat")) as socket:
        assert await said(socket) == {"started": True}
        await socket.send('{"stdin": "hello"}')
        assert (await said(socket))["text"] == "{'STDIN': 'HELLO'}"
        await socket.send(b"\xff")
        assert (await said(socket))["text"] == "{'BASE64': '/W=='}"
        await socket.send('{"resize": [80, 24]}')
        assert (await said(socket))["text"] == "{'RESIZE': [80, 24]}"
        await socket.send('{"eof": true}')
        assert await said(socket) == {"exit": 0}
        with pytest.raises(ConnectionClosed):
            await said(socket)
        assert socket.close_code == 1000


async def test_what_nobody_asked_for_in_a_frame_goes_nowhere(cloud: Cloud) -> None:
    """It would be larger than NATS takes, and sent again for as long as the client stays."""
    async with connect(url(cloud, "cat")) as socket:
        await said(socket)
        await socket.send(json.dumps({"resize": [80, 24], "more": "x" * 2_000_000}))
        assert (await said(socket))["text"] == "{'RESIZE': [80, 24]}"
        await socket.send(json.dumps({"eof": True, "more": "x" * 2_000_000}))
        assert await said(socket) == {"exit": 0}


async def test_a_command_s_own_status_is_told(cloud: Cloud) -> None:
    async with connect(url(cloud, "exit", "7")) as socket:
        assert [await said(socket), await said(socket)] == [{"started": True}, {"exit": 7}]


async def test_a_client_that_goes_takes_its_query_with_it(cloud: Cloud) -> None:
    async with connect(url(cloud, "cat")) as socket:
        await said(socket)
        assert cloud.driver.under_way == 1
    await cloud.until(lambda: cloud.driver.under_way == 0)


async def test_an_agent_that_stops_ends_it_with_an_error(cloud: Cloud) -> None:
    async with connect(url(cloud, "cat")) as socket:
        await said(socket)
        await cloud.agent.stop(grace=0)
        last = await said(socket)
        assert (last["type"], last["status"]) == ("error", 503)
        assert "stops: ask again" in last["message"]


async def test_a_frame_that_is_none_ends_it_and_says_which_there_are(cloud: Cloud) -> None:
    for bad in ("no json", '{"eof": false}', '{"stdin": 5}', "[]"):
        async with connect(url(cloud, "cat")) as socket:
            await said(socket)
            await socket.send(bad)
            assert '{"stdin": "text"}' in (await said(socket))["message"]


@pytest.mark.parametrize(("command", "more", "status", "says"), [
    (("refuse",), {}, 409, "it does not run"),
    ((), {}, 422, "a command is needed"),
    (("ls",), {"colour": "red"}, 422, "no option 'colour'"),
    (("ls",), {"size": "big"}, 422, "80x24"),
])  # fmt: skip
async def test_what_is_refused_has_its_status_before_anything_is_opened(
    cloud: Cloud, command: tuple[str, ...], more: dict[str, str], status: int, says: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url(cloud, *command, **more))
    assert refused.value.response.status_code == status
    assert says in json.loads(refused.value.response.body or b"")["message"]


async def test_other_verbs_other_things_and_other_pages_are_refused(cloud: Cloud) -> None:
    there = url(cloud, "ls")
    for wrong, status in ((there.replace("/exec", "/logs"), 400), (there.replace(cloud.id, "1i999"), 404)):
        with pytest.raises(InvalidStatus) as refused:
            await connect(wrong)
        assert refused.value.response.status_code == status
    with pytest.raises(InvalidStatus) as foreign:
        await connect(there, origin=Origin("http://evil.example"))
    assert foreign.value.response.status_code == 403


async def test_who_may_only_look_at_an_instance_runs_no_command_in_it(store: PostgresStore, database: str, nats_url: str) -> None:
    async with serving(store, database, nats=nats_url) as api:
        reader, key = await account_with_key(api, "readAdmin", "looker")
        own, another = [await api.add("container", accountId=owner, imageUuid="sim:talk") for owner in (reader, api.admin)]
        await api.settled()
        for id, status in ((own, 403), (another, 404)):
            there = f"{api.url.replace('http', 'ws', 1)}/v1/containers/1i{id}/exec?command=ls"
            with pytest.raises(InvalidStatus) as refused:
                await connect(there, additional_headers={"Authorization": f"Bearer {':'.join(key)}"})
            assert refused.value.response.status_code == status
        answers = [await api.http.get(f"/v1/containers/1i{id}/logs", auth=key) for id in (own, another)]
        assert [answer.status_code for answer in answers] == [409, 404], "its own, which runs nowhere yet; another account's is not there"
