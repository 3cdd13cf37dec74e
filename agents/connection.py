"""An agent's NATS connection: reconnects for ever, says what happens to it. Agents in one process may share one."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog
from nats.aio.client import Client
from nats.errors import SlowConsumerError

log = structlog.get_logger("corral.agent.connection")

RETRY_SECONDS = 1
PING_SECONDS = 10
"""NATS pings: a connection whose other end vanished without a word is noticed after two of them."""


async def connect(url: str, name: str) -> Client:
    """Waits until NATS answers, however long that takes; cancel it to give up."""
    while True:
        client = Client()

        async def lost(client: Client = client) -> None:
            if not client.is_closed:
                log.info("The connection to NATS is lost; it is tried again", action="nats-lost", url=url)

        try:
            await client.connect(
                [address.strip() for address in url.split(",")],
                name=name,
                error_cb=_on_error,
                disconnected_cb=lost,
                reconnected_cb=partial(_back, url),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RETRY_SECONDS,
                connect_timeout=2,
                ping_interval=PING_SECONDS,
            )
            return client
        except Exception as error:  # the client raises its own, asyncio's and the system's errors here
            log.warning("NATS does not answer; it is tried again", action="nats-away", url=url, error=repr(error))
            await disconnect(client)
            await asyncio.sleep(RETRY_SECONDS)
        except asyncio.CancelledError:
            await disconnect(client)
            raise


async def reached(client: Client, seconds: int) -> None:
    """Returns when NATS has got all that was sent before. Raises what the client raises when it has not.

    The client writes the ping of a flush ahead of what still waits to be written: only a second one comes behind all of it.
    """
    await client.flush(seconds)
    await client.flush(seconds)


async def disconnect(client: Client) -> None:
    try:
        await asyncio.wait_for(client.close(), 2)
    except Exception as error:  # whatever it is, nobody waits for this connection any more
        log.warning("The connection to NATS did not close in order", action="nats-close", error=repr(error))


async def _back(url: str) -> None:
    log.info("NATS is there again", action="nats-back", url=url)


async def _on_error(error: Exception) -> None:
    if isinstance(error, SlowConsumerError):
        sentence = "Commands came in faster than they were taken; some are lost and will be sent again"
        log.error(sentence, action="slow-consumer", error=str(error))
    else:
        log.warning("NATS reports an error", action="nats-error", error=repr(error))
