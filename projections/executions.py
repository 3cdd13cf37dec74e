"""How a process went, folded from its stream: the executions that Cattle logs of it, with their transitions and handlers. Pure.

    begun -> asked, answered ... -> done
               |        `-> delegated: the next execution, as another process
               `-> parked: this execution ended without an end; resumed or answered: the next one
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from commands import events
from commands.resource import split_stream
from eventstore import Recorded
from projections.processes import pid_of

Json = dict[str, Any]

DELEGATE, TIMEOUT, DONE, CHAIN, CANCELED, FAILED = "DELEGATE", "TIMEOUT", "DONE", "CHAIN", "CANCELED", "UNKNOWN_EXCEPTION"
"""Cattle's exit reasons."""


def executions(pid: str, stream: Iterable[Recorded]) -> Json:
    """{uuid, executions: [...]} of the process; `stream`: its resource's events, at least from its first on. Times are in ms."""
    log = _Log(pid)
    for event in stream:
        if pid_of(event) == pid:
            log.take(event)
    return {"uuid": pid, "executions": log.executions}


class _Log:
    """The fold's state."""

    def __init__(self, pid: str) -> None:
        self._pid = pid
        self.executions: list[Json] = []
        self._asked: dict[str, Json] = {}
        self._process, self._state = "", ""

    def take(self, event: Recorded) -> None:
        data = event.data
        match event.type:
            case events.TRANSITIONED:
                self._begin(event, data["process"])
                self._state = data["from"]
                for state in data["via"]:
                    self._move(event, state, "transitioning")
                self._move(event, data["to"], "done")
                self._end(event, DONE)
            case events.PROCESS_STARTED:
                self._end(event, DELEGATE)
                self._begin(event, data["process"])
                self._state = data["from"]
                self._move(event, data["via"], "transitioning")
            case events.STEP_REQUESTED:
                self._ask(event)
            case events.STEP_SUCCEEDED:
                self._answer(event, {"resultData": data.get("changes"), "shouldContinue": bool(data.get("passes"))})
            case events.STEP_FAILED:
                self._answer(event, {"exception": {"message": data["error"]}})
            case events.PROCESS_PARKED:
                self._end(event, TIMEOUT, data["reason"])
            case events.PROCESS_RESUMED | events.PROCESS_RETRIED:
                self._go_on(event)
            case events.PROCESS_SUCCEEDED:
                if data.get("to"):
                    self._move(event, data["to"], "done")
                self._end(event, DONE if data.get("to") else CHAIN)
            case events.PROCESS_FAILED:
                self._end(event, FAILED, data["error"])
            case events.PROCESS_CANCELLED:
                self._end(event, CANCELED, data["reason"])

    def _begin(self, event: Recorded, process: str) -> None:
        kind, number = split_stream(event.stream)
        self._process = process
        self.executions.append(
            {
                "id": event.id, "processName": process, "processId": self._pid, "resourceType": kind, "resourceId": str(number),
                "startTime": _ms(event.at), "stopTime": None, "transitions": [], "processHandlerExecutions": [], "exitReason": None,
                "exception": None,
            }
        )  # fmt: skip

    def _go_on(self, event: Recorded) -> None:
        if self.executions and self.executions[-1]["stopTime"] is not None:
            self._begin(event, self._process)

    def _end(self, event: Recorded, reason: str, message: str | None = None) -> None:
        """What is over already stays as it is; a process that ends while it is parked says so in an execution of its own."""
        if not self.executions:
            return
        if reason not in (DELEGATE, TIMEOUT):
            self._go_on(event)
        if self.executions[-1]["stopTime"] is None:
            self.executions[-1] |= {"stopTime": _ms(event.at), "exitReason": reason, "exception": message and {"message": message}}

    def _move(self, event: Recorded, new: str, kind: str) -> None:
        move = {"oldState": self._state, "newState": new, "newProcessState": kind, "time": _ms(event.at)}
        self._state = new
        if self.executions:
            self._go_on(event)
            self.executions[-1]["transitions"].append(move)

    def _ask(self, event: Recorded) -> None:
        if not self.executions:
            return
        self._go_on(event)
        asked = {
            "name": event.data["command"], "startTime": _ms(event.at), "stopTime": None, "resultData": None, "shouldContinue": None,
            "exception": None,
        }  # fmt: skip
        self._asked[event.data["id"]] = asked
        self.executions[-1]["processHandlerExecutions"].append(asked)

    def _answer(self, event: Recorded, told: Json) -> None:
        self._go_on(event)
        if (asked := self._asked.get(event.data["id"])) is not None:
            asked |= {"stopTime": _ms(event.at), **told}


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
