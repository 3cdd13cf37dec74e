"""Markup that can't be written unescaped: every text that goes through `tag` is escaped, unless `tag` made it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import orjson


class Html(str):
    """Markup. Only this module makes any: what others wrote is plain str and gets escaped."""

    __slots__ = ()


Content: TypeAlias = "str | int | float | Iterable[Content] | None"

_VOID = frozenset({"input", "link", "meta"})


def tag(name: str, /, *content: Content, **attributes: Any) -> Html:
    """An element. Attributes: class_ is class, data_url is data-url; None and False leave one out, True gives it no value."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{fragment(*content)}</{name}>")


def fragment(*content: Content) -> Html:
    """Several things one after the other."""
    return Html("".join(_markup(each) for each in content))


def data_block(identity: str, value: Any) -> Html:
    """Data for scripts: not run, and unable to end its own element."""
    return Html(f'<script type="application/json" id="{html.escape(identity)}">{_json(value)}</script>')


def script_block(variables: Mapping[str, Any], nonce: str) -> Html:
    """Data as variables of a script, which runs where the page's policy names the nonce."""
    text = "".join(f"var {name} = {_json(value)};\n" for name, value in variables.items())
    return Html(f'<script nonce="{html.escape(nonce)}">\n{text}</script>')


def _json(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def page(head: Html, body: Html) -> bytes:
    return f'<!DOCTYPE html>\n<html lang="en">{tag("head", head)}{tag("body", body)}</html>\n'.encode("utf-8", "replace")


def _markup(content: Content) -> str:
    match content:
        case None:
            return ""
        case Html():
            return str(content)
        case str() | int() | float():
            return html.escape(str(content))
    return "".join(_markup(each) for each in content)


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
