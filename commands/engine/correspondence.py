"""The engine's letters: commands go out when a turn's events are in the log, answers come in and become the root's next turn.

    appended -> Dispatch -> agent or handler -> on_reply -> schedule(root, answer)
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import structlog

from agents.wire import HandlerAnswer, Message, handler_reply_subject, partition_of, replied_to, reply_subject
from commands import events
from commands.accepting.outcomes import outcome
from commands.catalogue.catalogue import Catalogue
from commands.engine.roots import Roots
from commands.failpoints import reach_all
from commands.logic.agent_instances import keys_of
from commands.logic.delegation import answerer, is_delegated, unwrapped
from commands.logic.registries import credentials_of
from commands.patience import patiently
from commands.resource import Asked, Resource, fold_all, split_stream
from commands.secrets.vault import Vault
from commands.sending.bus import is_foreign
from commands.sending.dispatch import Dispatch
from commands.snapshots import form, latest, resumed
from commands.turns.answers import error_of, legible
from commands.turns.fleet import Fleet
from commands.turns.inorder import in_order
from commands.turns.turn import Answer
from commands.turns.unanswered import Waiting, asked_of
from commands.turns.world import World
from eventstore import ArchiveAway, Recorded, Store

log = structlog.get_logger("corral.engine")

ANSWERED_KEPT = 4096
"""Answered commands remembered, to know duplicates."""

RESEND_AGAIN_SECONDS = 15.0
"""Between two tries of building a command of before a restart."""


class Schedule(Protocol):
    """Has a root take a turn soon."""

    def __call__(
        self, root: str, *, answer: Answer | None = None, unsendable: tuple[str, str] | None = None,
        progress: tuple[str, int | None, str | None] | None = None,
    ) -> None: ...


class Correspondence:
    """Of one engine. `spawn` runs something beside it, as long as it is at work (False: it ends)."""

    def __init__(
        self, store: Store, catalogue: Catalogue, vault: Vault, roots: Roots, dispatch: Dispatch, *, fleet: Callable[[], Fleet],
        schedule: Schedule, is_ours: Callable[[str], bool], spawn: Callable[[Coroutine[Any, Any, None]], bool], url: str = "",
    ) -> None:  # fmt: skip
        """`url`: of this server's API, where it knows it."""
        self._store, self._catalogue, self._vault, self._roots, self._dispatch = store, catalogue, vault, roots, dispatch
        self._fleet, self._schedule, self._is_ours, self._spawn = fleet, schedule, is_ours, spawn
        self._url = url
        self._answered: OrderedDict[str, None] = OrderedDict()
        """The commands answered last, so that a repeated answer costs nothing."""
        self._resending: set[str] = set()
        """Commands of before a restart whose payload is being built, or could not be."""

    async def send(self, root: str, resources: Mapping[str, Resource], recorded: list[Recorded]) -> None:
        """Sends what the turn asked for, and after a restart what is still unanswered; forgets what is answered."""
        if not self._is_ours(root):
            return  # lost since the append: another engine asks now, and answers come to it
        fresh = {event.data["id"] for event in recorded if event.type == events.STEP_REQUESTED}
        found = self._dispatch.ready(root, World(self._catalogue, resources, self._fleet()))
        if later := fresh - {waiting[2].id for waiting in found}:
            self._roots.keep_asked(root, later)
        for waiting in found:
            ask = waiting[2].id
            as_it_was = resources if ask in fresh else self._roots.when_asked(root, ask)
            if as_it_was is not None:
                await self._send(root, as_it_was, waiting)
            elif ask not in self._resending and self._spawn(self._send_again(root, waiting)):
                self._resending.add(ask)

    async def _send(self, root: str, as_it_was: Mapping[str, Resource], waiting: Waiting) -> None:
        """One command, unless it is answered, superseded or another engine's meanwhile."""
        asked = waiting[2]
        world = await self._revealed(as_it_was)
        present = self._roots.get(root) or resumed(await patiently(lambda: self._store.resume_root(root, form())))
        waits = any(each.id == asked.id for _, _, each in in_order(World(self._catalogue, present, self._fleet()), present.values())[0])
        if waits and self._is_ours(root):  # nothing is awaited after this look
            self._dispatch.send(root, world, waiting)
        else:
            self._dispatch.forget(asked.id)

    async def _revealed(self, resources: Mapping[str, Resource]) -> World:
        """What commands are built from: secrets in clear, for those that an agent must know."""
        sealed = World(self._catalogue, resources, self._fleet())
        wanted = [*resources.values(), *keys_of(sealed), *credentials_of(sealed)]
        opened = await patiently(lambda: self._vault.opened_all(wanted))
        return World(self._catalogue, {each.stream: each for each in opened}, self._fleet(), url=self._url)

    async def _send_again(self, root: str, waiting: Waiting) -> None:
        """A command of before a restart, with the payload that it had: built from the root as of its request's position."""
        stream, _, asked = waiting
        try:
            then = fold_all(await patiently(lambda: self._store.read_root(root, asked.epoch)))
            await self._send(root, then, waiting)
        except Exception as error:  # one command that can't be built must not end the engine for all others
            log.exception("A command can't be sent again", action="resend-failed", stream=stream, command=asked.command)
            self._dispatch.forget(asked.id)
            why = str(error) if isinstance(error, ArchiveAway) else f"Corral itself failed ({error!r}); the engine's log tells more"
            reason = f"{asked.command} can't be sent again: {why}. It is tried again every {RESEND_AGAIN_SECONDS:.0f} s"
            self._schedule(root, unsendable=(asked.id, reason))
            await asyncio.sleep(RESEND_AGAIN_SECONDS)
            self._schedule(root)
        finally:
            self._resending.discard(asked.id)

    def on_reply(self, message: Message, subject: str) -> None:
        """An agent's answer. Duplicates, answers to what nobody waits for any more, and those of who was not asked end here."""
        ask = replied_to(subject)
        outstanding = self._dispatch.outstanding(ask)
        if outstanding is None:
            self._on_late_reply(message, subject)
            return
        if is_foreign(subject, outstanding.reply):
            return
        if outstanding.delegated is not None:
            message = unwrapped(message)
        stale = bool((message.context or {}).get("stale"))
        correlation = outstanding.ties.correlation
        if stale:
            log.info("The agent knows a newer request", action="reply-stale", ask=ask, stream=outstanding.stream, correlation=correlation)
        if message.transitioning == "yes":
            if outstanding.progressed(asyncio.get_running_loop().time()):
                percent = message.transitioningProgress
                said = (ask, percent if percent is None or 0 <= percent <= 100 else None, legible(message.transitioningMessage))
                self._schedule(outstanding.root, progress=said)
            return
        what = {"command": outstanding.command, "ask": ask, "stream": outstanding.stream, "correlation": correlation}
        log.debug("An answer came", action="answered", **what)
        reach_all("before", "reply", [outstanding.command])
        self._dispatch.answered(outstanding)
        self._answered[ask] = None
        while len(self._answered) > ANSWERED_KEPT:
            self._answered.popitem(last=False)
        # What a newer request took over need not be undone any more; but what is waited for is asked for as the newest.
        error = None if stale else error_of(message, outstanding.command)
        passes = isinstance(message, HandlerAnswer) and message.passes
        self._schedule(outstanding.root, answer=Answer(ask, outstanding.command, message.data, error, stale=stale, passes=passes))

    def _on_late_reply(self, message: Message, subject: str) -> None:
        """An answer to what nobody waits for: a duplicate, or that of a process that was closed meanwhile, whose success is undone."""
        ask, context = replied_to(subject), message.context or {}
        late = message.transitioning != "yes" and not context.get("stale") and ask not in self._answered
        if late and isinstance(context.get("stream"), str):
            self._spawn(self._take_late(context["stream"], message, subject))
        else:
            told = {"ask": ask, "name": message.name, "correlation": context.get("correlation")}
            log.debug("An answer that nobody waits for", action="reply-late", **told)

    async def _take_late(self, stream: str, message: Message, subject: str) -> None:
        """Anybody on NATS may say anything here: what is no stream, or can't be looked up, is told in the log."""
        try:
            self._catalogue.type(split_stream(stream)[0])
            resource = await patiently(lambda: latest(self._store, stream))
        except Exception as error:  # one answer must not end the engine for all others
            said = {"ask": replied_to(subject), "stream": stream, "error": repr(error)}
            log.warning("A late answer is about nothing that there is", action="late-failed", **said)
            return
        unanswered = (*resource.late.values(), *(each for _, _, each in asked_of(resource)))
        asked = next((each for each in unanswered if each.id == replied_to(subject)), None)
        if resource.exists and asked is not None and not is_foreign(subject, self._reply_of(resource.root, asked)):
            whole = unwrapped(message) if is_delegated(self._fleet(), asked.agent) else message
            self._schedule(resource.root, answer=outcome(whole, asked))

    def _reply_of(self, root: str, asked: Asked) -> str:
        """Where the answer to a command comes that this engine did not send, or has forgotten."""
        if asked.handler:
            return handler_reply_subject(partition_of(root), asked.command, asked.id)
        return reply_subject(partition_of(root), answerer(World(self._catalogue, {}, self._fleet()), asked.agent), asked.id)
