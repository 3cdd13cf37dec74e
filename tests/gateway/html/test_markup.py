"""What is written into a page stays text, whatever it is."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from commands.catalogue.builtin import CATALOGUE
from gateway.html.markup import Html, data_block, fragment, tag
from gateway.html.view import View


class Seen(HTMLParser):
    """`inner`: elements inside the outermost one."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.inner: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inner.append(name)
        self.attributes.append(dict(attributes))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_any_text_comes_back_as_the_text_of_its_one_element(text: str) -> None:
    seen = Seen(tag("p", text, title=text))
    assert seen.inner == ["p"]
    assert seen.attributes[0].keys() == {"title"}
    assert seen.text.replace("\0", "") == text.replace("\0", "")


PLAIN = st.text() | st.integers(-(2**63), 2**64 - 1) | st.none()


@given(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_a_data_block_holds_its_value_and_nothing_ends_it_early(value: Any) -> None:
    if "\\ud" in json.dumps(value):  # half a pair, which no document has, or what looks like one
        return
    block = data_block("document", value)
    inside = block.removeprefix('<script type="application/json" id="document">').removesuffix("</script>")
    assert "<" not in inside
    assert json.loads(inside) == value


def test_markup_is_not_escaped_twice_and_lists_are_laid_flat() -> None:
    assert tag("ul", [tag("li", "a & b"), None, [tag("li", 2)]]) == "<ul><li>a &amp; b</li><li>2</li></ul>"
    assert isinstance(fragment("<"), Html)


def test_attributes_are_named_as_html_has_them() -> None:
    assert tag("input", class_="a", data_url='"', hidden=True, list=None, name="n") == '<input class="a" data-url="&quot;" hidden name="n">'


def test_links_never_lead_off_the_server() -> None:
    view = View(CATALOGUE, None, "http://here:1", "/v1", "", "", None)
    assert view.href("http://here:1/v1/hosts/1h1") == "/v1/hosts/1h1"
    for elsewhere in ("javascript:alert(1)", "//evil.example/", "http://evil.example/v1", "data:text/html,x"):
        assert view.href(elsewhere) == "/v1"
