"""Secrets in what is shown: one list, from the fields' own flag, for NATS, the log's HTTP and the commands to agents."""

from __future__ import annotations

from functools import cache
from typing import Any

from commands.catalogue.model import Catalogue


@cache
def secret_names(catalogue: Catalogue) -> frozenset[str]:
    """The names of all fields flagged as secret."""
    return frozenset(field.name for type in catalogue.types.values() for field in type.fields.values() if field.secret)


def masked(value: Any, names: frozenset[str]) -> Any:
    """The value with every secret, however deep, replaced."""
    match value:
        case dict():
            return {key: "***" if key in names and each is not None else masked(each, names) for key, each in value.items()}
        case list():
            return [masked(each, names) for each in value]
    return value
