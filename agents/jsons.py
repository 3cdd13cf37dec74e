"""JSON between values and bytes: with orjson where it is, else with Python's own, so that an agent needs nothing compiled."""

from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:  # an agent in one file

    def dumps(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

    def loads(payload: bytes) -> Any:
        """Raises ValueError."""
        return json.loads(payload, parse_constant=_refused)

    def _refused(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

else:

    def dumps(value: Any) -> bytes:
        return orjson.dumps(value)

    def loads(payload: bytes) -> Any:
        """Raises ValueError."""
        return orjson.loads(payload)
