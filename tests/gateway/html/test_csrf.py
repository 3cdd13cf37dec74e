"""A browser's writes repeat a cookie that only our own pages can read; other clients know nothing of it."""

from __future__ import annotations

import re

from tests.gateway.html.test_pages import FIREFOX
from tests.support.http import Api

BROWSER = {"User-Agent": FIREFOX["User-Agent"], "Accept": "application/json"}
NETWORK = {"name": "mine"}


async def token(api: Api) -> str:
    """As a page sets it; the client keeps it."""
    response = await api.http.get("/v1/networks", headers=FIREFOX)
    cookie = response.headers["set-cookie"]
    found = re.match(r"CSRF=([0-9a-f]{32});", cookie)
    assert found
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "HttpOnly" not in cookie
    return found[1]


async def names(api: Api) -> list[str]:
    await api.settled()
    return [each["name"] for each in (await api.get("/v1/networks"))["data"]]


async def test_a_browser_writes_with_the_cookie_and_the_header(api: Api) -> None:
    headers = {**BROWSER, "X-API-CSRF": await token(api)}
    made = await api.http.post("/v1/networks", json=NETWORK, headers=headers)
    assert made.status_code == 201, made.text
    await api.settled()
    changed = await api.http.put(f"/v1/networks/{made.json()['id']}", json={"name": "yours"}, headers=headers)
    assert changed.status_code == 200, changed.text
    assert await names(api) == ["yours"]


async def test_without_either_or_with_another_nothing_is_written(api: Api) -> None:
    right = await token(api)
    kept = dict(api.http.cookies)
    for cookies, header in ((kept, None), (kept, ""), (kept, "0" * 32), ({}, right), ({}, ""), ({"CSRF": ""}, ""), (kept, right[:-1])):
        api.http.cookies.clear()
        api.http.cookies.update(cookies)
        headers = BROWSER | ({} if header is None else {"X-API-CSRF": header})
        refused = await api.http.post("/v1/networks", json=NETWORK, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "InvalidCSRFToken")
    assert await names(api) == []


async def test_no_way_of_saying_it_goes_around(api: Api) -> None:
    """A form of somebody else's page, a picture whose address says another verb: with the cookie, which browsers send by themselves."""
    made = (await api.post("/v1/networks", name="mine"))["id"]
    await token(api)
    ways = [
        await api.http.post("/v1/networks", data={"name": "a form's"}, headers=FIREFOX),
        await api.http.get(f"/v1/networks/{made}?_method=DELETE", headers=FIREFOX),
        await api.http.get("/v1/networks?_method=post&name=picture", headers=BROWSER),
        await api.http.post(f"/v1/networks/{made}", data={"_method": "PUT", "name": "changed"}, headers=FIREFOX),
        await api.http.delete(f"/v1/networks/{made}", headers=BROWSER),
        await api.http.delete(f"/v1/networks/{made}?_method=GET", headers=BROWSER),
        await api.http.post("/v1/publish", json={"name": "console.write"}, headers=BROWSER),
        await api.http.post("/v1/subscribe", data={"eventNames": "ping"}, headers=BROWSER),
        await api.http.post(f"/v1/networks/{made}?action=deactivate", headers=BROWSER),
        await api.http.post(f"/v1/networks/{made}/cancel", headers=BROWSER),
    ]
    assert [each.status_code for each in ways] == [403] * len(ways)
    assert await names(api) == ["mine"]


async def test_what_an_agent_says_of_its_files_is_no_browsers_to_say(api: Api) -> None:
    path = "/v1/configcontent/configscripts?version=latest&agentId=1a1"
    for response in (await api.http.put(path, headers=BROWSER), await api.http.get(f"{path}&_method=PUT", headers=BROWSER)):
        assert (response.status_code, response.json()["code"]) == (403, "InvalidCSRFToken")


async def test_other_clients_need_no_token(api: Api) -> None:
    assert (await api.http.post("/v1/networks", json=NETWORK, headers={"User-Agent": "curl/8"})).status_code == 201


async def test_a_token_stays_while_it_is_one_and_a_wrong_one_is_replaced(api: Api) -> None:
    await token(api)
    assert "set-cookie" not in (await api.http.get("/v1", headers=FIREFOX)).headers
    api.http.cookies.clear()
    api.http.cookies.set("CSRF", "<script>")
    assert "set-cookie" in (await api.http.get("/v1", headers=FIREFOX)).headers
