"""Tasks at work: begun by their schedule or by an operator, done by every engine for its share, and ended by the one that leads.

    schedule due (leader) --> execution in the log <-- POST /v1/tasks/1t!name/?action=execute
                                   |--> each engine that follows the log: its share, at once (task_shares)
                                   `--> the leader: what is to be done once; then the end, with what went wrong

The leader is whoever holds a lease. What one that died had begun, its successor does again, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog

from commands.accepting import executions
from commands.accepting.executions import SCOPE
from commands.accepting.service import Actor, Commands
from commands.catalogue.fields import parsed_date
from commands.catalogue.tasks import BY_NAME, CLEANUP, TASK_INSTANCE, TASKS
from commands.snapshots import form, resumed
from eventstore import Lease, StoreError, Unavailable

log = structlog.get_logger("corral.tasks")

LEASE = "tasks"
LOOK_SECONDS = 0.5
LEASE_SECONDS = 5.0

INITIAL_DELAY = "task.initial.delay.seconds"

KEPT = timedelta(days=7)
"""After its end an execution is shown for so long."""


class TaskRunner:
    """Of one engine's process."""

    def __init__(
        self, commands: Commands, settings: Mapping[str, Any], holder: str, *, pause: float = LOOK_SECONDS
    ) -> None:
        self._commands, self._settings, self._holder, self._pause = commands, settings, holder, pause
        self._lease: Lease | None = None
        self._last: dict[str, float] = {}
        """Task -> when it was begun by schedule last, or this began to lead, by the loop's clock."""
        self._led_since = 0.0

    async def run(self) -> None:
        """Ends when it is cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except StoreError as error:
                    log.info("Tasks wait for the database", action="tasks-wait", error=str(error))
                except Exception:  # what is wrong with tasks must not end the server
                    log.exception("Tasks can't be looked after; it is tried again", action="tasks-failed")
                await asyncio.sleep(self._pause)
        finally:
            if self._lease is not None:
                with contextlib.suppress(StoreError):  # then it ends by itself
                    await self._commands.store.give_up([self._lease])

    async def look(self) -> None:
        """Once: begins what is due, and ends what is under way. Another's turn is none of ours."""
        if not await self._leads():
            return
        now = asyncio.get_running_loop().time()
        for task in TASKS:
            every = int(self._settings[task.schedule])
            since = self._last.get(task.name)
            if every > 0 and (now - since >= every if since is not None else now - self._led_since >= self._settings[INITIAL_DELAY]):
                self._last[task.name] = now
                await executions.begin(self._commands, task.number, Actor(correlation=f"corral:task-{task.name}"))
        under_way = await self._commands.store.load((), (SCOPE,))
        for held in under_way.claims:
            if held.claim.scope == SCOPE:
                await self._carry_out(held.holder, held.claim.item)

    async def _leads(self) -> bool:
        store = self._commands.store
        if self._lease is not None and await store.renew([self._lease], LEASE_SECONDS):
            return True
        self._lease = next(iter(await store.acquire([LEASE], self._holder, LEASE_SECONDS)), None)
        self._last, self._led_since = {}, asyncio.get_running_loop().time()
        return self._lease is not None

    async def _carry_out(self, stream: str, name: str) -> None:
        error = None
        try:
            if name == CLEANUP:
                await self._clean_up()
            elif name not in BY_NAME:
                error = f"this version of Corral has no task {name}"
        except Unavailable:
            raise
        except Exception as failure:  # it is told where operators look for it, and the next execution tries again
            log.exception("A task failed", action="task-failed", task=name)
            error = f"{type(failure).__name__}: {failure}"
        await executions.end(self._commands, stream, self._holder, error)

    async def _clean_up(self) -> None:
        loaded = await self._commands.store.load((TASK_INSTANCE,), (), form())
        before = self._commands.store.now() - KEPT
        for row in resumed(loaded).values():
            ended = row.row.get("endTime")
            if not row.removed and isinstance(ended, str) and parsed_date(ended) < before:
                await self._commands.delete(TASK_INSTANCE, row.id, Actor(correlation=f"corral:task-{CLEANUP}"))
