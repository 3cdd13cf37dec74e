"""Failpoints are named by what is done, and cover what an engine's library gives back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.process import failpoints


class Domain:
    """As a library has it."""

    name = "web"

    def create(self) -> int:
        return 0


class Connection:
    def domains(self) -> list[Domain]:
        return [Domain()]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm()


def test_without_a_point_nothing_stands_between_a_driver_and_its_engine() -> None:
    connection = Connection()
    assert failpoints.watched(connection) is connection


def test_each_call_is_a_point_before_and_one_after_of_what_the_library_returns_too(tmp_path: Path) -> None:
    told = tmp_path / "told"
    failpoints.arm(told=str(told))
    with failpoints.doing("compute.instance.activate"):
        [domain] = failpoints.watched(Connection()).domains()
        assert (domain.name, domain.create(), domain.create()) == ("web", 0, 0)
    failpoints.reach("before", "answer", ["compute.instance.activate", "compute.instance.remove", "compute.instance.remove"])
    assert told.read_text().splitlines() == [
        "compute.instance.activate before domains#1", "compute.instance.activate after domains#1",
        "compute.instance.activate before create#1", "compute.instance.activate after create#1",
        "compute.instance.activate before create#2", "compute.instance.activate after create#2",
        "compute.instance.activate before answer#1", "compute.instance.remove before answer#1",
    ]  # fmt: skip
