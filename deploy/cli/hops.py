"""corral trace: one request's events as the hops it took, with times. Pure.

    gateway    the request, as the write side accepted it
    eventstore what that put into the log
    engine     a turn, and what it appended
    wire       a command to an agent, and the subject it goes by
    agent      its answer, or an external handler's
    commands   where a process ended
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from agents.wire import command_subject, handler_subject
from commands import events
from deploy.cli.telling import Teller, span
from eventstore import Recorded


@dataclass(frozen=True, slots=True)
class Hop:
    """One line of a trace. `ms`: since the request's first event."""

    ms: float
    hop: str
    what: str
    positions: tuple[int, int]
    stream: str = ""


def appends(heard: Sequence[Recorded]) -> list[list[Recorded]]:
    """Events grouped as they were appended: neighbours in the log with the same time, less what an agent's answer sets apart."""
    groups: list[list[Recorded]] = []
    for _, same_time in groupby(heard, key=lambda event: event.at):
        group: list[Recorded] = []
        for event in same_time:
            if group and event.position != group[-1].position + 1:
                groups.append(group)
                group = []
            group.append(event)
        groups.append(group)
    return groups


def hops(heard: Sequence[Recorded], teller: Teller) -> list[Hop]:
    """`heard`: a request's events, by position."""
    found: list[Hop] = []
    if not heard:
        return found
    first = heard[0]
    for number, group in enumerate(appends(heard)):
        ms = (group[0].at - first.at).total_seconds() * 1000
        span_of = (group[0].position, group[-1].position)
        for event in group:
            teller.hear(event)
        found += [
            Hop(ms, "agent", teller.tell(event), (event.position, event.position), event.stream)
            for event in group
            if event.type in (events.STEP_SUCCEEDED, events.STEP_FAILED)
        ]
        if number == 0:
            found.append(Hop(ms, "gateway", _request(group, teller), span_of, first.stream))
            found.append(Hop(ms, "eventstore", _appended(group), span_of))
        else:
            found.append(Hop(ms, "engine", f"took a turn: {_appended(group)}", span_of))
        for event in group:
            place = (event.position, event.position)
            if event.type == events.STEP_REQUESTED:
                asked, command = event.data.get("agent"), event.data["command"]
                subject = command_subject(asked, command) if asked else handler_subject(command)
                found.append(Hop(ms, "wire", subject, place, event.stream))
            elif event.type in (events.PROCESS_SUCCEEDED, events.PROCESS_FAILED, events.PROCESS_PARKED, events.PROCESS_CANCELLED):
                found.append(Hop(ms, "commands", teller.tell(event), place, event.stream))
    return found


def total(heard: Sequence[Recorded]) -> str:
    return span(heard[-1], heard[0]) if heard else ""


def _request(group: Sequence[Recorded], teller: Teller) -> str:
    begun = next((event for event in group if event.type == events.PROCESS_STARTED), group[0])
    told = next((event for event in group if event.type == events.CREATED and event.stream == begun.stream), begun)
    subject = "" if told.type == events.CREATED else f"{teller.named(told.stream)}: "
    return f"accepted: {subject}{teller.tell(told)}"


def _appended(group: Sequence[Recorded]) -> str:
    streams = list(dict.fromkeys(event.stream for event in group))
    shown = ", ".join(streams[:4]) + (f" and {len(streams) - 4} more" if len(streams) > 4 else "")
    return f"{len(group)} event{'s' if len(group) > 1 else ''} appended to {shown}"
