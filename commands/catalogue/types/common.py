"""The short forms in which the resource types are written down: fields, links and actions that most types share.

Source of every fact here and in the files beside it: Cattle's schemas, version 0.4.0. Access letters: r(ead) c(reate) u(pdate).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from commands.catalogue.model import Action, Field, Link, Methods

ALL = Methods(("GET", "POST"), ("GET", "PUT", "DELETE"))
READ = Methods(("GET",), ("GET",))
LOOK = Methods(("GET",), ("GET", "DELETE"))
HIDDEN = Methods()
INPUT = Methods(("POST",), ("GET", "PUT", "DELETE"))
"""A type that only exists as a request's body or as its answer, as an admin sees it."""

ACTIVE_STATES = (
    "activating", "active", "deactivating", "inactive", "purged", "purging", "registering", "removed", "removing", "requested",
    "restoring", "updating-active", "updating-inactive",
)  # fmt: skip


def col(name: str, type: str, admin: str = "", user: str = "", **more: Any) -> Field:
    """A field with a column of its own."""
    return Field(name, type, "col", admin, user, **more)


def fld(name: str, type: str, admin: str = "", user: str = "", **more: Any) -> Field:
    """A field inside data.fields."""
    return Field(name, type, "fld", admin, user, **more)


def proto(name: str, type: str, admin: str = "", user: str = "", **more: Any) -> Field:
    """A field that is only in a request or in its answer."""
    return Field(name, type, "proto", admin, user, **more)


def fields(*own: Field, states: tuple[str, ...] = ACTIVE_STATES, user: bool = False, account: bool = True) -> Mapping[str, Field]:
    """The fields of every type with a state machine, then its own (which win). `user`: users see the type; `account`: it belongs to one.

    No `states`: its state is mere text, which no process shows as under way.
    """
    see = "r" if user else ""
    write = "rcu" if user else ""
    common = [
        col("created", "date", "r", see),
        col("data", "map[json]", "rcu", "", max_length=65535),
        col("description", "string", "rcu", write, max_length=1024),
        col("id", "int", "r", see),
        col("kind", "string", "rc", see, max_length=255),
        col("name", "string", "rcu", write, max_length=255),
        col("removeTime", "date", "ru", ""),
        col("removed", "date", "r", see),
        *(_machine(states, see) if states else (col("state", "string", "r", see, max_length=128),)),
        col("uuid", "string", "rc", see, max_length=128),
    ]
    if account:
        common.insert(0, col("accountId", "reference[account]", "rcu", ""))
    return {each.name: each for each in (*common, *own)}


def _machine(states: tuple[str, ...], see: str) -> tuple[Field, ...]:
    return (
        col("state", "enum", "r", see, nullable=False, max_length=128, options=states),
        Field("transitioning", "enum", "calc", "r", see, options=("yes", "no", "error")),
        Field("transitioningMessage", "string", "calc", "r", see),
        Field("transitioningProgress", "int", "calc", "r", see),
    )


def plain(*own: Field) -> Mapping[str, Field]:
    """Just these fields: of a table of records without a life of their own, or of a document."""
    return {each.name: each for each in own}


def unseen(fields: Mapping[str, Field]) -> Mapping[str, Field]:
    """The same fields, which nobody but a superadmin sees."""
    return {name: replace(each, admin="", user="") for name, each in fields.items()}


def actions(output: str, *names: str, **special: Action) -> Mapping[str, Action]:
    """Actions without input that answer with the resource, and special ones given by name."""
    plain = {name: Action(name, output=output) for name in names}
    return dict(sorted({**plain, **special}.items()))


LIFE = ("activate", "create", "deactivate", "purge", "remove", "restore", "update")
"""The actions of what is active or inactive."""


def links(*each: Link) -> Mapping[str, Link]:
    return {link.name: link for link in each}


def one(name: str, to: str, via: str | None = None) -> Link:
    """The one whose id is in our field `via` (<name>Id)."""
    return Link(name, to, via or f"{name}Id", "ref")


def many(name: str, to: str, via: str) -> Link:
    """Those whose field `via` holds our id."""
    return Link(name, to, via, "many")


def mapped(name: str, to: str, through: str, via: str, other_via: str) -> Link:
    """Those that rows of type `through` tie to us."""
    return Link(name, to, via, "map", through, other_via)


ACCOUNT = one("account", "account")
