"""Pages with many of something: a collection with its filters and order, a schema with its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from commands.catalogue.model import Field, ResourceType
from gateway.html.markup import Content, Html, fragment, tag
from gateway.html.values import cell, pretty, shown, state_badge
from gateway.html.view import View

Json = Mapping[str, Any]

MOST_COLUMNS = 4
"""Beside the name, the state and when it was made: more than this nobody reads across."""

CREATED = Field("created", "date")

QUIET = frozenset(
    {
        "id", "type", "links", "actions", "name", "state", "uuid", "description", "data", "created", "removed", "removeTime",
        "accountId", "zoneId", "transitioning", "transitioningMessage", "transitioningProgress", "children", "resourceFields",
        "resourceActions", "collectionActions", "collectionFields", "collectionFilters", "includeableLinks",
    }
)  # fmt: skip
"""Fields that tell things of a kind apart too little for a column of their own."""


def words(name: str) -> str:
    """virtualMachines -> Virtual machines; ipAddress -> Ip address. The name stays what it is to a program."""
    spread = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return spread[:1].upper() + spread[1:].lower()


def collection(view: View, document: Json) -> tuple[str, Html]:
    type = view.type(document.get("resourceType"))
    title = words(type.plural if type else str(document.get("resourceType") or "collection"))
    rows: list[Json] = [row for row in document["data"] if isinstance(row, dict)]
    return title, fragment(
        tag("div", tag("h1", title), tag("span", len(rows), "+" if _next(document) else "", class_="count"), class_="title"),
        _creates(view, type, document),
        _filters(view, type, document),
        _table(view, type, document, rows) if rows else tag("p", "Nothing here.", class_="notice still"),
        _pages(view, document),
    )


def _creates(view: View, type: ResourceType | None, document: Json) -> Html | None:
    """Here, which may be under a link (what is made then belongs there); kinds of it in collections of their own."""
    made = {type.name: view.path} if type is not None and view.may(type, "POST", collection=True) else {}
    made |= {name: view.href(url) for name, url in (document.get("createTypes") or {}).items()}
    if not made:
        return None
    buttons = (tag("button", f"New {words(name).lower()}", type="button", data_create=url, data_type=name) for name, url in made.items())
    return tag("div", buttons, class_="buttons scripted")


def _filters(view: View, type: ResourceType | None, document: Json) -> Html | None:
    known = {} if type is None or view.caller is None else view.caller.filters(type)
    if not known or not document.get("sortLinks") or document.get("pagination") is None:
        return None
    chips: list[Content] = []
    for name, set_ in (document.get("filters") or {}).items():
        for each in set_ or ():
            modifier = each.get("modifier", "eq")
            parameter = name if modifier == "eq" else f"{name}_{modifier}"
            away = view.here(**{parameter: None, f"{name}_eq": None, "marker": None})
            text = (name, " is " if modifier == "eq" else f" {modifier} ", "" if "null" in modifier else str(each.get("value")), " ×")
            chips.append(tag("li", tag("a", *text, href=away, title="Take this filter away")))
    options = (tag("option", name, value=name, data_modifiers=" ".join(modifiers)) for name, modifiers in known.items())
    return tag(
        "div",
        tag(
            "form",
            tag("input", type="search", name="name_prefix", placeholder="Name begins with…", aria_label="Name begins with"),
            tag("button", "Search"),
            method="get",
            class_="search",
        )
        if "prefix" in known.get("name", ())
        else None,
        tag(
            "form",
            tag("select", options, name="field", aria_label="Field"),
            tag("select", name="modifier", aria_label="Comparison"),
            tag("input", name="value", placeholder="Value", aria_label="Value"),
            tag("button", "Filter"),
            class_="scripted",
            id="filter",
        ),
        tag("ul", chips, class_="pills") if chips else None,
        class_="filters",
    )


def _table(view: View, type: ResourceType | None, document: Json, rows: list[Json]) -> Html:
    columns = _columns(type, rows)
    states = any("state" in row for row in rows)
    dated = any(row.get("created") for row in rows)
    head = [_head(view, document, "name" if any(row.get("name") for row in rows) else "id")]
    head += [_head(view, document, "state")] if states else []
    head += [_head(view, document, name) for name in columns]
    head += [_head(view, document, "created")] if dated else []
    lines: list[Content] = []
    for row in rows:
        links = row.get("links") or {}
        name = str(row.get("name") or row.get("id"))
        label = tag("a", name, href=view.href(links["self"])) if "self" in links else tag("span", name)
        said = str(row.get("id")).rpartition("!")[2] == name  # 1as!api.host.names says it already
        beside = tag("code", row.get("id")) if row.get("name") and not said else None
        cells: list[Content] = [tag("th", label, " ", beside, scope="row")]
        cells += [tag("td", state_badge(row))] if states else []
        kind = view.type(row.get("type")) or type
        for column in columns:
            field = kind.fields.get(column) if kind else None
            cells.append(tag("td", cell(view.catalogue, field, row.get(column)), data_label=words(column)))
        cells += [tag("td", shown(view.catalogue, CREATED, row.get("created")), data_label="Created")] if dated else []
        lines.append(tag("tr", cells))
    return tag("div", tag("table", tag("thead", tag("tr", head)), tag("tbody", lines), class_="rows"), class_="wide")


def _columns(type: ResourceType | None, rows: list[Json]) -> list[str]:
    """Fields that have a value anywhere, in their own order; where there are too many, those that tell the rows apart. Dates, secrets and
    what is deep are for a thing's own page."""
    hidden = QUIET | {field.name for field in (type.fields.values() if type else ()) if field.secret or field.type == "password"}
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            date = f"{name}TS" in row or (name.endswith("TS") and name[:-2] in row)
            if name not in hidden and not date and value not in (None, "", [], {}) and not isinstance(value, dict):
                values.setdefault(name, set()).add(str(value))
    if len(values.get("kind", ())) == 1:
        del values["kind"]  # it says what the title says; several tell a machine's hosts apart, say
    chosen = sorted(values, key=lambda name: len(values[name]) == 1)[:MOST_COLUMNS]
    return [name for name in dict.fromkeys(name for row in rows for name in row) if name in chosen]


def _head(view: View, document: Json, name: str) -> Html:
    url = (document.get("sortLinks") or {}).get(name)
    if not url or document.get("pagination") is None:
        return tag("th", words(name), scope="col")
    sort = document.get("sort") or {}
    if sort.get("name") != name:
        return tag("th", tag("a", words(name), href=view.href(url)), scope="col")
    up = sort.get("order") != "desc"
    link = tag("a", words(name), " ↑" if up else " ↓", href=view.href(sort.get("reverse") or url))
    return tag("th", link, scope="col", aria_sort="ascending" if up else "descending")


def _next(document: Json) -> str | None:
    found = (document.get("pagination") or {}).get("next")
    return str(found) if found else None


def _pages(view: View, document: Json) -> Html | None:
    further = _next(document)
    onward = tag("a", "Next page →", href=view.href(further), rel="next") if further else None
    start = tag("a", "← First page", href=view.without("marker")) if "marker=" in view.query else None
    return tag("nav", start, onward, class_="pages", aria_label="Pages") if onward or start else None


FIELD_COLUMNS = ("type", "required", "create", "update", "nullable", "default", "options")


def schema(view: View, document: Json) -> Html:
    def told_of(field: Json) -> list[Html]:
        return [tag("td", _plain(field.get(column)), data_label=words(column)) for column in FIELD_COLUMNS]

    lines = (tag("tr", tag("th", name, scope="row"), told_of(field)) for name, field in document["resourceFields"].items())
    head = (tag("th", words(column), scope="col") for column in ("field", *FIELD_COLUMNS))
    listed = document["links"].get("collection")
    facts = (("collection", "collectionMethods"), ("resource", "resourceMethods"), ("links", "includeableLinks"), ("children", "children"))
    told = [(name, ", ".join(document.get(key) or ())) for name, key in facts]
    told.append(("actions", ", ".join(document.get("resourceActions") or {})))
    return fragment(
        tag("h1", document["id"]),
        tag("p", tag("a", "The collection", href=view.href(listed))) if listed else None,
        tag("table", (tag("tr", tag("th", words(name), scope="row"), tag("td", text)) for name, text in told if text), class_="fields"),
        tag("h2", "Fields"),
        tag("div", tag("table", tag("thead", tag("tr", head)), tag("tbody", lines), class_="rows"), class_="wide"),
    )


def _plain(value: Any) -> Content:
    match value:
        case None | False:
            return tag("span", "·", class_="faint")
        case True:
            return "yes"
        case list():
            return ", ".join(str(each) for each in value)
        case dict():
            return pretty(value)
    return str(value)
