"""A request's ids: its correlation id and its trace, from the headers to the events, and how both find them again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.http import Api

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
BODY = {"imageUuid": "sim:traced"}


async def created(api: Api, **headers: str) -> tuple[str, list[dict[str, Any]]]:
    """-> traceresponse, and the metadata of the request's events."""
    answer = await api.http.post("/v1/containers", json=BODY, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 201, answer.text
    events = (await api.http.get("/v1/events", params={"correlation": answer.headers["X-Correlation-Id"]})).json()["data"]
    assert events
    return answer.headers["traceresponse"], [each["metadata"] for each in events]


async def test_a_trace_is_kept_with_a_span_of_our_own_and_its_state_as_it_came(api: Api) -> None:
    told, kept = await created(api, traceparent=PARENT, tracestate="rojo=1,congo=2", x_correlation_id="mine-1")
    assert re.fullmatch(rf"00-{TRACE_ID}-[0-9a-f]{{16}}-01", told)
    assert told != PARENT
    assert {(each["correlation"], each["traceparent"], each["tracestate"]) for each in kept} == {("mine-1", told, "rojo=1,congo=2")}


async def test_a_trace_finds_the_events_of_all_its_requests(api: Api) -> None:
    for number in (1, 2):
        await created(api, traceparent=PARENT, x_correlation_id=f"of-it-{number}")
    await created(api, x_correlation_id="another")
    found = (await api.http.get("/v1/events", params={"correlation": TRACE_ID})).json()["data"]
    assert {each["metadata"]["correlation"] for each in found} == {"of-it-1", "of-it-2"}
    assert [each["position"] for each in found] == sorted({each["position"] for each in found})


@pytest.mark.parametrize("malformed", ["", "nonsense", f"ff{PARENT[2:]}", f"00-{'0' * 32}-{SPAN_ID}-01", f"{PARENT}-more"])
async def test_a_malformed_one_is_as_none(api: Api, malformed: str) -> None:
    told, kept = await created(api, traceparent=malformed, tracestate="rojo=1")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", told)
    assert told[3:35] == kept[0]["correlation"], "a trace of its own, by the name of the request"
    assert all("tracestate" not in each for each in kept)


async def test_a_request_with_an_id_that_is_no_traces_gets_a_trace_beside_it(api: Api) -> None:
    told, kept = await created(api, x_correlation_id="mine-2")
    assert {each["traceparent"] for each in kept} == {told}
    found = (await api.http.get("/v1/events", params={"correlation": told[3:35]})).json()["data"]
    assert len(found) == len(kept)


async def test_two_traceparents_are_none_and_two_states_are_one(api: Api) -> None:
    headers = [("traceparent", PARENT), ("traceparent", PARENT)]
    answer = await api.http.get("/v1/containers", headers=headers)
    assert TRACE_ID not in answer.headers["traceresponse"]
    headers = [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2"), ("X-Correlation-Id", "st")]
    assert (await api.http.post("/v1/containers", json=BODY, headers=headers)).status_code == 201
    kept = (await api.http.get("/v1/events", params={"correlation": "st"})).json()["data"]
    assert {each["metadata"]["tracestate"] for each in kept} == {"a=1,b=2"}
