"""The pages in a real browser: made, changed, acted on, filtered; and nothing that others wrote runs. Where there is Chromium, as in CI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.html.test_pages import NASTY
from tests.support.browser import Browser, browsing, chromium
from tests.support.http import Api
from tests.support.programs import needs

pytestmark = [
    needs(chromium(), "chromium"),
    pytest.mark.timeout(240),
]

FORM = "document.querySelector('dialog form')"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    program = chromium()
    assert program is not None
    async with browsing(program, tmp_path / "profile") as browser:
        yield browser


def fill(**fields: str) -> str:
    """-> a script that fills the open form and sends it."""
    written = "".join(f"{FORM}.elements[{name!r}].value = {value!r};" for name, value in fields.items())
    return f"{written} {FORM}.requestSubmit()"


async def press(browser: Browser, selector: str) -> None:
    await browser.until(f"!!document.querySelector({selector!r}) && !document.querySelector('.scripted')")
    await browser.run(f"document.querySelector({selector!r}).click()")


async def test_a_thing_is_made_edited_acted_on_and_deleted(api: Api, browser: Browser) -> None:
    await browser.open(f"{api.url}/v1/networks")
    await press(browser, "button[data-create='/v1/networks']")
    await browser.until(f"!!{FORM}")
    await browser.run(fill(name="made in a browser"))
    await browser.until("location.pathname === '/v1/networks/1n1' && document.querySelector('h1').textContent === 'made in a browser'")
    assert (await api.get("/v1/networks/1n1"))["name"] == "made in a browser"

    await press(browser, "button[data-edit]")
    await browser.until(f"!!{FORM}")
    await browser.run(fill(name=NASTY, description="changed"))
    await browser.until("document.querySelector('h1').textContent.includes('alert(1)')")
    changed = await api.get("/v1/networks/1n1")
    assert (changed["name"], changed["description"]) == (NASTY, "changed")

    await press(browser, "button[data-delete]")
    await press(browser, "dialog .danger")
    await browser.until("document.querySelector('.badge').textContent === 'removing'")
    assert (await api.get("/v1/networks/1n1"))["state"] == "removing"
    assert browser.complaints == []


async def test_an_action_that_takes_something_asks_for_it(api: Api, browser: Browser) -> None:
    await api.add("host", name="alpha")
    number = (await api.post("/v1/containers", imageUuid="sim:x", name="one"))["id"]
    await api.settled()
    await browser.open(f"{api.url}/v1/containers/{number}")
    await press(browser, "button[data-act]")
    await browser.until(f"!!{FORM}")
    action = await browser.run("document.querySelector('button[data-act]').dataset.act")
    assert action.startswith(f"/v1/containers/{number}/?action=")
    await browser.run(fill())
    await browser.until("!document.querySelector('dialog[open]')")
    assert browser.complaints == []


async def test_a_refusal_stands_beside_its_field(api: Api, browser: Browser) -> None:
    await browser.open(f"{api.url}/v1/instances")
    await press(browser, "button[data-type=container]")
    await browser.until(f"!!{FORM}")
    await browser.run(fill(name="without an image"))
    message = await browser.until(f"{FORM}.querySelector('.field:has([name=imageUuid]) .wrong').textContent")
    assert "image" in message
    assert (await api.get("/v1/containers"))["data"] == []


async def test_a_filter_of_any_field_is_put_together(api: Api, browser: Browser) -> None:
    for name, total in (("small", 10), ("large", 1000)):
        await api.add("host", name=name, computeTotal=total)
    await api.settled()
    await browser.open(f"{api.url}/v1/hosts")
    await browser.until("!document.querySelector('.scripted')")
    await browser.run(
        "const f = document.getElementById('filter'); f.elements.field.value = 'computeTotal';"
        "f.elements.field.dispatchEvent(new Event('change'));"
        "f.elements.modifier.value = 'gt'; f.elements.value.value = '500'; f.requestSubmit()"
    )
    await browser.until("location.search === '?computeTotal_gt=500' && document.querySelectorAll('tbody tr').length === 1")
    assert "large" in await browser.run("document.querySelector('tbody').textContent")


async def test_nasty_names_run_nothing(api: Api, browser: Browser) -> None:
    await api.add("host", name=NASTY, description=NASTY, data={"fields": {NASTY: NASTY}})
    await api.settled()
    for path in ("/v1/hosts", "/v1/hosts/1h1", "/v1/hosts?include=account&name_prefix=%3Cscript%3Ealert(1)%3C/script%3E"):
        await browser.open(api.url + path)
        await browser.until("!document.querySelector('.scripted')")
        assert await browser.run("document.querySelectorAll('img, [onerror], [onmouseover]').length") == 0
    await browser.open(f"{api.url}/v1/hosts/1h1")
    await press(browser, "button[data-edit]")
    await browser.until(f"!!{FORM}")
    assert await browser.run(f"{FORM}.elements['name'].value") == NASTY
    assert browser.complaints == []


async def test_the_policy_holds_even_if_markup_came_through(api: Api, browser: Browser) -> None:
    await browser.open(f"{api.url}/v1")
    await browser.run("const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.body.append(s)")
    assert await browser.run("window.ran === undefined")
    assert any("Content Security Policy" in each for each in browser.complaints)
