"""An agent's NATS connection: reconnects for ever, says what happens to it. Agents in one process may share one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from nats.aio.client import Client
from nats.errors import SlowConsumerError

from agents.joining.access import Access, is_refusal

log = structlog.get_logger("corral.agent.connection")

RETRY_SECONDS = 1
PING_SECONDS = 10
"""NATS pings: a connection whose other end vanished without a word is noticed after two of them."""

FLUSH_SECONDS = 6 * PING_SECONDS
"""Longer than that takes: by then there is another connection, or an answer."""

LOOK_SECONDS = 0.5
"""Until it is looked whether a connection is still the same."""


async def connect(
    url: str, name: str, options: Mapping[str, Any] | None = None, *, access: Access | None = None, closed: asyncio.Event | None = None
) -> Client:
    """Waits until NATS answers and lets us in, however long that takes; cancel it to give up. `options`: what NATS' client is to know
    besides. `closed` is set when this connection is given up, as it is after some errors, or when NATS no longer lets it in: another is to
    be made then."""
    access = access or Access()
    while True:
        client, established = Client(), asyncio.Event()
        try:
            await client.connect(
                [address.strip() for address in url.split(",")],
                name=name,
                error_cb=partial(_on_error, access, closed, established),
                disconnected_cb=partial(_lost, client, url),
                reconnected_cb=partial(_back, url, access),
                closed_cb=partial(_closed, closed),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RETRY_SECONDS,
                connect_timeout=2,
                ping_interval=PING_SECONDS,
                **{**access.options, **(options or {})},
            )
            if not client.is_connected:  # NATS asked it for a sign of life instead of answering, and it takes that for an answer
                raise ConnectionError("NATS did not let it in in time")
            established.set()
            access.let_in()
            return client
        except Exception as error:  # the client raises its own, asyncio's and the system's errors here
            if is_refusal(error):
                access.refused()
            else:
                log.warning(_away(error), action="nats-away", url=url, error=repr(error))
            await disconnect(client)
            await asyncio.sleep(RETRY_SECONDS)
        except asyncio.CancelledError:
            await disconnect(client)
            raise


async def reached(client: Client, seconds: float) -> None:
    """Returns when NATS has got all that was sent before. Raises what the client raises when it has not, or TimeoutError."""
    flushing = _flushing(client)
    done, _ = await asyncio.wait({flushing}, timeout=seconds)
    if not done:
        raise TimeoutError(f"NATS did not confirm within {seconds} seconds what was sent")
    flushing.result()


async def arrived(client: Client) -> None:
    """The same for as long as this connection lasts: where all is slow, sending again would make it slower. Raises ConnectionError when
    it is another, or none."""
    made, flushing = client.stats["reconnects"], _flushing(client)
    while not flushing.done():
        await asyncio.wait({flushing}, timeout=LOOK_SECONDS)
        if not client.is_connected or client.stats["reconnects"] != made:
            raise ConnectionError("the connection to NATS was lost before it confirmed what was sent")
    flushing.result()


def _flushing(client: Client) -> asyncio.Task[None]:
    """Whoever waits no longer leaves the client to it: one that is cancelled is deaf from the moment that its answer comes after all."""
    flushing = asyncio.ensure_future(_flush(client))
    flushing.add_done_callback(lambda each: each.cancelled() or each.exception())  # nobody may be left to ask for it
    return flushing


async def _flush(client: Client) -> None:
    """The client writes the ping of a flush ahead of what still waits to be written: only a second one comes behind all of it."""
    for _ in range(2):
        await client.flush(FLUSH_SECONDS)


async def disconnect(client: Client) -> None:
    try:
        await asyncio.wait_for(client.close(), 2)
    except Exception as error:  # whatever it is, nobody waits for this connection any more
        log.warning("The connection to NATS did not close in order", action="nats-close", error=repr(error))


def _away(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"NATS' certificate is not believed ({error.reason or error}): give whose it is with --nats-ca. It is tried again"
    return "NATS does not answer; it is tried again"


async def _lost(client: Client, url: str) -> None:
    if not client.is_closed:
        log.info("The connection to NATS is lost; it is tried again", action="nats-lost", url=url)


async def _back(url: str, access: Access) -> None:
    access.let_in()
    log.info("NATS is there again", action="nats-back", url=url)


async def _closed(closed: asyncio.Event | None) -> None:
    if closed is not None:
        closed.set()


async def _on_error(access: Access, closed: asyncio.Event | None, established: asyncio.Event, error: Exception) -> None:
    if is_refusal(error):
        access.refused()
        if closed is not None and established.is_set():
            closed.set()  # the client would go on trying by itself, and leave a socket behind each time
    elif isinstance(error, SlowConsumerError):
        sentence = "Commands came in faster than they were taken; some are lost and will be sent again"
        log.error(sentence, action="slow-consumer", error=str(error))
    elif isinstance(error, ssl.SSLError):
        log.warning(_away(error), action="nats-away", error=repr(error))
    else:
        log.warning("NATS reports an error", action="nats-error", error=repr(error))
