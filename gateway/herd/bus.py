"""The herd over NATS: SUBJECT takes what POST / takes, and each container's own subject what is said about one.

An answer is one message, the document that HTTP would have had, however long it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from agents.live import Json
from gateway.herd.herd import OF_ONE, Herd
from gateway.request import ApiRequest

SUBJECT = "corral.herd"


def said_by(subject: str) -> Json | None:
    """What a subject says of the request: the action and the container of corral.instance.<ref>.stop-container. None: it is none of the
    herd's."""
    if subject == SUBJECT:
        return {}
    *_, ref, verb = subject.split(".")
    return {"action": verb.lower(), "id": ref} if verb.lower() in OF_ONE else None


async def answered(herd: Herd, request: ApiRequest, said: Mapping[str, object]) -> Json:
    """Raises Refused."""
    document = (await herd.answer(replace(request, items=[{**request.one(), **said}]))).document
    return dict(document)
