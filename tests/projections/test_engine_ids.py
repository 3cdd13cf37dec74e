"""Instances are found by what their container engine's id begins with, over an index."""

from __future__ import annotations

from commands.resource import Resource
from projections.rows import COLUMNS as WRITTEN
from projections.rows import ENGINE_LETTERS, Seen, engine_id, refers_to_engine, to_record


def instance(engine: object) -> Resource:
    row = {"state": "running", "accountId": 1, "data": {"dockerContainer": engine}}
    return Resource("instance", 7, 1, 1, row, {}, "instance-7")


def refs(resource: Resource) -> list[str]:
    return list(to_record(Seen(resource))[WRITTEN.index("refs")])


def test_what_its_engine_calls_an_instance_stands_among_its_refs_by_its_first_letters() -> None:
    found = instance({"Id": "abcdef"})
    assert engine_id(found) == "abcdef"
    assert refers_to_engine("abcd") == refers_to_engine("abcdef" * 10)
    assert refers_to_engine("abcd") in refs(found)
    assert ENGINE_LETTERS == 4


def test_what_has_no_engine_s_id_has_no_such_entry() -> None:
    for engine in (None, {}, {"Id": 5}, "abcdef"):
        assert engine_id(instance(engine)) is None
        assert refs(instance(engine)) == refs(instance(None))
