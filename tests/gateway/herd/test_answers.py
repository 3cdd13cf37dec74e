"""What the herd is answered, and where its containers go: pure."""

from __future__ import annotations

from collections import Counter

import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.errors import Refused
from commands.resource import Resource
from gateway.herd import answers, hosts
from projections.rows import Seen


def host(number: int, claimed: int = 0, **fields: object) -> Seen:
    row = {"name": f"h{number}", "state": "active", "kind": "docker", **fields}
    return Seen(Resource("host", number, 1, 1, row, {}, f"host-{number}"), claimed)


@pytest.mark.parametrize(("count", "on"), [(1, 3), (2, 3), (3, 3), (7, 3), (100, 7), (5, 1)])
def test_containers_are_spread_evenly(count: int, on: int) -> None:
    counts = Counter(each.id for each in hosts.spread([host(number, claimed=number) for number in range(1, on + 1)], count))
    assert counts.total() == count
    assert max(counts.values()) - min(counts[number] for number in range(1, on + 1)) <= 1


def test_who_carries_least_is_first() -> None:
    assert [each.id for each in hosts.spread([host(1, 2), host(2, 0), host(3, 1), host(4, 1)], 4)] == [2, 3, 4, 1]


def test_a_full_host_gets_nothing() -> None:
    assert [each.id for each in hosts.spread([host(1, 8, computeFree=8), host(2, 99)], 2)] == [2, 2]
    with pytest.raises(Refused, match="all of them are full"):
        hosts.spread([host(1, 8, computeFree=8)], 1)
    with pytest.raises(Refused, match="none is active"):
        hosts.spread([], 1)


def test_a_host_without_a_name_is_told_by_its_id() -> None:
    assert hosts.name_of(CATALOGUE, host(1).resource) == "h1"
    assert hosts.name_of(CATALOGUE, host(7, name=None).resource) == "1h7"


@pytest.mark.parametrize(("why", "status", "message"), [
    ("Docker says: No such image: x:latest (status 404)", 404, "No such image: x:latest"),
    ("Docker could not pull x: Docker says: denied\nfor x (status 403). If it is private, its registry ...", 403, "denied\nfor x"),
    ("Failed to find a placement : host 1h1: full", 409, "Failed to find a placement : host 1h1: full"),
    ("compute.instance.activate failed", 500, "compute.instance.activate failed"),
])  # fmt: skip
def test_what_an_engine_refused_has_its_own_status_and_words(why: str, status: int, message: str) -> None:
    assert answers.refused("h1", why) == {"Response": {"Body": {"message": message}}, "dockerInstance": "h1", "statusCode": status}


def test_answers_have_the_engine_s_form() -> None:
    assert answers.created("h1", "abc") == {
        "Response": {"Body": {"Id": "abc", "Warnings": None}}, "dockerInstance": "h1", "statusCode": 201,
    }  # fmt: skip
    assert answers.done("h1") == {"Response": "", "dockerInstance": "h1", "statusCode": 204}
