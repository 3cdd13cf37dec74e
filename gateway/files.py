"""An answer that is no JSON document: what is read as it is, or kept as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    media: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def attachment(content: bytes, name: str) -> File:
    """For browsers to keep under this name."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return File(content, "application/octet-stream", {"Content-Disposition": f"attachment; filename={safe}"})
