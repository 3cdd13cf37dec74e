"""A process that appends in every way there is, for tests: python -m tests.eventstore.appender DSN NAME SECONDS

Fast: callers through a store. Slow and failing: transactions that call log.append, then dawdle, then commit or roll back.
Prints one line of JSON: the names of the events that landed, and of those that were rolled back.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from time import monotonic

import asyncpg

from eventstore import BadData, Event, Work, Write, WrongVersion
from eventstore.batch import Member, draft_of
from eventstore.encode import encode_append
from eventstore.postgres import PARTITION_SIZE, PostgresStore
from eventstore.queries import sql


class Appender:
    def __init__(self, dsn: str, name: str, seconds: float) -> None:
        self.dsn, self.name, self.until = dsn, name, monotonic() + seconds
        self.landed: list[str] = []
        self.undone: list[str] = []
        self.chance = random.Random(name)

    async def fast(self, store: PostgresStore, caller: int) -> None:
        version = 0
        while monotonic() < self.until:
            write, name = self.write(f"{self.name}fast{caller}-1", version)
            await store.append([write])
            self.landed.append(name)
            version += 1
            if self.chance.random() < 0.1:
                await asyncio.sleep(self.chance.random() / 50)

    async def failing(self, store: PostgresStore) -> None:
        """Wrong versions and bad data in the same batches as the fast ones."""
        while monotonic() < self.until:
            write, name = self.write(f"{self.name}never-1", 5)
            try:
                await store.append([write], work=[Work("x-1", 2**40)] if self.chance.random() < 0.2 else [])
            except (WrongVersion, BadData):
                self.undone.append(name)

    async def slow(self, caller: int) -> None:
        """What a writer's batch is to the database, with a pause before its end."""
        connection = await asyncpg.connect(self.dsn)
        version, batch, writer = 0, 0, uuid.uuid4()
        while monotonic() < self.until:
            write, name = self.write(f"{self.name}slow{caller}-1", version)
            member = Member(encode_append([write]), asyncio.get_running_loop().create_future(), 0)
            transaction = connection.transaction()
            await transaction.start()
            batch += 1
            await connection.fetchrow(sql("append"), writer, batch, 0, PARTITION_SIZE, *draft_of([member]).arguments())
            await asyncio.sleep(self.chance.random() / 20)
            if self.chance.random() < 0.5:
                await transaction.commit()
                self.landed.append(name)
                version += 1
            else:
                await transaction.rollback()
                self.undone.append(name)
            await asyncio.sleep(self.chance.random() / 20)
        await connection.close()

    def write(self, stream: str, version: int) -> tuple[Write, str]:
        name = str(uuid.uuid4())
        return Write(stream, version, (Event("created", {"name": name}),)), name

    async def run(self) -> None:
        store = await PostgresStore.open(self.dsn)
        async with asyncio.TaskGroup() as group:
            for caller in range(8):
                group.create_task(self.fast(store, caller))
            for caller in range(2):
                group.create_task(self.slow(caller))
            group.create_task(self.failing(store))
        await store.close()
        sys.stdout.write(json.dumps({"landed": self.landed, "undone": self.undone}) + "\n")


if __name__ == "__main__":
    asyncio.run(Appender(sys.argv[1], sys.argv[2], float(sys.argv[3])).run())
