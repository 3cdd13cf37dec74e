"""The write side's door: a request becomes events in one append. It decides and acknowledges; the engine carries out.

It needs only the store: with NATS, engines and projectors down it still accepts and answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agents.wire import Message, partition_of
from commands import events
from commands.accepting import at_once, outcomes
from commands.accepting.new_rows import NewRows
from commands.catalogue.catalogue import Catalogue
from commands.catalogue.secrets import secrets_of
from commands.errors import Conflict, Refused
from commands.failpoints import reach_all
from commands.logic import pools
from commands.logic.placement import MOST_CAPACITY
from commands.logic.storage import register_image
from commands.resource import Json, Resource, empty, evolve, fold, split_stream
from commands.secrets import passwords
from commands.secrets.keys import KeyPair, rsa_key_pair
from commands.secrets.vault import Vault
from commands.snapshots import latest
from commands.trace import Trace
from commands.turns.decide import Command, Delete, Ended, Run, Update, decide
from commands.turns.fleet import Fleet
from commands.turns.ids import Ids
from commands.turns.interventions import Intervention
from commands.turns.surroundings import REAL, Surroundings
from commands.turns.turn import Answer, NeedIds, Triggers, Turn
from eventstore import BadData, CommandKey, KeyReused, Recorded, Repeated, Store, Taken, Work, Write, WrongVersion

TRIES = 20
"""How often a decision is taken again because its stream moved."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the account, and the ids that tie what follows to the request."""

    account: int | None = None
    correlation: str = ""
    admin: bool = True
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done: the resource folded from the command's own events, and the position to wait for when reading."""

    resource: Resource
    position: int
    status: int | None = None
    """The status that a repeated command was answered with the first time; None: it is done for the first time."""


class Commands:
    """create, update, delete and run, for any type of the catalogue."""

    def __init__(
        self, store: Store, catalogue: Catalogue, settings: Mapping[str, Any], vault: Vault | None = None,
        *, new_key_pair: Callable[[], KeyPair] = rsa_key_pair, surroundings: Surroundings = REAL,
    ) -> None:
        """`vault`: the process's own; without one, secrets are sealed with keys that no master key wraps."""
        self.store = store
        self.surroundings = surroundings
        self.vault = vault or Vault(store, catalogue, chance=self.surroundings.secret)
        self.catalogue = catalogue
        self.settings = settings
        self._ids = Ids(store)
        self._no_fleet = Fleet()
        self._new_rows = NewRows(store, catalogue, settings, new_key_pair, surroundings.secret)

    async def create(self, type_name: str, fields: Json, actor: Actor, key: CommandKey | None = None) -> Outcome:
        """POST of a collection: a row in state requested, and its create process begun."""
        row = await self._new_rows.with_keys(type_name, self._new_rows.with_defaults(type_name, fields, actor.account))
        root = await self._new_rows.root_of_owner(type_name, row)
        for _ in range(TRIES):
            image = await self._new_rows.image_of(type_name, row) if "imageUuid" in self.catalogue.type(type_name).fields else None

            def create(turn: Turn, image: Resource | None = image) -> str:
                mine = dict(row)
                if image is not None:
                    mine["imageId"] = image.id
                elif row.get("imageUuid"):
                    mine["imageId"] = register_image(turn, str(row["imageUuid"]), actor.account).id
                return turn.create(type_name, mine, kind=row.get("kind") or type_name, run=False).stream

            try:
                return await self._append(create, {}, actor, key, 201, root)
            except Taken as taken:
                if taken.scope != "image.uuid" or type_name == "image":
                    raise _conflict(taken) from taken
        raise Conflict(f"image {row.get('imageUuid')} is being registered by others again and again: try again")

    async def update(self, type_name: str, number: int, fields: Json, actor: Actor, key: CommandKey | None = None) -> Outcome:
        """PUT: the differences only; none of them changes nothing."""
        wanted = dict(fields)
        if type_name == "host" and wanted.get("computeFree") is not None:
            # What is free is the capacity less the claims on it: the row holds the capacity.
            used = await self.store.used(f"host-{number}/compute")
            wanted["computeFree"] = min(int(wanted["computeFree"]) + used, MOST_CAPACITY)
        sets_secret = self.catalogue.root_type(type_name).name == "credential" and "secretValue" in wanted
        if sets_secret and (await latest(self.store, f"credential-{number}")).kind in passwords.HASHED:
            wanted = await self._new_rows.with_hash(wanted)
        return await self._change(type_name, number, Update(wanted), actor, key, 200)

    async def delete(self, type_name: str, number: int, actor: Actor, key: CommandKey | None = None) -> Outcome:
        """DELETE: <type>.remove; a running instance stops first."""
        return await self._change(type_name, number, Delete(), actor, key, 200)

    async def run(
        self, type_name: str, number: int, verb: str, given: Json, actor: Actor, key: CommandKey | None = None
    ) -> Outcome:
        """POST ?action=<verb>: the process begins, or is already under way or done (no event), or the state refuses it."""
        if (self.catalogue.root_type(type_name).name, verb) == ("ipPool", "acquire"):
            return await self.create("ipAddress", {**pools.acquired(number), "kind": pools.POOLED}, actor, key)
        return await self._change(type_name, number, Run(verb, given), actor, key, 202)

    async def intervene(
        self, type_name: str, number: int, intervention: Intervention, actor: Actor, key: CommandKey | None = None
    ) -> Outcome:
        """retry, cancel or force-remove, in any state."""
        return await self._change(type_name, number, intervention, actor, key, 202)

    async def ended(self, number: int, reason: str, position: int, actor: Actor, *, leaves: bool = False) -> Outcome:
        """An instance was seen not to run any more, although by the log up to its `position` it should. `leaves`: its host is gone."""
        return await self._change("instance", number, Ended(reason, position, leaves), actor, None, 202)

    async def answered(self, stream: str, ask: str, message: Message, *, agent: int | None) -> bool:
        """The outcome of a command of this stream's, from this agent (None: from an external handler), without NATS. An engine goes on
        with it. False: nobody waits for it from there, it is none yet, or only an engine can take it in: it will ask again."""
        for _ in range(TRIES):
            resources = await outcomes.concerned(self.store, self.catalogue, stream, message.data)
            asked = outcomes.asked_by(resources[stream], ask) if stream in resources else None
            if asked is None or asked.agent != (agent or 0) or message.transitioning == "yes":
                return False
            if outcomes.needs_an_engine(self.catalogue, resources[stream], asked):
                return False
            answer = outcomes.outcome(message, asked)

            def take(turn: Turn, answer: Answer = answer) -> str:
                turn.triggers = Triggers(answers=(answer,))
                turn.take_in()
                return stream

            try:
                await self._append(take, resources, Actor(), None, 200, resources[stream].root)
            except WrongVersion:
                continue
            return True
        raise Conflict(f"{stream} is changed by others again and again: try again")

    async def before(self, key: CommandKey, type_name: str, number: int | None = None) -> Outcome | None:
        """What the request of this key was answered, if it was carried out before; of which resource, or (None) that it created one.

        Asked before a request is judged by what it has changed itself. Raises Refused for another request's key.
        """
        category = self.catalogue.root_type(type_name).name
        try:
            repeated = await self.store.done_before(key)
        except KeyReused as reused:
            raise _reused(reused) from reused
        return await self._as_before(repeated, category if number is None else f"{category}-{number}") if repeated else None

    async def carry_out(
        self, draft: Callable[[Turn], str], actor: Actor, *, about: Resource | None = None, key: CommandKey | None = None
    ) -> Outcome:
        """Appends what a turn of our own drafts (it says which stream the outcome is about). For what Corral does by itself.
        `about`: the resource that it changes, as it is."""
        return await self._append(draft, {about.stream: about} if about is not None else {}, actor, key, 200)

    # --- appending ---

    async def _change(
        self, type_name: str, number: int, command: Command, actor: Actor, key: CommandKey | None, status: int
    ) -> Outcome:
        root_type = self.catalogue.root_type(type_name)
        stream = f"{root_type.name}-{number}"
        for _ in range(TRIES):
            resource = await latest(self.store, stream)
            if isinstance(command, Update) and not self._secret_fields(root_type.name).isdisjoint(command.fields):
                resource = await self.vault.opened(resource)  # so that the same secret once more is no change

            def on_resource(turn: Turn, resource: Resource = resource) -> str:
                decide(command, turn, type_name, resource)
                return stream

            try:
                return await self._append(on_resource, {stream: resource}, actor, key, status)
            except WrongVersion:
                continue
            except Taken as taken:
                raise _conflict(taken) from taken
        raise Conflict(f"{type_name} {number} is changed by others again and again: try again")

    def _secret_fields(self, type_name: str) -> frozenset[str]:
        names = secrets_of(self.catalogue, type_name)
        return names | {"data"} if names else names

    async def _append(
        self, draft: Callable[[Turn], str], resources: dict[str, Resource], actor: Actor, key: CommandKey | None, status: int,
        root: str = "",
    ) -> Outcome:
        """Appends what `draft` decides; it says which stream the answer is about."""
        turn, stream = await self._decide(draft, resources, actor, root)
        writes = turn.writes()
        if not writes:
            return await self.nothing_to_do(resources[stream], key, status)
        roots = {turn.root_of(write.stream) for write in writes if _wakes(write, turn.resources[write.stream])}
        work = [Work(root, partition_of(root)) for root in sorted(roots)]
        moments = [f"{e.data['process']}" for w in writes for e in w.events if e.type == events.PROCESS_STARTED]
        reach_all("before", "append", moments)
        self._ids.keep()
        writes = await self.vault.sealed(writes)
        try:
            appended = await self.store.append(writes, command=replace(key, status=status) if key else None, work=work)
        except Repeated as repeated:
            return await self._as_before(repeated, stream if stream in resources else split_stream(stream)[0])
        except KeyReused as reused:
            raise _reused(reused) from reused
        except BadData as bad:
            raise Refused("InvalidCharacters", str(bad)) from bad
        reach_all("after", "append", moments)
        recorded = appended.recorded(writes)
        resource = _refold(resources.get(stream), stream, recorded)
        if resource.type in at_once.TYPES:
            await self._carry_on(resource.root, recorded[-1].id)
        return Outcome(resource, appended.last)

    async def _carry_on(self, root: str, cause: str) -> None:
        def run(turn: Turn) -> str:
            turn.run()
            return root

        async def taken(resources: dict[str, Resource], fleet: Fleet) -> Turn:
            turn, _ = await self._decide(run, resources, Actor(), root, fleet, Triggers(cause))
            self._ids.keep()
            return turn

        await at_once.carry_on(self.store, self.vault, root, taken)

    async def _decide(
        self, draft: Callable[[Turn], str], resources: dict[str, Resource], actor: Actor, root: str, fleet: Fleet | None = None,
        triggers: Triggers = Triggers(),
    ) -> tuple[Turn, str]:  # fmt: skip
        while True:
            turn = Turn(
                self.catalogue, resources, fleet or self._no_fleet, triggers=triggers, root=root, now=self.store.now(),
                new_id=self.surroundings.new_id, ids=self._ids.take, secret=self.surroundings.secret, settings=self.settings,
                actor=actor.account, correlation=actor.correlation or self.surroundings.new_id().replace("-", ""),
                trace=actor.trace,
            )  # fmt: skip
            try:
                return turn, draft(turn)
            except NeedIds as need:
                self._ids.give_back()
                await self._ids.refill(need.category)
            except Refused:
                self._ids.give_back()
                raise

    async def nothing_to_do(self, resource: Resource, key: CommandKey | None, status: int) -> Outcome:
        """With a key even that is remembered: the same request must not have an effect later, when it would find something to do."""
        if key is None:
            return Outcome(resource, resource.position)
        try:
            appended = await self.store.append([], unchanged={resource.stream: resource.version}, command=replace(key, status=status))
        except Repeated as repeated:
            return await self._as_before(repeated, resource.stream)
        except KeyReused as reused:
            raise _reused(reused) from reused
        return Outcome(resource, appended.last)

    async def _as_before(self, repeated: Repeated, about: str) -> Outcome:
        """The answer that the first request of this idempotency key got. `about`: its stream, or the category of what it created."""
        stream = about
        if "-" not in about:
            recorded = await self.store.read_all(repeated.first - 1, repeated.last - repeated.first + 1)
            made = (event.stream for event in recorded if event.type == events.CREATED)
            stream = [f"{about}-0", *(each for each in made if split_stream(each)[0] == about)][-1]  # it made none: it joined another's
        resource = fold(stream, await self.store.read(stream, to_position=repeated.last))
        return Outcome(resource, repeated.last, repeated.status)


def _conflict(taken: Taken) -> Conflict:
    return Conflict(f"{taken.scope} {taken.item!r} is already that of {taken.holder}: choose another")


def _reused(reused: KeyReused) -> Refused:
    return Refused("IdempotencyKeyReused", str(reused), status=422)


def _wakes(write: Write, resource: Resource) -> bool:
    """Whether its root has something to do then: a process goes on, or a removal by force leaves the rest to the engine."""
    forced = any(event.data.get("forced") for event in write.events)
    under_way = bool(resource.open or resource.undoing)
    return forced or (under_way and any(events.wakes(event.type, event.data) for event in write.events))


def _refold(resource: Resource | None, stream: str, recorded: list[Recorded]) -> Resource:
    result = resource or empty(stream)
    for event in recorded:
        if event.stream == stream:
            result = evolve(result, event)
    return result
