"""Much of a kind, quickly: the events of what was made for real, appended again under other numbers and uuids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import orjson

from eventstore import Event, Recorded, Write

RESERVED = ("root", "claims", "releases")


class Copier:
    """Of streams of some types, and of what refers to them; all else that the events name is shared by the copies."""

    def __init__(self, *types: str) -> None:
        one = "|".join(types)
        self._changing = re.compile(
            rf'"(?P<type>{one})Id":(?P<id>\d+)'
            rf"|(?<![A-Za-z])(?P<of>{one})-(?P<number>\d+)(?!\d)"
            r"|(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-)[0-9a-f]{12}"
        )

    def copies(self, events: Iterable[Recorded], numbers: Mapping[str, range], number: int) -> list[Recorded]:
        """The events as those of others: the number-th copy. `numbers`: type -> new ids, one for each copy."""

        def changed(found: re.Match[str]) -> str:
            if kind := found["type"]:
                return f'"{kind}Id":{numbers[kind][number]}'
            if kind := found["of"]:
                return f"{kind}-{numbers[kind][number]}"
            return f"{found['uuid']}{number:012d}"

        result = []
        for event in events:
            text = self._changing.sub(changed, orjson.dumps([event.stream, event.data, event.metadata]).decode())
            stream, data, metadata = orjson.loads(text)
            result.append(replace(event, stream=stream, data=data, metadata=metadata))
        return result


def writes(copies: Iterable[Recorded]) -> list[Write]:
    """What appends them, each stream as a new one."""
    streams: dict[str, list[Event]] = {}
    roots = {}
    for each in copies:
        streams[each.stream] = streams.pop(each.stream, [])  # in the order of their last events: what is asked comes last, as it did
        about = {key: value for key, value in each.metadata.items() if key not in RESERVED}
        streams[each.stream].append(Event(each.type, each.data, about, each.claims, each.releases))
        roots[each.stream] = each.root
    return [Write(stream, 0, tuple(drafts), roots[stream]) for stream, drafts in streams.items()]
