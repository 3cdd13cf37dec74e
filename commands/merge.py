"""The merge syntax of replies and of events' changes (agent-protocol: "Merge syntax").

A plain key replaces, a key with + merges deeply: {a: 1} with {"+data": ...}. A column `data` holds the row's free map,
and data.fields its fields that have no column.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def merged(into: Json, changes: Json) -> Json:
    """`into` with `changes` applied; neither is touched. {"data": {"a": 1}} + {"+data": {"b": 2}} -> {"data": {"a": 1, "b": 2}}."""
    result = dict(into)
    for key, value in changes.items():
        if key.startswith("+") and isinstance(value, dict):
            present = result.get(key[1:])
            result[key[1:]] = merged(present if isinstance(present, dict) else {}, value)
        else:
            result[key] = plain(value)
    return result


def plain(value: Any) -> Any:
    """The value without + keys: what a merge into nothing gives."""
    if isinstance(value, dict) and any(isinstance(key, str) and key.startswith("+") for key in value):
        return merged({}, value)
    return value


def composed(first: Json, second: Json) -> Json:
    """One change that does what `first` and then `second` do: merged(x, composed(a, b)) == merged(merged(x, a), b)."""
    result = dict(first)
    for key, value in second.items():
        if key.startswith("+") and isinstance(value, dict):
            name = key[1:]
            if name in result:
                present = result[name]
                result[name] = merged(present if isinstance(present, dict) else {}, value)
            elif key in result:
                result[key] = composed(result[key], value)
            else:
                result[key] = value
        else:
            result.pop(f"+{key}", None)
            result[key] = value
    return result
