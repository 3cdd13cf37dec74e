"""What the engines of hosts have, containers or images, as they list it just now: a live question to each host's agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar

from agents.live import FAILED, Json, LiveError
from commands.errors import Refused
from commands.resource import Resource
from gateway.live.asking import Asker
from gateway.live.queries import frames

SECONDS = 15.0
"""For one host's answer."""
AT_ONCE = 20
"""Hosts that are asked at the same time for one request: less than one account may ask (asking.MOST_OF_ONE), which may ask more besides."""
MOST = 100_000
"""Of one host. An agent that tells of more is not to fill this server's memory."""

Result = TypeVar("Result")


async def listed(asker: Asker | None, host: Resource, name: str, what: str, account: int | None) -> list[Json]:
    """In the engine's own words. `name`: the host's, in errors. `account`: for which it is asked; None: for an admin.

    Raises LiveError where the agent answers with an error, and Refused where it can't be asked, or is late.
    """
    agent = host.row.get("agentId")
    if asker is None or not isinstance(agent, int):
        lacks = "this server has no NATS, over which hosts are asked" if asker is None else f"{name} has no agent"
        raise Refused("Service Unavailable", lacks, status=503)
    about: Json = {"uuid": host.row.get("uuid"), "kind": host.kind}
    found: list[Json] = []
    try:
        async with (
            asyncio.timeout(SECONDS),
            asker.asked(agent, f"agent-{agent} of {name}", what, {}, about, {}, account) as pipe,
            aclosing(frames(pipe)) as pieces,
        ):
            async for piece in pieces:
                if "data" not in piece:  # the end
                    continue
                told = piece["data"].get("listed")
                if not isinstance(told, list) or not all(isinstance(each, dict) for each in told) or len(found) + len(told) > MOST:
                    raise LiveError(FAILED, f"what {name} lists is no list of at most {MOST} {what}: look at its agent's log")
                found += told
    except TimeoutError:
        raise Refused("Gateway Timeout", f"{name} did not list its {what} within {SECONDS:g} seconds", status=504) from None
    return found


async def of_each(hosts: Iterable[Resource], ask: Callable[[Resource], Awaitable[Result]]) -> list[Result]:
    """In the order of the hosts."""
    throttle = asyncio.Semaphore(AT_ONCE)

    async def one(host: Resource) -> Result:
        async with throttle:
            return await ask(host)

    return await asyncio.gather(*map(one, hosts))
