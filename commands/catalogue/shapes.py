"""Whether what stands in an extension's data is what it stands for: steps that are steps, functions that can be called as they will be.

Annotations say it to whoever runs a type checker. Who does not is told here, when Corral starts, not by the first process that gets there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from commands.catalogue.model import Ask, Await, CatalogueError, Child, Decide, Field, Join, Own, Process, Step, Store

T = TypeVar("T")

CALLED: Mapping[type, Mapping[str, str]] = {
    Decide: {"decide": "turn, resource"},
    Child: {"via": "world, resource", "when": "resource"},
    Own: {"when": "turn, resource"},
    Join: {"targets": "turn, resource"},
    Ask: {"agent": "world, resource", "payload": "world, resource", "tries": "world, resource", "misread": "data"},
    Await: {"until": "turn, resource"},
    Process: {"compensate": "turn, resource", "chain": "turn, resource", "at_rest": "turn, resource"},
}
"""Class -> its attributes that are functions -> what each is called with. One that is None by default may be None."""

INSTEAD: Mapping[tuple[type, str], type] = {(Child, "via"): str, (Ask, "tries"): int}
"""Where something else than a function may stand."""

BASIC = ("string", "int", "boolean", "date", "json", "enum")
"""The types of fields that are no other type's."""

STORES: tuple[str, ...] = get_args(Store)


def check_process(given: object) -> None:
    """Raises CatalogueError for what is no process, or holds what is no step."""
    process = must_be(given, Process, "add_processes takes processes, as those of lifecycle('widget')")
    _check_called(process, f"process {process.name}")
    for step in process.steps:
        check_step(step, f"process {process.name}")


def check_step(step: object, where: str) -> None:
    """Raises CatalogueError."""
    if not isinstance(step, get_args(Step)):
        kinds = ", ".join(each.__name__ for each in get_args(Step))
        hint = "; a function is one as Decide(function)" if callable(step) and not isinstance(step, type) else ""
        raise CatalogueError(f"{where}: {step!r} is no step{hint}. Steps are {kinds}")
    _check_called(step, f"{where}: {type(step).__name__}")
    if isinstance(step, Ask) and not step.aside and step.tries != 0 and step.undo is None and not step.no_undo:
        raise CatalogueError(
            f"{where} asks {step.command}, and neither undoes it nor says why not: give `undo`, the command of another step that takes it "
            "back, or `no_undo`, the reason; or ask until it is done (tries=0), or aside"
        )


def _check_called(of: Step | Process, where: str) -> None:
    kind = type(of)
    optional = {each.name for each in fields(kind) if each.default is None}
    for name, given in CALLED.get(kind, {}).items():
        value = getattr(of, name)
        if (value is None and name in optional) or isinstance(value, INSTEAD.get((kind, name), ())):
            continue
        if why := _not_callable_with(value, given):
            raise CatalogueError(f"{where}: its `{name}`, {_called(value)}, {why}. It is called as {name}({given})")


def _not_callable_with(function: object, given: str) -> str | None:
    """Why not."""
    if not callable(function):
        return "is no function"
    return uncallable(function, given.count(",") + 1)


def uncallable(function: Callable[..., Any], count: int) -> str | None:
    """Why it can't be called with so many values; None: it can."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "is async or yields, so calling it does nothing"
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError as error:
        return f"can't take {count} {'value' if count == 1 else 'values'} ({error})"
    except ValueError:
        pass  # what is not written in Python may not tell
    return None


def _called(value: object) -> str:
    name = getattr(value, "__name__", None)
    return str(name) if name else repr(value)


def must_be(value: object, kind: type[T], what: str) -> T:
    """The same. Raises CatalogueError for what is none of its kind."""
    if not isinstance(value, kind):
        raise CatalogueError(f"{what}; {value!r} is no {kind.__name__}")
    return value


# --- fields ---------------------------------------------------------------------------------------------------------


def wrong_with_fields(given: Mapping[str, Field], types: Collection[str]) -> Iterator[str]:
    """What can't be right of a type's fields, given all types."""
    for key, field in given.items():
        if key != field.name:
            yield f"field {field.name} is listed as {key!r}"
        if field.store not in STORES:
            yield f"field {key} is kept in {field.store!r}; possible: {', '.join(STORES)}"
        if unknown := set(field.admin + field.user) - set("rcu"):
            yield f"field {key} has the access {''.join(sorted(unknown))!r}; possible: r(ead), c(reate) and u(pdate)"
        if why := wrong_with_type(field.type, types):
            yield f"field {key} is of type {field.type!r}: {why}"
        if field.options and field.default is not None and field.default not in field.options:
            yield f"field {key} is {field.default!r} by default, which is none of its options {', '.join(field.options)}"


def wrong_with_type(given: str, types: Collection[str]) -> str | None:
    for form in ("array", "map", "reference"):
        if given.startswith(f"{form}[") and given.endswith("]"):
            inner = given[len(form) + 1 : -1]
            if form != "reference":
                return wrong_with_type(inner, types)
            return None if inner in types else f"there is no type {inner!r}{_meant(inner, types)}"
    if given in BASIC or given in types:
        return None
    possible = f"{', '.join(BASIC)}, reference[<type>], and array[...] or map[...] of one of these"
    return f"there is none of that name{_meant(given, BASIC)}; possible: {possible}"


def _meant(given: str, known: Collection[str]) -> str:
    near = get_close_matches(given, known, 1, 0.6)
    return f" ({near[0]}?)" if near else ""
