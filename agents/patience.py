"""What drivers do alike while their engine is away: a command waits for it a while, and a host is still the host that it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from agents.driver import DriverError, Json, Report
from agents.joining.files import keep
from agents.jsons import dumps, loads

log = structlog.get_logger("corral.agent")

PATIENCE = 10.0
"""Seconds that a command waits for an engine that is away, a restart of it say, before it fails."""
AGAIN_SECONDS = 0.5


async def patiently(
    attempt: Callable[[], Awaitable[Json]], away: type[DriverError], report: Report, engine: str, patience: float = PATIENCE
) -> Json:
    """What the attempt returns, which may be begun again: what an earlier one left, the next one finds. Raises `away` where the engine
    (`engine` in words) is that for too long."""
    now = asyncio.get_running_loop().time
    deadline: float | None = None
    while True:
        try:
            return await attempt()
        except away:
            deadline = now() + patience if deadline is None else deadline
            if now() >= deadline:
                raise
        report(f"Waiting for {engine}", None)
        await asyncio.sleep(AGAIN_SECONDS)


async def known_host(path: Path, look: Callable[[], Awaitable[Json]], away: type[DriverError]) -> Json:
    """What the look tells of the host; while the engine is away what it told last, kept at `path`. Raises `away` where it never told."""
    kept = _kept(path)
    try:
        told = await look()
    except away:
        if kept is None:
            raise
        return kept
    if told != kept:
        try:
            keep(path, dumps(told).decode())
        except OSError as error:  # a full disk: it is a host nevertheless
            log.warning("What the engine tells of its host can't be kept", action="host-not-kept", path=str(path), error=str(error))
    return told


def _kept(path: Path) -> Json | None:
    try:
        kept = loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and kept else None
