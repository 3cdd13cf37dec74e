"""Validation: in the API's order, with the API's codes, and what comes out has the field's type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.fields import Submission, changes_for, storable, validated
from commands.catalogue.model import Field, Methods, ResourceType
from commands.catalogue.ports import PortSpec, parse_port
from commands.errors import Refused
from commands.merge import merged


def type_with(*fields: Field) -> ResourceType:
    return ResourceType("thing", "things", "1t", {field.name: field for field in fields}, admin=Methods(("POST",), ("PUT",)))


def a(type: str, name: str = "f", **more: Any) -> Field:
    return Field(name, type, admin="rcu", **more)


async def one(field: Field, value: Any, **submission: Any) -> Any:
    return (await validated(type_with(field), {field.name: value}, Submission(**submission)))[field.name]


async def code(field: Field, value: Any, **submission: Any) -> str:
    with pytest.raises(Refused) as refused:
        await one(field, value, **submission)
    assert refused.value.field == field.name
    return refused.value.code


async def known(type: str, text: str) -> int | None:
    return {("host", "1h1"): 1, ("host", "1h2"): 2}.get((type, text))


async def taken(name: str, value: Any) -> bool:
    return bool(value == "taken")


@pytest.mark.parametrize(
    ("type", "given", "expected"),
    [
        ("int", "64", 64), ("int", 64.0, 64), ("int", -1, -1),
        ("boolean", "false", False), ("boolean", "True", True), ("boolean", True, True), ("boolean", 1, True),
        ("string", 5, "5"), ("string", True, "true"), ("string", "", ""), ("string", None, None),
        ("date", "", None), ("date", "2014-09-01T10:00:00Z", "2014-09-01T10:00:00.000Z"),
        ("date", 1409565600000, "2014-09-01T10:00:00.000Z"),
        ("date", "2014-09-01T12:00:00+02:00", "2014-09-01T10:00:00.000Z"),
        ("array[string]", "x", ["x"]), ("array[string]", ["x", 1], ["x", "1"]), ("array[int]", "5", [5]), ("array[string]", None, None),
        ("map[string]", {"a": 1}, {"a": "1"}), ("map[string]", "", None), ("map[json]", {"a": {"b": [1]}}, {"a": {"b": [1]}}),
        ("reference[host]", "1h1", 1), ("array[reference[host]]", ["1h1", "1h2"], [1, 2]), ("map[reference[host]]", {"a": "1h2"}, {"a": 2}),
        ("json", [1, {"a": None}], [1, {"a": None}]),
    ],
)  # fmt: skip
async def test_values_become_what_the_field_is(type: str, given: Any, expected: Any) -> None:
    assert await one(a(type), given, lookup=known) == expected


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        (a("int"), "x", "InvalidFormat"), (a("int"), True, "InvalidFormat"), (a("int"), 1.5, "InvalidFormat"),
        (a("int"), 2**64, "InvalidFormat"), (a("int"), float("inf"), "InvalidFormat"), (a("int"), [], "InvalidFormat"),
        (a("boolean"), "x", "InvalidFormat"), (a("boolean"), {}, "InvalidFormat"),
        (a("string"), {}, "InvalidFormat"), (a("string"), ["x"], "InvalidFormat"),
        (a("map[string]"), "x", "InvalidFormat"), (a("map[string]"), [1], "InvalidFormat"),
        (a("date"), "yesterday", "InvalidDateFormat"), (a("date"), True, "InvalidDateFormat"), (a("date"), 10**30, "InvalidDateFormat"),
        (a("reference[host]"), "1h9", "InvalidReference"), (a("reference[host]"), True, "InvalidReference"),
        (a("reference[network]"), "1n1", "InvalidReference"), (a("reference[host]"), {}, "InvalidReference"),
        (a("string", nullable=False), None, "NotNullable"), (a("array[string]"), ["x", None], "NotNullable"),
        (a("string", unique=True), "taken", "NotUnique"),
        (a("int", min=5), 4, "MinLimitExceeded"), (a("int", max=5), 6, "MaxLimitExceeded"),
        (a("array[int]", max=5), [1, 6], "MaxLimitExceeded"),
        (a("string", min_length=2), "x", "MinLengthExceeded"), (a("string", max_length=2), "xxx", "MaxLengthExceeded"),
        (a("map[json]", max_length=10), {"a": "xxxxxxxxxx"}, "MaxLengthExceeded"),
        (a("enum", options=("x", "y")), "z", "InvalidOption"), (a("string", valid_chars="abc"), "abd", "InvalidCharacters"),
        (a("array[string]", valid_chars="*0-9a-z"), ["a*9", "a-b"], "InvalidCharacters"),
        (a("string"), "a\0", "InvalidCharacters"), (a("json"), {"a": ["\ud800"]}, "InvalidCharacters"),
    ],
)  # fmt: skip
async def test_what_is_wrong_has_its_code(field: Field, given: Any, expected: str) -> None:
    assert await code(field, given, lookup=known, is_taken=taken) == expected


async def test_valid_characters_are_written_as_ranges() -> None:
    assert await one(a("array[string]", valid_chars="*._0-9a-zA-Z;="), ["*", "resource.change;x=Y_9"]) == ["*", "resource.change;x=Y_9"]


async def test_what_may_not_be_set_is_passed_over() -> None:
    thing = type_with(
        Field("read", "int", admin="r"), Field("once", "int", admin="rc"), Field("later", "int", admin="ru"),
        Field("id", "int", admin="rcu"),
    )  # fmt: skip
    everything = {"read": "wrong", "once": 1, "later": 2, "id": 3, "unknown": 4}
    assert await validated(thing, everything, Submission("create")) == {"once": 1, "id": 3}
    assert await validated(thing, everything, Submission("update")) == {"later": 2}
    assert await validated(thing, everything, Submission("create", lambda field: field.user)) == {}


async def test_defaults_and_required_fields_on_create_only() -> None:
    thing = type_with(a("int", "size", default=5), a("array[string]", "names", required=True))
    assert await validated(thing, {"names": ["x"]}, Submission("create")) == {"size": 5, "names": ["x"]}
    assert await validated(thing, {}, Submission("update")) == {}
    missing: list[dict[str, Any]] = [{}, {"names": []}, {"names": None}]
    for submitted in missing:
        with pytest.raises(Refused, match="MissingRequired"):
            await validated(thing, submitted, Submission("create"))


def test_columns_are_plain_and_the_rest_is_under_the_fields_of_data() -> None:
    container = CATALOGUE.type("container")
    changes = changes_for(container, {"name": "web", "command": "x", "data": {"mine": 1, "fields": {"command": "y", "other": 2}}})
    assert changes == {"name": "web", "+data": {"mine": 1, "+fields": {"command": "x", "other": 2}}}
    row = merged({"data": {"kept": 1, "fields": {"kept": 2}}}, changes)
    assert row == {"name": "web", "data": {"kept": 1, "mine": 1, "fields": {"kept": 2, "command": "x", "other": 2}}}
    assert changes_for(container, {"transitioning": "yes"}) == {}
    assert changes_for(container, {}) == {}


LEAVES = st.none() | st.booleans() | st.text(max_size=5)


@given(st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)))
def test_storable_is_what_can_be_encoded_without_nul(value: Any) -> None:
    def texts(each: Any) -> list[str]:
        match each:
            case str():
                return [each]
            case list():
                return [text for inner in each for text in texts(inner)]
            case dict():
                return [*each, *(text for inner in each.values() for text in texts(inner))]
        return []

    def kept(text: str) -> bool:
        try:
            return b"\0" not in text.encode()
        except UnicodeEncodeError:
            return False

    assert storable(value) == all(kept(text) for text in texts(value))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("80", PortSpec(None, 80)), ("8080:80", PortSpec(8080, 80)), ("53:53/udp", PortSpec(53, 53, "udp")), ("9:1/tcp", PortSpec(9, 1))],
)
def test_ports(text: str, expected: PortSpec) -> None:
    assert parse_port(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "MissingRequired"), ("", "PortWrongFormat"), ("x", "PortWrongFormat"), ("1:2:3", "PortWrongFormat"),
        (":80", "PortWrongFormat"),
        ("\u0661", "PortWrongFormat"), ("0:80", "PortInvalidPublicPort"), ("80:0", "PortInvalidPrivatePort"),
        ("65536", "PortInvalidPrivatePort"),
        ("9" * 5000, "PortInvalidPrivatePort"), ("80/", "PortInvalidProtocol"), ("80/TCP", "PortInvalidProtocol"),
    ],
)  # fmt: skip
def test_ports_that_are_none(text: str | None, expected: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_port(text)
    assert (refused.value.code, refused.value.field) == (expected, "ports")
