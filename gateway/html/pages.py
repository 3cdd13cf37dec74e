"""Pages: one frame, and in it a document as people read it. The same document goes along as data, for the scripts and the curious."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from commands.catalogue.model import ResourceType
from gateway.html import lists
from gateway.html.markup import Content, Html, data_block, fragment, page, script_block, tag
from gateway.html.values import pretty, shown, state_badge
from gateway.html.view import View
from gateway.live import verbs

Json = Mapping[str, Any]

STATIC = "/static/corral"

FIRST = ("containers", "virtualMachines", "images", "volumes", "hosts", "networks", "agents", "accounts", "settings")
"""What most people come for stands at the top of every page."""

SAID_ELSEWHERE = frozenset(
    {"id", "type", "links", "actions", "name", "state", "transitioning", "transitioningMessage", "transitioningProgress"}
)

LIVE = (
    ("Logs", "logs?tail=1000"), ("Logs as they come", "logs?tail=100&follow"), ("Stats", "stats"), ("Processes", "top"),
    ("What its engine says", "inspect"), ("Events of its engine", "events"),
)  # fmt: skip
"""Live queries that a browser can show (exec is a conversation)."""

DRAWN = frozenset({"processDot", "resourceDot"})
"""Links to Graphviz text, which gateway.inside.definitions gives as a picture, too."""


def page_of(view: View, document: Any) -> bytes:
    title, content = _content(view, document)
    if view.script:
        return _frame(view, document)
    head = fragment(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Corral"),
        tag("link", rel="icon", href=f"{STATIC}/icon.svg"),
        tag("link", rel="stylesheet", href=view.style or f"{STATIC}/corral.css"),
        tag("script", type="module", src=f"{STATIC}/corral.js"),
    )
    body = fragment(
        _top(view),
        tag("main", _crumbs(view), content),
        _foot(view),
        data_block("schemas", view.href(view.schemas)),
        data_block("document", document),
    )
    return page(head, body)


def _frame(view: View, document: Any) -> bytes:
    """For a script that is not ours, as Cattle has it: the script finds the schemas' URL and the document in two variables."""
    head = fragment(
        tag("meta", charset="utf-8"),
        tag("link", rel="stylesheet", href=view.style) if view.style else None,
        script_block({"schemas": view.schemas, "data": document}, view.nonce),
        tag("script", src=view.script),
    )
    return page(head, tag("body"))


def _content(view: View, document: Any) -> tuple[str, Html]:
    match document:
        case {"type": "error", "status": status, "code": code}:
            return str(code), _error(status, code, document)
        case {"type": "apiVersion"}:
            return "Types", _types(view)
        case {"type": "collection", "data": list()}:
            return lists.collection(view, document)
        case {"type": "schema", "resourceFields": dict()}:
            return str(document["id"]), lists.schema(view, document)
        case {"type": str(), "links": dict()}:
            return _title(document), _resource(view, document)
    return "Answer", tag("pre", pretty(document))


def _title(document: Json) -> str:
    return str(document.get("name") or document.get("id") or document["type"])


# --- the frame ---


def _top(view: View) -> Html:
    there = {type.plural for type in view.listed}
    current = [*view.path.split("/"), "", "", ""][2].lower()
    links = (
        tag("a", lists.words(plural), href=f"/v1/{plural.lower()}", aria_current="page" if plural.lower() == current else None)
        for plural in FIRST
        if plural in there
    )
    return tag("header", tag("a", "Corral", href="/v1", class_="brand"), tag("nav", links, aria_label="Often used"))


def _crumbs(view: View) -> Html:
    parts = [part for part in view.path.split("/") if part]
    steps: list[Content] = []
    for number, part in enumerate(parts, 1):
        text = "all types" if number == 1 else unquote(part)
        steps.append(tag("li", text if number == len(parts) else tag("a", text, href="/" + "/".join(parts[:number]))))
    return tag("nav", tag("ol", steps), class_="crumbs", aria_label="Where this is")


def _foot(view: View) -> Html:
    return tag(
        "footer",
        tag("a", "This page as JSON", href=view.here(_format="json")),
        tag("a", "Schemas", href=view.href(view.schemas)),
        tag("span", "Log position ", view.position) if view.position else None,
    )


# --- documents ---


def _error(status: Any, code: Any, document: Json) -> Html:
    field = document.get("fieldName")
    return tag(
        "section",
        tag("p", status, class_="status"),
        tag("h1", code),
        tag("p", document.get("message") or "Nothing more is known."),
        tag("p", "The field is ", tag("code", field), ".") if field else None,
        tag("p", tag("a", "All types", href="/v1")),
        class_="error",
    )


def _types(view: View) -> Html:
    def tiles(types: Iterable[ResourceType]) -> Html:
        return tag(
            "ul", (tag("li", tag("a", lists.words(type.plural), href=f"/v1/{type.plural.lower()}")) for type in types), class_="tiles"
        )

    first = [type for plural in FIRST for type in view.listed if type.plural == plural]
    return fragment(
        tag("h1", "What there is"),
        tiles(first),
        tag("h2", "Everything else"),
        tiles(type for type in view.listed if type not in first),
    )


def _resource(view: View, document: Json) -> Html:
    type = view.type(document["type"])
    links = [(lists.words(name), url) for name, url in document["links"].items() if name != "self"]
    links += [(f"{lists.words(name)} as a picture", f"{url}?_format=svg") for name, url in document["links"].items() if name in DRAWN]
    return fragment(
        tag("div", tag("h1", _title(document)), state_badge(document), class_="title"),
        tag("p", lists.words(str(document["type"])), " ", tag("code", document.get("id")), class_="faint"),
        _progress(document),
        _buttons(view, type, document),
        _fields(view, type, document),
        _pills("Just now", _live(view, type, document)),
        _pills("How it came about", _past(view, type, document)),
        _pills("Links", [(text, view.href(url)) for text, url in links]),
    )


def _pills(title: str, links: Sequence[tuple[str, str]]) -> Html | None:
    if not links:
        return None
    return fragment(tag("h2", title), tag("ul", (tag("li", tag("a", text, href=href)) for text, href in links), class_="pills"))


def _live(view: View, type: ResourceType | None, document: Json) -> list[tuple[str, str]]:
    """What its host is asked just then; what a kind of host can't answer says so."""
    if document.get("removed") is not None or not verbs.answers(view.catalogue, type):
        return []
    here = view.href(document["links"].get("self", view.path))
    return [(text, f"{here}/{query}") for text, query in LIVE]


def _past(view: View, type: ResourceType | None, document: Json) -> list[tuple[str, str]]:
    here = view.href(document["links"].get("self", view.path))
    return [("Why it is so", f"{here}/why"), ("Every event", f"{here}/history")] if type is not None and type.stored else []


def _progress(document: Json) -> Html | None:
    message = document.get("transitioningMessage")
    match document.get("transitioning"):
        case "yes":
            percent = document.get("transitioningProgress")
            bar = tag("progress", max=100, value=percent if isinstance(percent, int) else None)
            return tag("div", bar, tag("span", str(message or "")), class_="notice moving", data_moving=True)
        case "error":
            return tag("div", str(message or "It failed, nobody said why."), class_="notice bad")
    return None


def _buttons(view: View, type: ResourceType | None, document: Json) -> Html | None:
    here = view.href(document["links"].get("self", view.path))
    buttons: list[Content] = []
    for name, url in (document.get("actions") or {}).items():
        action = type.actions.get(name) if type else None
        takes, gives = (action.input, action.output) if action else (None, None)
        buttons.append(tag("button", lists.words(name), type="button", data_act=view.href(url), data_type=takes, data_output=gives))
    if view.may(type, "PUT"):
        buttons.append(tag("button", "Edit", type="button", data_edit=here, data_type=document["type"]))
    if view.may(type, "DELETE") and document.get("removed") is None:
        buttons.append(tag("button", "Delete", type="button", class_="danger", data_delete=here))
    if not buttons:
        return None
    return fragment(
        tag("div", buttons, class_="buttons scripted"), tag("noscript", tag("p", "Changing anything needs JavaScript.", class_="faint"))
    )


def _fields(view: View, type: ResourceType | None, document: Json) -> Html:
    told: list[Content] = []
    silent: list[str] = []
    for name, value in document.items():
        if name in SAID_ELSEWHERE or (name.endswith("TS") and name[:-2] in document):
            continue
        if value in (None, [], {}):
            silent.append(name)
            continue
        field = type.fields.get(name) if type else None
        told.append(tag("tr", tag("th", lists.words(name), scope="row", title=name), tag("td", shown(view.catalogue, field, value))))
    return fragment(
        tag("div", tag("table", tag("tbody", told), class_="fields"), class_="wide") if told else None,
        tag(
            "details", tag("summary", f"{len(silent)} fields without a value"), tag("p", ", ".join(silent), class_="faint"), class_="silent"
        )
        if silent
        else None,
    )
