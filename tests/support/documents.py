"""Documents of a running server, over HTTP: made, and waited for."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.waiting import until

Json = dict[str, Any]


def made(http: httpx.Client, plural: str, **fields: Any) -> Json:
    """What was asked for, as it is then. `plural`: from where the client's own URL ends."""
    answer = http.post(f"/{plural}", json=fields)
    assert answer.status_code == 201, answer.text
    document: Json = answer.json()
    return document


def state(http: httpx.Client, document: Json, *states: str) -> Json:
    """It once it is in one of these states; fails at once with what went wrong, and at last with what it waits for."""
    def look() -> Json:
        seen: Json = http.get(document["links"]["self"]).json()
        return seen

    def right(seen: Json) -> bool:
        assert seen["transitioning"] != "error" or "error" in states, seen["transitioningMessage"]
        return seen["state"] in states

    try:
        return until(look, right)
    except AssertionError as error:
        why = http.get(f"{document['links']['self']}/why").text
        raise AssertionError(f"{document['type']} {document.get('name')} did not become {' or '.join(states)}: {why}") from error
