"""What Cattle 0.4.0 has of types and processes, as bare facts (types.txt, processes.txt), and the catalogue told in the same lines.

Both sides become sets of lines, so that a comparison says by itself what is missing and what is too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.filters import ORDERED, SAME, TEXT, filters_of
from commands.catalogue.model import Field, Methods, Process, ResourceType

HERE = Path(__file__).parent

FILTERS = {SAME: "same", ORDERED: "ordered", TEXT: "text"}
PHASES = {"pre": "pre", "handlers": "handler", "post": "post"}

Facts = dict[str, frozenset[str]]
"""Of each type, or process, its lines."""


# --- the facts as they are written down ---


def types() -> Facts:
    found: dict[str, list[str]] = {}
    usual: dict[str, str] = {}
    name = ""
    for line in _lines("types.txt"):
        word, *rest = line.split()
        if not line.startswith(" "):
            name = word
            found[name] = [f"type {' '.join(rest)}"] if rest else []
        elif name == "usual":
            usual[rest[0]] = line.strip()
        elif word == "as":
            found[name] += [usual[each] for each in rest[1:]]
        elif word == "actions":
            found[name] += [f"action {each} - {rest[0]}" for each in rest[1:]]
        elif word == "filter":
            found[name] += [f"filter {each} {rest[0]}" for each in rest[1:]]
        else:
            found[name].append(line.strip())
    del found["usual"]
    return {each: frozenset(lines) for each, lines in found.items()}


def processes() -> Facts:
    """Of each process its arrows, and where its logic stands."""
    found: dict[str, list[str]] = {}
    template: dict[str, list[str]] = {}
    section = process = ""
    for line in _lines("processes.txt"):
        depth = len(line) - len(line.lstrip())
        word, *rest = line.split()
        if depth == 0:
            section = word
            if section == "template":
                continue
            verbs = [] if rest[0] == "own" else rest[0].partition("=")[2].split(",") if "=" in rest[0] else list(template)
            for verb in verbs:
                own = [each.replace("<type>", section.lower()) for each in template[verb]]
                found[f"{section.lower()}.{verb}"] = [f"of {section}", "field state", *own]
            if rest[1] == "activated":
                found[f"{section.lower()}.create"].append("logic post 2000 ActivateByDefault")
        elif depth == 2 and section == "template":
            template[word] = [f"arrow {each}" for each in _arrows(rest)] + _options(rest)
        elif depth == 2:
            process = word
            if rest:
                field = [] if any(each.startswith("field=") for each in rest) else ["field state"]
                also = [each for each in found.get(process, []) if each.startswith("logic")]
                found[process] = [f"of {section}", *field, *(f"arrow {each}" for each in _arrows(rest)), *_options(rest), *also]
        else:
            found[process].append(f"logic {line.strip()}")
    return {each: frozenset(lines) for each, lines in found.items()}


def _lines(file: str) -> list[str]:
    return [line for line in (HERE / file).read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def _arrows(words: list[str]) -> Iterator[str]:
    """a,b>via>done: one for each start state."""
    for starts, _, rest in (word.partition(">") for word in words if "=" not in word):
        yield from (f"{start}>{rest}" for start in starts.split(","))


def _options(words: list[str]) -> list[str]:
    return [word.replace("=", " ") for word in words if word.startswith(("delegate=", "field="))]


# --- the catalogue in the same words ---


def of_type(kind: ResourceType) -> frozenset[str]:
    head = [kind.plural, kind.prefix, "stored" if kind.stored else "unstored", f"admin={_methods(kind.admin)}"]
    head += [f"user={_methods(kind.user)}"]
    head += [f"parent={kind.parent}"] if kind.parent else []
    head += [f"children={','.join(kind.children)}"] if kind.children else []
    lines = {f"type {' '.join(head)}"}
    lines |= {_field(each) for each in kind.fields.values()}
    for action in kind.actions.values():
        when = [f"{key}={value}" for key, value in (("capability", action.capability), ("state", action.state)) if value]
        lines.add(" ".join(["action", action.name, action.input or "-", action.output or "-", *when]))
    for link in kind.links.values():
        through = [link.through or "", link.other_via or ""] if link.cardinality == "map" else []
        lines.add(" ".join(["link", link.name, link.to, link.via, link.cardinality, *through]))
    lines |= {f"filter {name} {FILTERS[modifiers]}" for name, modifiers in filters_of(kind).items()}
    return frozenset(lines)


def of_process(process: Process) -> frozenset[str]:
    lines = {f"of {process.type}", f"field {process.field}"}
    for start in process.start:
        via = process.via_of(start)
        lines.add(f"arrow {start}>{via}>{process.done_of(via)}")
    if process.delegate:
        lines.add(f"delegate {process.delegate}")
    for phase, logic in process.logic.items():
        lines |= {f"logic {PHASES[phase]} {each.priority} {each.name}" for each in logic}
    return frozenset(lines)


def of_catalogue(catalogue: Catalogue) -> tuple[Facts, Facts]:
    """-> its types and its processes."""
    return (
        {name: of_type(kind) for name, kind in catalogue.types.items()},
        {name: of_process(process) for name, process in catalogue.processes.items()},
    )


def _methods(given: Methods) -> str:
    return "-" if given.hidden else f"{','.join(given.collection)};{','.join(given.resource)}"


def _field(each: Field) -> str:
    words = ["field", each.name, each.type, each.store, each.admin or "-", each.user or "-"]
    flags = (
        ("required", each.required), ("not-null", not each.nullable), ("unique", each.unique), ("hidden", each.hidden),
        ("updates", each.schedules_update),
    )  # fmt: skip
    words += [word for word, is_set in flags if is_set]
    bounds = (("min", each.min), ("max", each.max), ("mnl", each.min_length), ("mxl", each.max_length))
    words += [f"{word}={bound}" for word, bound in bounds if bound is not None]
    if each.default is not None:
        words.append(f"default={str(each.default).lower() if isinstance(each.default, bool) else each.default}")
    words += [f"options={','.join(each.options)}"] if each.options else []
    words += [f"chars={each.valid_chars}"] if each.valid_chars else []
    return " ".join(words)
