"""Bodies and parameters in every form that Cattle's clients, scripts and command lines send them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from eventstore.postgres import PostgresStore
from gateway import bodies
from gateway.bodies import LARGEST, fields_of, pairs_of
from tests.support.http import Api, serving
from tests.support.waiting import happens

Json = dict[str, Any]


def timed(act: Callable[[], Json]) -> tuple[Json, float]:
    begun = time.process_time()
    return act(), time.process_time() - begun


async def test_json_without_a_content_type(api: Api) -> None:
    response = await api.http.post("/v1/hosts", content=b'{"name": "h", "computeTotal": "5"}')
    assert (response.status_code, response.json()["name"], response.json()["computeTotal"]) == (201, "h", 5)


async def test_json_under_any_content_type(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        response = await api.http.post("/v1/hosts", content=b' {"name": "h"}', headers={"Content-Type": kind})
        assert (response.status_code, response.json()["name"]) == (201, "h"), kind


FORM = (("name", "a"), ("imageUuid", "sim:1"), ("commandArgs", "x"), ("commandArgs", "y"))


async def test_forms_multipart_forms_and_the_query(api: Api) -> None:
    for response in (
        await api.http.post("/v1/containers", data={"name": "a", "imageUuid": "sim:1", "commandArgs": ["x", "y"]}),
        await api.http.post("/v1/containers", files=[(name, (None, value)) for name, value in FORM]),
        await api.http.post("/v1/containers?name=a&imageUuid=sim:1&commandArgs=x&commandArgs=y"),
    ):
        assert response.status_code == 201, response.text
        assert (response.json()["name"], response.json()["commandArgs"]) == ("a", ["x", "y"])


async def test_files_in_a_form_are_left_out(api: Api) -> None:
    response = await api.http.post("/v1/hosts", data={"name": "h"}, files={"description": ("a.txt", b"content")})
    assert (response.json()["name"], response.json()["description"]) == ("h", None)


async def test_the_body_wins_over_parameters(api: Api) -> None:
    response = await api.http.post("/v1/hosts?name=parameter&description=d", json={"name": "body"})
    assert (response.json()["name"], response.json()["description"]) == ("body", "d")


async def test_a_scalar_for_an_array_is_an_array_of_one(api: Api) -> None:
    made = await api.post("/v1/containers", imageUuid="sim:1", commandArgs="one")
    assert made["commandArgs"] == ["one"]


async def test_an_array_creates_each_of_its_objects(api: Api) -> None:
    response = await api.http.post("/v1/hosts", json=[{"name": "a"}, {"name": "b"}])
    document = response.json()
    assert (response.status_code, document["type"], document["resourceType"]) == (201, "collection", "host")
    assert [each["name"] for each in document["data"]] == ["a", "b"]


async def test_what_is_no_json_object_is_400(api: Api, subtests: pytest.Subtests) -> None:
    for body in (b"{", b"name=x", b'"text"', b"5", b"null", b"[1]", b"[" * 100_000, b'{"name": NaN}', b"\xff\xfe{"):
        with subtests.test(repr(body[:20])):
            response = await api.http.post("/v1/hosts", content=body)
            assert (response.status_code, response.json()["code"]) == (400, "InvalidBodyContent")


async def test_what_is_json_but_no_object_is_no_form_either(api: Api, subtests: pytest.Subtests) -> None:
    for body in (b'"x"', b'"a=b"', b"5", b"-1.5", b" true\n", b"null", b"{", b"[1]"):
        with subtests.test(repr(body)):
            response = await api.http.post("/v1/containers", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
            assert (response.status_code, response.json()["code"]) == (400, "InvalidBodyContent")
    named = await api.http.post("/v1/hosts", content=b"name=5", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (named.status_code, named.json()["name"]) == (201, "5")


async def test_a_body_that_comes_too_slowly_is_refused_and_its_connection_closed(api: Api) -> None:
    with patch.object(bodies, "SECONDS", 0.3):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        writer.write(b"POST /v1/hosts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        async with asyncio.timeout(20):
            answer = (await reader.read()).decode()  # until the server hangs up
        writer.close()
    assert answer.startswith("HTTP/1.1 408 ")
    assert '"Request Timeout"' in answer
    assert "within 0.3 s" in answer


async def test_who_hangs_up_within_a_body_is_no_fault_of_the_servers(api: Api) -> None:
    with capture_logs() as lines:
        _, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
        writer.write(b"POST /v1/hosts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.2)  # or it would have hung up before it was heard
        writer.close()
        await happens(lambda: any(each.get("action") == "request" and each["path"] == "/v1/hosts" for each in lines))
    assert [each for each in lines if each.get("action") == "request-failed"] == []
    assert [each["status"] for each in lines if each.get("path") == "/v1/hosts"] == [400]


async def test_what_is_nested_too_deep_is_400(api: Api) -> None:
    for depth, status in ((90, 201), (102, 400), (980, 400)):
        deep = b'{"data": ' + b'{"a": ' * depth + b"1" + b"}" * depth + b"}"
        response = await api.http.post("/v1/physicalhosts", content=deep)
        assert response.status_code == status, depth
    wide = await api.post("/v1/physicalhosts", data={"many": [{} for _ in range(1000)]})
    assert len(wide["data"]["many"]) == 1000


async def test_forms_within_forms_too_deep_are_400(api: Api) -> None:
    deep = "".join(f"--x{n}\r\nContent-Type: multipart/mixed; boundary=x{n + 1}\r\n\r\n" for n in range(1200))
    response = await api.http.post("/v1/hosts", content=deep, headers={"Content-Type": "multipart/form-data; boundary=x0"})
    assert (response.status_code, response.json()["code"]) == (400, "InvalidBodyContent")


def test_a_body_full_of_one_name_costs_no_more_than_others() -> None:
    repeated = pairs_of("a=&" * (LARGEST // 3))
    fields, spent = timed(lambda: fields_of(repeated))
    _, others = timed(lambda: fields_of([(str(number), value) for number, (_, value) in enumerate(repeated)]))
    assert len(fields["a"]) == len(repeated)
    assert spent < 10 * others + 1  # copied for each value, it takes minutes


async def test_characters_that_cannot_be_kept_are_refused(api: Api, subtests: pytest.Subtests) -> None:
    for name in ("a\\u0000b", "\\ud800", "a\\udc00b"):
        for body in (f'{{"name": "{name}"}}', f'{{"data": {{"deep": ["{name}"]}}}}', f'{{"data": {{"{name}": 1}}}}'):
            with subtests.test(body):
                response = await api.http.post("/v1/hosts", content=body.encode())
                assert (response.status_code, response.json()["code"]) == (422, "InvalidCharacters"), response.text


async def test_unknown_fields_are_never_an_error(api: Api) -> None:
    made = await api.post("/v1/hosts", name="h", nothing={"like": "this"}, state="active", id="1h77", _cache=True, links={}, type="host")
    assert made["state"] == "registering"
    assert made["id"] != "1h77"
    assert "nothing" not in str(made)


async def test_huge_bodies_are_refused(api: Api) -> None:
    response = await api.http.post("/v1/hosts", content=b'{"name": "' + b"x" * 1024 * 1024 + b'"}')
    assert (response.status_code, response.json()["status"]) == (413, 413)
    response = await api.http.post("/v1/hosts", data={"name": "h"}, files={"file": ("a", b"x" * 101 * 1024)})
    assert response.status_code == 413


async def test_a_parameter_can_say_the_method(api: Api) -> None:
    response = await api.http.get("/v1/hosts?_method=POST&name=h")
    assert (response.status_code, response.json()["name"]) == (201, "h")
    response = await api.http.post(f"/v1/hosts/{response.json()['id']}?_method=DELETE")
    assert (response.status_code, response.json()["type"]) == (200, "host")
    assert (await api.http.get("/v1/hosts?_method=NONSENSE")).status_code == 405


WRONG: list[tuple[str, dict[str, object], str, str]] = [
    ("containers", {}, "MissingRequired", "imageUuid"),
    ("containers", {"imageUuid": "nothing:1"}, "InvalidReference", "imageUuid"),
    ("containers", {"imageUuid": "docker::::"}, "InvalidReference", "imageUuid"),
    ("containers", {"imageId": "1i99"}, "InvalidReference", "imageId"),
    ("containers", {"imageId": "99"}, "InvalidReference", "imageId"),
    ("containers", {"imageUuid": "sim:1", "ports": ["x"]}, "PortWrongFormat", "ports"),
    ("containers", {"imageUuid": "sim:1", "ports": ["80:"]}, "PortWrongFormat", "ports"),
    ("containers", {"imageUuid": "sim:1", "ports": ["0:80"]}, "PortInvalidPublicPort", "ports"),
    ("containers", {"imageUuid": "sim:1", "ports": ["1:70000"]}, "PortInvalidPrivatePort", "ports"),
    ("containers", {"imageUuid": "sim:1", "ports": ["80/icmp"]}, "PortInvalidProtocol", "ports"),
    ("containers", {"imageUuid": "sim:1", "ports": [None]}, "NotNullable", "ports"),
    ("containers", {"imageUuid": "sim:1", "networkIds": ["1n1"]}, "InvalidReference", "networkIds"),
    ("containers", {"imageUuid": "sim:1", "startOnCreate": "maybe"}, "InvalidFormat", "startOnCreate"),
    ("containers", {"imageUuid": "sim:1", "startOnCreate": None}, "NotNullable", "startOnCreate"),
    ("containers", {"imageUuid": "sim:1", "instanceTriggeredStop": "explode"}, "InvalidOption", "instanceTriggeredStop"),
    ("containers", {"imageUuid": "sim:1", "hostname": ""}, "MinLengthExceeded", "hostname"),
    ("containers", {"imageUuid": "sim:1", "name": "x" * 256}, "MaxLengthExceeded", "name"),
    ("containers", {"imageUuid": "sim:1", "environment": "text"}, "InvalidFormat", "environment"),
    ("containers", {"imageUuid": "sim:1", "name": {"a": 1}}, "InvalidFormat", "name"),
    ("containers", {"imageUuid": "sim:1", "compute": 1.5}, "InvalidFormat", "compute"),
    ("containers", {"imageUuid": "sim:1", "compute": 10**30}, "InvalidFormat", "compute"),
    ("hosts", {"agentId": "1a99"}, "InvalidReference", "agentId"),
]


async def test_what_is_wrong_is_named(api: Api, subtests: pytest.Subtests) -> None:
    for path, fields, code, field in WRONG:
        with subtests.test(str(fields)):
            response = await api.http.post(f"/v1/{path}", json=fields)
            error = response.json()
            assert (response.status_code, error["code"], error.get("fieldName")) == (422, code, field), error
            assert error["message"]


async def test_strings_become_what_the_field_is(api: Api) -> None:
    made = await api.post("/v1/virtualmachines", imageUuid="sim:1", memoryMb="64", startOnCreate="false", _format="table", _trim=True)
    assert (made["memoryMb"], made["startOnCreate"]) == (64, False)


async def test_two_agents_cannot_have_one_uri(api: Api) -> None:
    await api.post("/v1/agents", uri="sim://one")
    response = await api.http.post("/v1/agents", json={"uri": "sim://one"})
    assert (response.status_code, response.json()["code"], response.json()["fieldName"]) == (422, "NotUnique", "uri")
    made = await api.post("/v1/agents")
    assert made["uri"].startswith("ssh://root@")


async def test_what_cattle_passes_over_or_refuses_is_as_there(api: Api) -> None:
    """A used uuid breaks a constraint of the database there, which is a conflict; what can't be written or is not known is passed over."""
    first = await api.post("/v1/networks", uuid="mine", name="a")
    second = await api.http.post("/v1/networks", json={"uuid": "mine"})
    assert (second.status_code, second.json()["code"]) == (409, "Conflict")
    assert "'mine' is already that of network-" in second.json()["message"]
    same = await api.http.put(first["links"]["self"], json={"state": "active", "uuid": "other", "id": "1n7", "nothing": [1]})
    assert (same.status_code, same.json()["uuid"], same.json()["state"]) == (200, "mine", first["state"])
    await api.settled()
    listed = await api.get("/v1/networks", sort="nothing", order="up", limit="many", marker="m-1", nothing="x", name_nothing="x")
    assert [each["id"] for each in listed["data"]] == [first["id"]]
    assert (listed["sort"], listed["pagination"]["limit"]) == (None, 100)
    host = f"/v1/hosts/1h{await api.add('host', name='h')}"
    on_map = await api.http.post(f"{host}/instances", json={"name": "x"})
    assert (on_map.status_code, on_map.json()["code"]) == (405, "Method not allowed"), "there is no key to be set to the host"
    await api.settled()
    assert "createDefaults" in (shown := await api.get(f"{host}/instances"))
    assert shown["createDefaults"] == {}
    waiting = await api.http.get("/v1/subscribe")
    assert (waiting.status_code, "WebSocket" in waiting.json()["message"]) == (405, True)


CLAIMED = {"X-API-request-url": "https://cloud.example/base/v1/hosts", "X-API-client-ip": "10.1.2.3"}


async def test_what_a_client_says_of_its_address_counts_only_where_that_is_allowed(api: Api, store: PostgresStore, database: str) -> None:
    answer = await api.http.get("/v1/hosts", headers=CLAIMED)
    assert answer.headers["X-API-Schemas"] == f"{api.url}/v1/schemas"
    assert answer.headers["X-API-Client-IP"] == "127.0.0.1"
    assert answer.json()["links"]["self"] == f"{api.url}/v1/hosts"
    forwarded = await api.http.get("/v1/nothing", headers={"X-Forwarded-For": "1.1.1.1, 2.2.2.2"})
    assert (forwarded.status_code, forwarded.headers["X-API-Client-IP"]) == (404, "1.1.1.1, 2.2.2.2")

    async with serving(store, database, settings={"api.allow.client.override": True}) as allowing:
        answer = await allowing.http.get("/v1/hosts", headers=CLAIMED)
        assert answer.headers["X-API-Schemas"] == "https://cloud.example/base/v1/schemas"
        assert answer.headers["X-API-Client-IP"] == "10.1.2.3"
        assert answer.json()["links"]["self"] == "https://cloud.example/base/v1/hosts"
        plain = await allowing.http.get("/v1/hosts")
        assert plain.headers["X-API-Schemas"] == f"{allowing.url}/v1/schemas"


async def test_a_client_that_hangs_up_harms_nobody(api: Api) -> None:
    port = int(api.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/hosts HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    assert (await api.get("/v1"))["id"] == "v1"
