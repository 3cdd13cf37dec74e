"""Joining with a registration token, against a small server that answers as Corral does; the real one is met in tests/flows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.joining.by_token import KEY, KEYS, Member, invitation, join, joined, place_of
from agents.joining.credentials import Credentials
from agents.joining.registration import RegistrationRefused, ServerAway
from tests.agents.joining.test_registration import Cloud, serving

TOKEN = Credentials("registrationToken", "a:1:b")


class Registry(Cloud):
    """Registers by key. `ready`: how often a registration is looked at until it has keys."""

    def __init__(self) -> None:
        super().__init__("nats://10.0.0.1:4222")
        self.rows: dict[str, dict[str, Any]] = {}
        self.ready = 2
        self.lost = 0

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, Any]:
        if path != "/v1/register":
            return super().answer(method, path, query, body)
        if refused := self.refuse(f"{method} {path}"):
            return refused
        if method == "GET":
            row = self.rows.get(query["key"][0])
            return 200, {"data": [self._looked_at(row)] if row else []}
        if body["key"] in self.rows:
            return 409, {"type": "error", "code": "Conflict"}
        self.rows[body["key"]] = {"key": body["key"], "state": "registering", "data": {"agentId": 7}}
        if self.lost:
            self.lost -= 1
            return 503, {"type": "error", "code": "Service Unavailable"}
        return 201, {}

    def _looked_at(self, row: dict[str, Any]) -> dict[str, Any]:
        self.ready -= 1
        if self.ready <= 0:
            row |= {"state": "active", "accessKey": "ACCESS", "secretKey": "SECRET"}
        return row


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving(Registry()) as cloud:
        assert isinstance(cloud, Registry)
        yield cloud


def test_a_machine_that_joins_keeps_its_number_and_keys(registry: Registry, tmp_path: Path) -> None:
    member = join(registry.url, tmp_path, TOKEN)
    assert member == Member(7, Credentials("ACCESS", "SECRET"))
    assert joined(tmp_path) == member
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in (KEY, KEYS)} == {0o600}
    assert {sent for _, sent in registry.seen} == {TOKEN.header}
    place = place_of(registry.url, member, created=True)
    assert (place.number, place.nats) == (7, "nats://10.0.0.1:4222")
    assert registry.seen[-1] == ("GET /corral/info", member.keys.header)


def test_a_registration_whose_answer_was_lost_is_found_again(registry: Registry, tmp_path: Path) -> None:
    registry.lost = 1
    with pytest.raises(ServerAway):
        join(registry.url, tmp_path, TOKEN)
    assert joined(tmp_path) is None
    assert join(registry.url, tmp_path, TOKEN).number == 7
    assert len(registry.rows) == 1


def test_a_token_that_is_not_in_force_is_refused_with_what_to_do(registry: Registry, tmp_path: Path) -> None:
    registry.refuse = lambda request: (401, {"code": "Unauthorized"})
    with pytest.raises(RegistrationRefused, match="a registration token that is in force"):
        join(registry.url, tmp_path, TOKEN)


def test_keys_that_were_taken_back_are_told_with_what_to_do(registry: Registry) -> None:
    registry.refuse = lambda request: (401, {"code": "Unauthorized"})
    with pytest.raises(RegistrationRefused, match=r"its agent was deactivated or removed.*or join anew with another --home"):
        place_of(registry.url, Member(7, Credentials("ACCESS", "SECRET")), created=False)


def test_keys_that_can_not_be_read_are_told_with_their_file(tmp_path: Path) -> None:
    assert joined(tmp_path) is None
    (tmp_path / KEYS).write_text("{")
    with pytest.raises(RegistrationRefused, match=r"keys\.json can't be read: remove it"):
        joined(tmp_path)


def test_the_address_of_a_tokens_script_names_the_server_and_the_token() -> None:
    base, token = invitation("https://corral.example:8443/v1/scripts/A:1:b-c")
    assert (base, token) == ("https://corral.example:8443", Credentials("registrationToken", "A:1:b-c"))
    for wrong in ("http://server:8080", "http://server/v1/scripts/bootstrap", "ftp://server/v1/scripts/A:1:b", "A:1:b"):
        with pytest.raises(RegistrationRefused, match="is no address to join by"):
            invitation(wrong)
