"""The catalogue that the CLI reads types and ids by: that of this home, its extensions included."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache

from commands.catalogue.catalogue import Catalogue
from deploy.cli.client import home
from deploy.cli.errors import Failed
from deploy.extensions import ExtensionFailed, catalogue_of

NEAR = 5
"""How many names are suggested at most."""


@cache
def catalogue() -> Catalogue:
    """Raises Failed for an extension that can't be used."""
    try:
        return catalogue_of(home())
    except ExtensionFailed as failed:
        raise Failed(str(failed)) from None


def fields_of(type_name: str | None) -> frozenset[str]:
    """The fields that rows of a type may have, with those of all types that share its streams; None: of any type."""
    known = catalogue()
    root = known.root_type(type_name) if type_name is not None else None
    return frozenset(name for each in known.types.values() if root in (None, known.root_type(each.name)) for name in each.fields)


def near(text: str, names: Iterable[str], lists: str = "`corral dot` lists the types and their processes") -> str:
    """What to say after "there is no <text>": the names that come near it, or what lists all."""
    by_small = {each.lower(): each for each in sorted(names)}
    small = text.lower()
    like = [*get_close_matches(small, by_small, n=NEAR), *(each for each in by_small if small in each or each in small)]
    if not like:
        return f", nor any like it: {lists}"
    return f"; near it: {', '.join(by_small[each] for each in list(dict.fromkeys(like))[:NEAR])}"
