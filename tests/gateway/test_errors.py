"""What can be refused, and with which status: one table, which tells all that the code raises, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import CODES, status_and_code
from projections.errors import TooSlow, ViewsUnavailable
from tests.support.http import Api

ROOT = Path(__file__).parents[2]

RAISED = re.compile(r'(?:Refused|super\(\)\.__init__)\(\s*"([A-Z][A-Za-z ]+)"')
ANSWERED = re.compile(r'return [0-9]{3}, "([A-Z][A-Za-z ]+)"')


def codes_in_the_code() -> set[str]:
    found: set[str] = set()
    for folder in ("commands", "gateway"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            found |= {*RAISED.findall(text), *ANSWERED.findall(text)}
    return found


def test_the_table_holds_all_that_is_raised_and_nothing_else() -> None:
    assert codes_in_the_code() - {"Internal Server Error"} == set(CODES)
    for error in (TooSlow("slow"), ViewsUnavailable("away")):
        status, code = status_and_code(error)
        assert CODES[code][0] == status


PLAIN = {"imageUuid": "sim:1"}

REFUSALS: list[tuple[str, str, dict[str, Any], str, str | None]] = [
    ("POST", "/v1/hosts", {"content": b"{"}, "InvalidBodyContent", None),
    ("POST", "/v1/hosts", {"content": b"[1, 2]"}, "InvalidBodyContent", None),
    ("PUT", "/v1/accounts/1a1", {"json": [{"name": "x"}]}, "InvalidBodyContent", None),
    ("POST", "/v1/hosts", {"content": b'{"name": "' + b"x" * 2**20 + b'"}'}, "Request Entity Too Large", None),
    ("GET", "/v1/nothing", {}, "Not Found", None),
    ("GET", "/v1/hosts/1h999", {}, "Not Found", None),
    ("GET", "/v1/hosts/999", {}, "Not Found", None),
    ("GET", "/v1/hosts/%00", {}, "Not Found", None),
    ("GET", "/v1/accounts/1a1/nothing", {}, "Not Found", None),
    ("GET", "/v1/accounts/1a1/credentials/1c1/account", {}, "Not Found", None),
    ("GET", "/v2/hosts", {}, "UnsupportedVersion", None),
    ("DELETE", "/v1/hosts", {}, "Method not allowed", None),
    ("PATCH", "/v1/accounts/1a1", {}, "Method not allowed", None),
    ("POST", "/v1", {}, "Method not allowed", None),
    ("POST", "/v1/accounts/1a1?action=fly", {}, "InvalidAction", None),
    ("POST", "/v1/accounts?action=activate", {}, "InvalidAction", None),
    ("POST", "/v1/accounts/1a1?action=activate", {}, "ActionNotAvailable", None),
    ("POST", "/v1/accounts/1a999?action=activate", {}, "Not Found", None),
    ("DELETE", "/v1/accounts/1a1", {}, "Conflict", None),
    ("POST", "/v1/hosts", {"json": {"uuid": "taken"}}, "Conflict", None),
    ("POST", "/v1/containers", {"json": {}}, "MissingRequired", "imageUuid"),
    ("POST", "/v1/hosts", {"json": []}, "MissingRequired", None),
    ("POST", "/v1/containers", {"json": {**PLAIN, "count": 100_000}}, "MaxLimitExceeded", "count"),
    ("POST", "/v1/containers", {"json": {**PLAIN, "ports": ["x"]}}, "PortWrongFormat", "ports"),
    ("POST", "/v1/containers", {"json": {**PLAIN, "ports": ["0:80"]}}, "PortInvalidPublicPort", "ports"),
    ("POST", "/v1/containers", {"json": {**PLAIN, "ports": ["70000"]}}, "PortInvalidPrivatePort", "ports"),
    ("POST", "/v1/containers", {"json": {**PLAIN, "ports": ["80/icmp"]}}, "PortInvalidProtocol", "ports"),
    ("POST", "/v1/virtualmachines", {"json": {"imageId": "1i1"}}, "InvalidImageInstanceKind", "imageUuid"),
    (
        "POST", "/v1/containers", {"json": {**PLAIN, "networkIds": ["1n1"], "subnetIds": ["1s1"]}},
        "NetworkIdsSubnetIdsMutuallyExclusive", "networkIds",
    ),
    ("GET", "/v1/hosts?min_position=soon", {}, "InvalidFormat", "min_position"),
    ("POST", "/v1/hosts", {"json": {}, "headers": {"Idempotency-Key": "x" * 256}}, "InvalidIdempotencyKey", None),
    ("POST", "/v1/hosts", {"json": {"name": "other"}, "headers": {"Idempotency-Key": "used"}}, "IdempotencyKeyReused", None),
]  # fmt: skip


async def test_each_refusal_has_its_status_and_says_why(api: Api, subtests: pytest.Subtests) -> None:
    assert await api.add("image", name="of containers", instanceKind="container") == 1
    assert await api.add("network", name="n") == 1
    assert await api.add("subnet", name="s", networkId=1, networkAddress="10.9.0.0", cidrSize=24) == 1
    await api.post("/v1/hosts", uuid="taken")
    await api.http.post("/v1/hosts", json={"name": "first"}, headers={"Idempotency-Key": "used"})
    await api.settled()
    for method, path, given, code, field in REFUSALS:
        with subtests.test(f"{method} {path} {code}"):
            response = await api.http.request(method, path, **given)
            error = response.json()
            assert (response.status_code, error["code"]) == (CODES[code][0], code), response.text[:300]
            assert (error["status"], error["type"], error.get("fieldName")) == (response.status_code, "error", field)
            assert error["message"], "a refusal says why"
            assert error["detail"] is None
            assert response.headers["X-API-Schemas"] == f"{api.url}/v1/schemas"


async def test_what_no_route_has_is_a_document_too(api: Api) -> None:
    for path in ("/v1/configcontent/a%0Ab", "/%0A", "/v1/networks/1n1%0D%0A/x", "/static/corral/none.js"):
        for method in ("GET", "PUT"):
            answer = await api.http.request(method, path)
            assert answer.status_code in (404, 405), path
            if answer.status_code == 404:
                assert (answer.json()["type"], answer.json()["code"]) == ("error", "Not Found"), path
                assert answer.headers["X-API-Schemas"]
