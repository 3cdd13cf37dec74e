"""HTML mode: who gets a page, what it shows, and that what others wrote stays text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from commands.catalogue.builtin import CATALOGUE
from eventstore.postgres import PostgresStore
from tests.support.http import Api, serving

FIREFOX = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
}
NASTY = """</script><script>alert(1)</script><img src=x onerror=alert(1)>"' onmouseover=alert(1) x="'`<!--]]>&lt;b&gt;{{7*7}}"""


class Read(HTMLParser):
    """A page as a browser reads it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self.text = ""
        self._block: str | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        self._block = dict(attributes).get("id") if name == "script" else None

    def handle_endtag(self, name: str) -> None:
        self._block = None

    def handle_data(self, data: str) -> None:
        if self._block:
            self.blocks[self._block] = self.blocks.get(self._block, "") + data
        else:
            self.text += data

    @property
    def links(self) -> list[str]:
        return [value for _, attributes in self.elements for name, value in attributes.items() if name in ("href", "src") and value]

    @property
    def buttons(self) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == "button" and attributes.get("type") == "button"]


async def page(api: Api, path: str, status: int = 200) -> Read:
    response = await api.http.get(path, headers=FIREFOX)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Read(response.text)


CHOICES: list[tuple[dict[str, str], str, bool]] = [
    (FIREFOX, "", True),
    ({"User-Agent": FIREFOX["User-Agent"], "Accept": "*/*"}, "", True),
    ({"User-Agent": FIREFOX["User-Agent"], "Accept": "application/json"}, "", False),
    ({"User-Agent": FIREFOX["User-Agent"], "Accept": "application/json, text/plain, */*"}, "", False),
    ({"User-Agent": "curl/8.0", "Accept": "*/*"}, "", False),
    ({"User-Agent": "curl/8.0", "Accept": "text/html"}, "", True),
    ({"User-Agent": "python-requests/2.32", "Accept": "application/json"}, "", False),
    ({"User-Agent": "curl/8.0", "Accept": "*/*"}, "?_format=html", True),
    (FIREFOX, "?_format=json", False),
]


@pytest.mark.parametrize(("headers", "query", "is_page"), CHOICES)
async def test_a_page_is_for_browsers_and_for_who_asks_for_one(api: Api, headers: dict[str, str], query: str, is_page: bool) -> None:
    for path, status in (("/v1/accounts", 200), ("/v1/nothing", 404)):
        api.http.cookies.clear()
        response = await api.http.get(path + query, headers=headers)
        assert response.status_code == status
        assert response.headers["content-type"] == ("text/html; charset=utf-8" if is_page else "application/json; charset=utf-8")
        assert ("set-cookie" in response.headers) == is_page
        assert response.headers["x-api-schemas"] == f"{api.url}/v1/schemas"


async def test_a_page_carries_the_very_document_that_others_get(api: Api) -> None:
    await api.add("host", name="alpha")
    await api.settled()
    for path in ("/v1", "/v1/hosts", "/v1/hosts/1h1", "/v1/hosts/1h1/instances", "/v1/schemas/host", "/v1/schemas"):
        assert json.loads((await page(api, path)).blocks["document"]) == await api.get(path)


async def test_every_page_can_be_clicked_through_from_the_first(api: Api) -> None:
    """Each collection that the first page names, and each thing on it, with its links."""
    await api.add("host", name="alpha")
    await api.add("image", name="an image")
    await api.settled()
    seen: set[str] = set()
    onward = ["/v1"]
    while onward:
        path = onward.pop()
        if path in seen or len(seen) >= 250:
            continue
        seen.add(path)
        response = await api.http.get(path, headers=FIREFOX)
        assert response.status_code == 200, (path, response.text)
        if path.startswith("/v1") and "schemas/" not in path and "?" not in path:
            links = [link for link in Read(response.text).links if link.startswith("/")]
            onward += [link for link in links if not link.startswith("/v1/scripts/")]  # no page; needs a token that an engine made active
    assert {"/v1/hosts", "/v1/hosts/1h1", "/v1/hosts/1h1/instances", "/v1/images", "/static/corral/corral.js"} <= seen


async def test_a_kind_stands_in_a_list_only_where_it_tells_things_apart(api: Api) -> None:
    for kind in ("docker", "libvirt"):
        await api.add("host", name="rack-1", kind=kind)
        await api.settled()
        heads = (await page(api, "/v1/hosts")).text.partition("Filter")[2]
        assert ("Kind" in heads) == (kind == "libvirt"), heads


async def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(api: Api) -> None:
    response = await api.http.get("/v1/accounts", headers=FIREFOX)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    read = Read(response.text)
    assert all(link.startswith(("/v1", "/static/corral/", "?")) for link in read.links), read.links
    scripts = [attributes for name, attributes in read.elements if name == "script"]
    assert all("src" in each or each["type"] == "application/json" for each in scripts)
    assert not [name for name, attributes in read.elements if name == "style" or "style" in attributes]
    for link in read.links:
        if link.startswith("/static/"):
            file = await api.http.get(link)
            assert file.status_code == 200, link
            assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", file.text)
    assert (await api.http.get("/static/corral/..%2fdoor.py")).status_code == 404
    refused = await api.http.post("/static/corral/corral.js")
    assert (refused.status_code, refused.json()["code"]) == (405, "Method not allowed")


def assert_harmless(read: Read) -> None:
    """No element, attribute or address that somebody's text made."""
    assert not {name for name, _ in read.elements} & {"img", "b", "iframe", "style"}
    assert len([name for name, _ in read.elements if name == "script"]) == 3
    assert not [key for _, attributes in read.elements for key in attributes if key.startswith("on")]
    assert all(link.startswith(("/", "?")) and not link.startswith("//") for link in read.links)


async def test_nasty_names_stay_text_in_every_place(api: Api) -> None:
    host: dict[str, Any] = {"name": NASTY, "description": NASTY, "data": {"fields": {NASTY: NASTY}, NASTY: [{NASTY: NASTY}]}}
    await api.add("host", **host)
    await api.add("image", name="javascript:alert(1)", uuid=NASTY)
    await api.settled()
    for path in ("/v1/hosts", "/v1/hosts/1h1", "/v1/hosts?include=account", "/v1/accounts/1a1/hosts", "/v1/images"):
        assert_harmless(await page(api, path))
    assert NASTY in (await page(api, "/v1/hosts")).text
    assert NASTY in (await page(api, "/v1/hosts/1h1")).text


async def test_nasty_addresses_stay_text(api: Api) -> None:
    await api.add("host", name="alpha")
    await api.settled()
    query = {"name": NASTY, "name_prefix": NASTY, "sort": NASTY, NASTY: NASTY, "limit": "1", "marker": NASTY}
    for path in ("/v1/hosts", "/v1/hosts/1h1"):
        assert_harmless(Read((await api.http.get(path, params=query, headers=FIREFOX)).text))
    refused = await api.http.get(httpx.URL(api.url).copy_with(path=f"/v1/{NASTY.replace('/', '')}"), headers=FIREFOX)
    assert refused.status_code == 404
    assert_harmless(Read(refused.text))
    assert "<img" in Read(refused.text).text
    elsewhere = await api.http.get("/v1/hosts", headers={**FIREFOX, "Host": 'evil"><img src=x>'})
    if elsewhere.status_code == 200:  # else the server itself refuses such a name
        assert_harmless(Read(elsewhere.text))


async def test_what_can_be_done_is_offered_as_the_document_has_it(api: Api) -> None:
    await api.add("host", name="alpha")
    await api.settled()
    document = await api.get("/v1/hosts/1h1")
    buttons = (await page(api, "/v1/hosts/1h1")).buttons
    assert [each["data-act"] for each in buttons if "data-act" in each] == [
        url.removeprefix(api.url) for url in document["actions"].values()
    ]
    methods = CATALOGUE.type("host").admin.resource
    assert any("data-edit" in each for each in buttons) == ("PUT" in methods)
    assert any("data-delete" in each for each in buttons) == ("DELETE" in methods)


async def test_children_are_made_in_their_own_collections(api: Api) -> None:
    made = {each["data-type"]: each["data-create"] for each in (await page(api, "/v1/instances")).buttons}
    assert made == {"container": "/v1/containers", "virtualMachine": "/v1/virtualmachines"}
    assert [each["data-create"] for each in (await page(api, "/v1/networks")).buttons if each["data-type"] == "network"] == ["/v1/networks"]


async def test_lists_are_sorted_filtered_and_turned_by_links_and_forms_alone(api: Api) -> None:
    for name in ("beta", "alpha", "alto"):
        await api.add("host", name=name)
    await api.settled()
    first = await page(api, "/v1/hosts?limit=2")
    onward = next(link for name, a in first.elements if a.get("rel") == "next" and (link := a["href"]))
    assert [each["name"] for each in json.loads((await page(api, onward)).blocks["document"])["data"]] == ["alto"]
    sort = next(link for link in first.links if "sort=name" in link)
    assert json.loads((await page(api, sort)).blocks["document"])["data"][0]["name"] == "alpha"
    filtered = await page(api, "/v1/hosts?name_prefix=al&limit=5")
    assert len(json.loads(filtered.blocks["document"])["data"]) == 2
    assert "name prefix al ×" in filtered.text
    away = next(a["href"] for _, a in filtered.elements if a.get("title") == "Take this filter away")
    assert away == "?limit=5"


async def test_an_error_is_a_page_that_says_what_and_where(api: Api) -> None:
    read = await page(api, "/v1/hosts/1h99", 404)
    assert "404" in read.text
    assert json.loads(read.blocks["document"])["message"] in read.text


async def test_secrets_are_folded_away_and_in_no_list(api: Api) -> None:
    await api.add("credential", kind="apiKey", publicValue="known", secretValue="whisper", accountId=1, name="a key")
    await api.settled()
    path = json.loads((await page(api, "/v1/credentials?name=a key")).blocks["document"])["data"][0]["links"]["self"].removeprefix(api.url)
    assert "whisper" not in (await page(api, "/v1/credentials")).text
    one = await api.http.get(path, headers=FIREFOX)
    assert "<details><summary>a secret</summary><code>whisper</code></details>" in one.text


async def test_the_settings_have_pages_shown_by_another_script(store: PostgresStore, database: str) -> None:
    settings = {"api.ui.js.url": "https://ui.example:8443/ui.js", "api.ui.css.url": "/static/corral/corral.css"}
    async with serving(store, database, settings=settings) as api:
        await api.post("/v1/networks", name=NASTY)
        await api.settled()
        answer = await api.http.get("/v1/networks", headers=FIREFOX)
        read = Read(answer.text)
        assert read.links == ["/static/corral/corral.css", "https://ui.example:8443/ui.js"]
        variables = dict(re.findall(r"^var (\w+) = (.*);$", answer.text, re.MULTILINE))
        assert json.loads(variables["schemas"]) == f"{api.url}/v1/schemas"
        assert json.loads(variables["data"]) == await api.get("/v1/networks")
        [nonce] = [each["nonce"] for name, each in read.elements if name == "script" and "nonce" in each]
        assert f"script-src 'self' 'nonce-{nonce}' https://ui.example:8443;" in answer.headers["Content-Security-Policy"]
        assert "CSRF=" in answer.headers["Set-Cookie"]
        missing = await api.http.get("/v1/nothing", headers=FIREFOX)
        assert (missing.status_code, '"code":"Not Found"' in missing.text) == (404, True)


async def test_a_style_sheet_of_another_place_may_be_loaded_and_nothing_else(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={"api.ui.css.url": "http://ui.example/ui.css"}) as api:
        answer = await api.http.get("/v1", headers=FIREFOX)
        assert "http://ui.example/ui.css" in Read(answer.text).links
        policy = answer.headers["Content-Security-Policy"]
        assert "style-src 'self' http://ui.example;" in policy
        assert "script-src 'self';" in policy
        for wrong in ("javascript:alert(1)", "//ui.example/x.js", "/\\ui.example/x.js", 'http://ui.example/"x', "ui.js"):
            refused = await api.http.put("/v1/settings/1as!api.ui.js.url", json={"value": wrong})
            assert (refused.status_code, refused.json()["code"]) == (422, "InvalidFormat"), wrong


async def test_browsers_that_ask_for_the_root_are_sent_where_the_settings_say(store: PostgresStore, database: str) -> None:
    async with serving(store, database, settings={"api.redirect.to.ui": True, "api.redirect.ui.path": "/static/corral/"}) as api:
        sent = await api.http.get("/", headers=FIREFOX)
        assert (sent.status_code, sent.headers["Location"]) == (302, "/static/corral/")
        assert (await api.get("/"))["resourceType"] == "apiVersion"
        assert (await api.http.get("/v1", headers=FIREFOX)).status_code == 200


async def test_a_definitions_page_leads_to_its_pictures(api: Api) -> None:
    for path, names in (
        ("/v1/processdefinitions/1pd!instance.start", ("process", "resource")),
        ("/v1/resourcedefinitions/1rd!instance", ("resource",)),
    ):
        seen = await page(api, path)
        for name in names:
            assert {f"{path}/{name}dot", f"{path}/{name}dot?_format=svg"} <= set(seen.links)
        drawn = await api.http.get(f"{path}/{names[0]}dot?_format=svg", headers=FIREFOX)
        assert drawn.headers["content-type"] == "image/svg+xml" or "Graphviz is not installed" in drawn.text


async def test_what_an_id_says_by_its_name_is_said_once(api: Api) -> None:
    seen = await page(api, "/v1/settings")
    assert "/v1/activesettings/1as!api.host.names" in seen.links
    assert "1as!" not in seen.text
    number = await api.add("host", name="twin")
    await api.settled()
    assert f"1h{number}" in (await page(api, "/v1/hosts")).text, "other ids stand beside their names"
