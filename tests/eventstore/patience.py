"""What a caller does who is told to try later."""

from __future__ import annotations

from eventstore import Store, Unavailable, Write


async def append_once_possible(store: Store, write: Write) -> None:
    """For as long as the test's own timeout lets it."""
    while True:
        try:
            await store.append([write])
        except Unavailable:
            continue
        return
