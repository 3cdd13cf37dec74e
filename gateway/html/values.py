"""A field's value as markup: ids of other things as links, what is long or deep folded away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Field
from gateway.html.markup import Html, fragment, tag

SHORT = 60
"""A text beyond it stands in a block of its own; in a list it is cut."""

GOOD = frozenset({"running", "active", "associated", "enabled", "completed"})
BAD = frozenset({"error", "erroring", "removed", "purged", "removing", "purging"})


def state_badge(document: Mapping[str, Any]) -> Html | None:
    state = document.get("state")
    if not isinstance(state, str):
        return None
    moving, wrong = document.get("transitioning") == "yes", document.get("transitioning") == "error"
    tone = "moving" if moving else "bad" if wrong or state in BAD else "good" if state in GOOD else "still"
    return tag("span", state, class_=f"badge {tone}")


def cell(catalogue: Catalogue, field: Field | None, value: Any) -> Html:
    """In a list: one line."""
    if isinstance(value, str) and len(value) > SHORT and not (field and field.reference):
        return tag("span", value[:SHORT], "…", title=value)
    if isinstance(value, list | dict) and not (field and field.reference and isinstance(value, list)):
        return tag("span", ", ".join(value) if isinstance(value, list) and _texts(value) else f"{len(value)} entries", class_="faint")
    return shown(catalogue, field, value)


def shown(catalogue: Catalogue, field: Field | None, value: Any) -> Html:
    if field is not None and field.secret and value:
        return tag("details", tag("summary", "a secret"), tag("code", str(value)))
    match value:
        case None | "":
            return tag("span", "—", class_="faint")
        case bool():
            return tag("span", "true" if value else "false", class_=f"truth {str(value).lower()}")
        case str() | int() if field is not None and field.reference:
            return _reference(catalogue, field.reference, value)
        case str():
            return _text(field, value)
        case int() | float():
            return tag("span", value, class_="number")
        case list() if not value:
            return tag("span", "none", class_="faint")
        case list() if all(_is_resource(each) for each in value):
            return tag("ul", (tag("li", _included(each)) for each in value), class_="plain")
        case list() if (field is not None and field.reference) or _texts(value):
            return tag("ul", (tag("li", shown(catalogue, field, each)) for each in value), class_="plain")
        case dict() if _is_resource(value):
            return _included(value)
        case dict() if not value:
            return tag("span", "empty", class_="faint")
        case dict() if not any(isinstance(each, list | dict) for each in value.values()):
            return tag("dl", (fragment(tag("dt", key), tag("dd", shown(catalogue, field, each))) for key, each in value.items()))
    count = f"{len(value)} {'entry' if len(value) == 1 else 'entries'}"
    return tag("details", tag("summary", count), tag("pre", pretty(value)))


def pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def _text(field: Field | None, value: str) -> Html:
    if field is not None and field.type == "date":
        return tag("time", value.replace("T", " ").removesuffix("Z"), datetime=value, title="UTC")
    if "\n" in value.strip() or len(value) > 4 * SHORT:
        return tag("pre", value)
    return tag("span", value)


def _reference(catalogue: Catalogue, type_name: str, value: str | int) -> Html:
    plural = catalogue.type(type_name).plural.lower()
    return tag("a", value, href=f"/v1/{plural}/{quote(str(value), safe='')}")


def _included(document: Mapping[str, Any]) -> Html:
    link = str(document["links"].get("self", ""))
    _, _, path = link.partition("/v1/")
    name = document.get("name") or document.get("id")
    return fragment(tag("a", str(name), href=f"/v1/{path}"), " ", state_badge(document))


def _is_resource(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("links"), dict) and "type" in value


def _texts(value: list[Any]) -> bool:
    return all(isinstance(each, str | int | float) for each in value)
