"""A list query as SQL: what may be asked is what the catalogue's fields allow, and every value travels as a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from commands.catalogue.model import Field, ResourceType
from projections.rows import FOUND_BY, refers

SHOW_REMOVED = 300.0
"""Seconds for which lists show what was removed, unless its removeTime comes first (setting api.show.removed.for.seconds)."""


@dataclass(frozen=True, slots=True)
class Filter:
    """`value`: a number for numbers and references, a bool, or text (dates in ISO 8601); ignored by null and notnull."""

    field: Field
    modifier: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Query:
    """`root`: the type whose rows are meant, `kind`: only those of this child type. `account`: only what this account may
    see (None: everything). `limit` None: all."""

    root: ResourceType
    kind: str | None = None
    filters: tuple[Filter, ...] = ()
    sort: Field | None = None
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    account: int | None = None
    show_removed: float = SHOW_REMOVED


class Statement:
    """SQL under construction: add() takes a value and gives its placeholder."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any, type: str = "text") -> str:
        self.values.append(value)
        return f"${len(self.values)}::{type}"


def select(query: Query, columns: str) -> tuple[str, list[Any]]:
    statement = Statement()
    where = [f"l.type = {statement.add(query.root.name)}", not_hidden("l", statement, query.show_removed)]
    if query.kind:
        where.append(f"l.kind = {statement.add(query.kind)}")
    if "visible" in query.root.fields:
        where.append("t.row ->> 'visible' is distinct from 'false'")
    if query.account is not None:
        where.append(visible("l", query.root, query.account, statement))
    where += [_condition(each, statement) for each in query.filters]
    order, whole = _order(query, statement), "join resources t on t.type = l.type and t.id = l.id"
    page = f"where {' and '.join(where)} order by {order}"
    if query.limit is not None:
        page += f" limit {statement.add(query.limit, 'bigint')}"
    if query.offset:
        page += f" offset {statement.add(query.offset, 'bigint')}"
    if any("t." in each for each in (*where, order)):
        return f"select {columns} from listed l {whole} {page}", statement.values
    # Which rows, the narrow view can tell alone: the rows themselves are fetched for the page only.
    return f"select {columns} from (select * from listed l {page}) l {whole} order by {order}", statement.values


def visible(of: str, root: ResourceType, account: int, statement: Statement) -> str:
    """The rows an account sees: its own, and public ones; rows of types without an account are everybody's. `of`: what its id and account
    are taken from, listed or resources; the latter is t in either case."""
    if root.name != "account" and "accountId" not in root.fields:
        return "true"
    own = statement.add(account, "bigint")
    if root.name == "account":
        return f"{of}.id = {own}"
    if "isPublic" in root.fields:
        return f"({of}.account = {own} or t.row ->> 'isPublic' = 'true')"
    return f"{of}.account = {own}"


def not_hidden(of: str, statement: Statement, seconds: float) -> str:
    """What lists show: what is not removed, and for a while what is."""
    since = f"now() - make_interval(secs => {statement.add(seconds, 'float8')})"
    return f"{of}.gone > now() and ({of}.removed is null or {of}.removed > {since})"


def _order(query: Query, statement: Statement) -> str:
    if query.sort is None:
        return "l.id desc" if query.descending else "l.id"
    direction, ties = ("desc nulls last", "desc") if query.descending else ("asc nulls first", "asc")
    return f"{_value(query.sort, statement)} {direction}, l.id {ties}"


def _condition(filter: Filter, statement: Statement) -> str:
    field, value = filter.field, filter.value
    if filter.modifier == "null":
        return f"{_value(field, statement)} is null"
    if filter.modifier == "notnull":
        return f"{_value(field, statement)} is not null"
    if filter.modifier == "eq" and field.reference and field.name != "accountId":
        return f"t.refs @> array[{statement.add(refers(field.name, value))}]"
    left, right = _value(field, statement), statement.add(value, _sql_type(field))
    match filter.modifier:
        case "eq" if field.name in FOUND_BY:
            return f"t.refs @> array[{statement.add(refers(field.name, value))}] and {left} = {right}"
        case "eq":
            return f"{left} = {right}"
        case "ne":
            return f"{left} <> {right}"
        case "lt" | "lte" | "gt" | "gte":
            return f"{left} {'<' if filter.modifier.startswith('l') else '>'}{'=' if filter.modifier.endswith('e') else ''} {right}"
        case "prefix":
            return f"{left} ^@ {right}"
        case "like":
            return f"{left} like {right}"
        case "notlike":
            return f"{left} not like {right}"
    raise ValueError(f"{filter.modifier} is not a modifier of a filter")


COLUMNS = {"id": "l.id", "kind": "l.kind", "name": "l.name", "accountId": "l.account", "state": "l.state", "uuid": "t.uuid"}
"""What has a column of its own, and an index on it."""


def _value(field: Field, statement: Statement) -> str:
    """The field's value. Rows may hold what agents sent: what is not of the field's type counts as null."""
    if field.name in COLUMNS:
        return COLUMNS[field.name]
    text = f"t.row ->> {statement.add(field.name)}"
    match _sql_type(field):
        case "bigint":
            number = f"case when {text} ~ '^-?[0-9]{{1,18}}$' then ({text})::bigint end"
            return f"({number}{' - t.claimed' if field.name == 'computeFree' else ''})"
        case "boolean":
            return f"(case {text} when 'true' then true when 'false' then false end)"
        case _ if field.type == "date":
            return f"left({text}, {SECONDS})"
    return f"({text})"


SECONDS = len("2026-01-31T10:00:00")
"""Dates are shown, and so compared, to the second; text in ISO 8601 and UTC sorts as the time does."""


def _sql_type(field: Field) -> str:
    if field.reference or field.type == "int":
        return "bigint"
    return "boolean" if field.type == "boolean" else "text"
