"""Messages between documents and dataclasses, checked field by field, without a library that would have to be compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class BadMessage(ValueError):
    """What was sent is no message; the text says what is wrong, field by field."""


def document_of(message: DataclassInstance) -> dict[str, Any]:
    """Its fields as they are; dataclasses.asdict would copy whatever is in them."""
    return {each.name: getattr(message, each.name) for each in fields(message)}


def types_of(shape: type[DataclassInstance]) -> dict[str, str]:
    """Its fields, with their annotations as they are written."""
    return {each.name: str(each.type) for each in fields(shape)}


def read_fields(document: Any, types: Mapping[str, str], needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that are there, each as its annotation says; unknown keys are left out."""
    if not isinstance(document, dict):
        raise BadMessage("it is no JSON object")
    known, wrong = {}, [f"{name}: it is missing" for name in needed if name not in document]
    for name, type_ in types.items():
        if name in document:
            known[name] = value = _whole(document[name]) if "int" in type_ else document[name]
            check = _CHECKS[type_.removesuffix(" | None")]
            if not (check(value) or (value is None and type_.endswith(" | None"))):
                wrong.append(f"{name}: {value!r:.100} is not {_WANTED[type_.removesuffix(' | None')]}")
    if wrong:
        raise BadMessage("; ".join(wrong))
    return known


def _whole(value: Any) -> Any:
    """What JSON's writers make of whole numbers: 5.0 and "5" are 5."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and len(value) < 20 and value.isdecimal() else value


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "bool": lambda value: isinstance(value, bool),
    "Outcome": lambda value: value in ("no", "yes", "error"),
    "list[str]": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "dict[str, Any]": lambda value: isinstance(value, dict),
    "Json": lambda value: isinstance(value, dict),
    "dict[str, str]": lambda value: isinstance(value, dict) and all(isinstance(each, str) for each in value.values()),
}
_WANTED = {
    "str": "a text",
    "int": "a whole number",
    "bool": "true or false",
    "Outcome": '"no", "yes" or "error"',
    "list[str]": "a list of texts",
    "dict[str, Any]": "a map",
    "Json": "a map",
    "dict[str, str]": "a map of texts",
}
