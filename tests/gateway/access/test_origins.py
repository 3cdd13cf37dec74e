"""Pages of others: what a browser that shows one can't be made to do here, and that nobody else notices."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import websockets
from websockets.typing import Origin

from eventstore.postgres import PostgresStore
from gateway.access.origins import NAMES
from tests.gateway.access.test_access import account_with_key
from tests.gateway.html.test_csrf import BROWSER
from tests.support.http import Api, serving


async def asked_as(api: Api, host: str, path: str = "/v1/networks") -> httpx.Response:
    return await api.http.get(path, headers={"Host": host})


OURS = (
    "127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:8080", "localhost.", "corral.localhost:1", "[::1]:8080",
    "10.1.2.3:8080", "[fe80::1]", "",
)  # fmt: skip

NOT_OURS = (
    "evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "notlocalhost",
    "2130706433", "[::1", "evil.example:port", "127.0.0.1:port",
)  # fmt: skip

PATHS = ("/v1/networks", "/v1/events", "/corral/info", "/ping", "/healthcheck", "/static/corral/corral.js", "/v1/scripts/bootstrap")


async def test_addresses_and_localhost_are_answered(api: Api) -> None:
    for host in OURS:
        assert (await asked_as(api, host)).status_code == 200, host


async def test_another_name_is_refused_and_told_what_to_do(api: Api) -> None:
    for host in NOT_OURS:
        for path in PATHS:
            refused = await asked_as(api, host, path)
            assert (refused.status_code, refused.json()["code"]) == (403, "Forbidden"), (host, path)
            assert f"1as!{NAMES}" in refused.json()["message"]
            assert refused.headers["X-API-Schemas"]


async def test_a_name_that_is_set_counts_at_once(api: Api) -> None:
    assert (await asked_as(api, "corral.lan:8080")).status_code == 403
    changed = await api.http.put(f"/v1/settings/1as!{NAMES}", json={"value": "other.example, Corral.LAN"})
    assert changed.status_code == 200, changed.text
    answer = await asked_as(api, "corral.lan:8080")
    assert answer.json()["links"]["self"] == "http://corral.lan:8080/v1/networks"
    wrong = await api.http.put(f"/v1/settings/1as!{NAMES}", json={"value": "http://corral.lan"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "InvalidFormat")


async def test_names_that_other_settings_and_the_server_itself_say_are_its_own(store: PostgresStore, database: str) -> None:
    settings = {"agent.instance.register.url": "https://Join.example:8443/v1", "cattle.config.url": "http://config.example/v1"}
    async with serving(store, database, settings=settings, names=frozenset({"machine"})) as api:
        for host, status in (("join.example:8443", 200), ("config.example", 200), ("machine:80", 200), ("another", 403)):
            assert (await asked_as(api, host)).status_code == status, host


async def test_where_keys_are_asked_for_names_do_not_matter(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={"api.security.enabled": True}) as api:
        assert (await asked_as(api, "corral.example")).status_code == 401, "a page has no key"


FOREIGN = ("https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", "file://", "", "http://[", "http://127.0.0.1.evil.example")

WRITES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/networks", {"name": "theirs"}),
    ("PUT", f"/v1/settings/1as!{NAMES}", {"value": "evil.example"}),
    ("DELETE", "/v1/networks/1n1", None),
    ("POST", "/v1/publish", {"name": "reply.x"}),
    ("POST", "/v1/subscribe", {"eventNames": ["ping"]}),
)


async def test_a_page_of_others_writes_nothing(api: Api) -> None:
    """Whatever the browser calls itself."""
    for origin in FOREIGN:
        for method, path, body in WRITES:
            refused = await api.http.request(method, path, json=body, headers={"Origin": origin})
            assert (refused.status_code, refused.json()["code"]) == (403, "Forbidden"), (origin, method, path)
        assert (await api.http.get("/v1/networks", headers={"Origin": origin})).status_code == 200, "what a browser keeps from the page"
    await api.settled()
    assert (await api.get("/v1/networks"))["data"] == []


async def test_a_page_of_others_writes_nothing_by_a_read_that_amounts_to_it(api: Api) -> None:
    for path in ("/v1/networks?_method=POST&name=theirs", "/v1/networks?_method=GET&_method=post", "/v1/configcontent/x?_method=put"):
        assert (await api.http.get(path, headers={"Origin": "https://evil.example"})).status_code == 403, path
    assert (await api.http.get("/v1/networks?_method=GET", headers={"Origin": "https://evil.example"})).status_code == 200


async def test_its_own_page_writes_behind_a_proxy_too(api: Api) -> None:
    port = api.url.rpartition(":")[2]

    async def written(**headers: str) -> int:
        return (await api.http.post("/v1/networks", json={"name": "ours"}, headers=headers)).status_code

    assert await written(Origin=api.url) == 201
    assert await written(Origin=f"http://LOCALHOST:{port}", Host=f"localhost:{port}") == 201
    assert await written(Origin="https://10.9.8.7", Host="10.9.8.7") == 201, "a proxy speaks HTTPS for it"
    assert await written(Origin="https://10.9.8.7", Host="10.9.8.7:443") == 201
    assert await written(Origin="http://10.9.8.7", Host="10.9.8.7:8080") == 403
    assert await written(Origin="https://corral.example") == 403, "a proxy under another name"
    await api.http.put(f"/v1/settings/1as!{NAMES}", json={"value": "corral.example"})
    assert await written(Origin="https://corral.example") == 201


async def test_a_browser_of_its_own_page_still_repeats_the_cookie(api: Api) -> None:
    refused = await api.http.post("/v1/networks", json={"name": "x"}, headers={**BROWSER, "Origin": api.url})
    assert refused.json()["code"] == "InvalidCSRFToken"


@pytest.mark.parametrize("security", [False, True])
async def test_a_websocket_is_for_its_own_pages_and_for_programs(
    store: PostgresStore, database: str, nats_url: str, security: bool
) -> None:
    """A browser asks nobody before it opens one, and sends the key that it remembers."""
    async with serving(store, database, nats=nats_url, settings={"api.security.enabled": security}) as api:
        _, (access, secret) = await account_with_key(api, "admin", "a")
        url = api.url.replace("http://", f"ws://{access}:{secret}@") + "/v1/subscribe?eventNames=ping"
        for origin in (None, Origin(api.url)):
            async with websockets.connect(url, origin=origin) as socket:
                assert '"name":"ping"' in str(await socket.recv())
        for foreign in ("https://evil.example", "null", "http://127.0.0.1:1"):
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(url, origin=Origin(foreign))
            assert refused.value.response.status_code == 403
            assert b'"Forbidden"' in (refused.value.response.body or b"")
