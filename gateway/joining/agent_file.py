"""The agent as one file, for machines that have Python and nothing else: a zip that Python runs, of our package and the libraries it needs.

Only plain Python goes in, so that it is the same file for every machine; the same code gives the same bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = (
    "certifi", "charset-normalizer", "dnspython", "docker", "idna", "mako", "markupsafe", "nats-py", "pycdlib", "pyroute2", "requests",
    "structlog", "urllib3", "websockets",
)  # fmt: skip
"""Distributions, as they are installed here: what the agents import, and what that needs in turn. A test runs the file by itself."""

LEFT_OUT = ("crowd",)
"""Folders of our package that no machine needs: a thousand hosts are simulated where Corral is."""

NAME = "agent.pyz"

_STARTS = b"#!/usr/bin/env python3\n"
_TAKEN = (".py", ".pem", ".mako", "METADATA")
_MADE = (1980, 1, 1, 0, 0, 0)
"""The time of every file in it: zip's first."""


@dataclass(frozen=True, slots=True)
class AgentFile:
    content: bytes
    sha256: str


class AgentFiles:
    """Makes it when it is asked for first, in a thread."""

    def __init__(self) -> None:
        self._made: asyncio.Task[AgentFile] | None = None

    async def get(self) -> AgentFile:
        if self._made is None or (self._made.done() and (self._made.cancelled() or self._made.exception() is not None)):
            self._made = asyncio.create_task(asyncio.to_thread(agent_file), name="agent file")
        return await asyncio.shield(self._made)


def agent_file() -> AgentFile:
    """Packs some megabytes: for a thread."""
    packed = io.BytesIO(_STARTS)
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as zipped:
        for name, path in sorted(_members()):
            entry = zipfile.ZipInfo(name, _MADE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            zipped.writestr(entry, path.read_bytes())
    content = packed.getvalue()
    return AgentFile(content, hashlib.sha256(content).hexdigest())


def _members() -> Iterator[tuple[str, Path]]:
    package = find_spec("agents")
    if package is None or package.origin is None:
        raise AssertionError("the agents' package is part of every installation")
    folder = Path(package.origin).parent
    yield "__main__.py", folder / "unpack.py"
    for path in folder.rglob("*"):
        if _is_taken(path.name) and path.relative_to(folder).parts[0] not in LEFT_OUT:
            yield f"agents/{path.relative_to(folder)}", path
    for library in LIBRARIES:
        for each in files(library) or ():
            path = Path(str(each.locate()))
            licence = "licenses" in each.parts and path.is_file()
            if (_is_taken(each.name) or licence) and not each.parts[0].startswith(("..", "__editable__")):
                yield str(each), path


def _is_taken(name: str) -> bool:
    return name.endswith(_TAKEN)
