"""POST, PUT and DELETE: a request becomes validated fields, then a command; its answer is folded from the command's own events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from commands.accepting import executions
from commands.accepting.service import Outcome
from commands.catalogue import subnets
from commands.catalogue.fields import Submission, validated
from commands.catalogue.ids import number_of
from commands.catalogue.model import Action, ResourceType
from commands.catalogue.ports import parse_port
from commands.catalogue.tasks import TASK
from commands.catalogue.types.compute import INSTANCE_MIGRATE
from commands.errors import NotFound, Refused, a
from commands.logic import segments, ssh_uri
from commands.resource import Resource
from commands.settings.setting_rows import SETTING, as_stored
from commands.turns import handlers
from commands.turns.interventions import Cancel, DeclareDead, ForceRemove, Intervention, Retry
from eventstore import CommandKey
from gateway.current import current, shown
from gateway.documents import WITHOUT_PROCESS, Documents, by_name
from gateway.errors import MethodNotAllowed
from gateway.request import ApiRequest
from gateway.resources import found
from gateway.services import Services

Json = dict[str, Any]

READ_YOUR_WRITES = 0.25
"""Seconds at most for which an answer waits for the views to hold what was done. Then it is given anyway."""

MOST_AT_ONCE = 1000

INTERVENTIONS: Mapping[str, Callable[..., Intervention]] = {"retry": Retry, "cancel": Cancel, "force-remove": ForceRemove}
"""Sub-paths of every resource: what an operator may do in any state."""

OF_HOSTS: Mapping[str, Callable[..., Intervention]] = {"dead": DeclareDead}
"""The same of hosts alone."""

INPUTS: Mapping[str, ResourceType] = {"migrate": INSTANCE_MIGRATE}
"""Action -> what it may be told, of those that Cattle declares to be told nothing."""


def interventions(type: ResourceType) -> Mapping[str, Callable[..., Intervention]]:
    """By the sub-path that there is for it."""
    return {**INTERVENTIONS, **OF_HOSTS} if type.name == "host" else INTERVENTIONS


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    document: Any
    """JSON, or (of a read) a File."""
    position: int


class Writes:
    """One request's writing."""

    def __init__(self, services: Services, request: ApiRequest) -> None:
        self._services, self._request = services, request
        self._catalogue = services.catalogue
        self._documents = Documents(services.catalogue, request)

    async def create(self, type: ResourceType, preset: Json | None = None) -> Answer:
        """POST /v1/containers: one object, an array of them, or `count` of one."""
        if "POST" not in self._request.caller.methods(type).collection or not type.stored:
            raise MethodNotAllowed("POST", type.plural)
        if (answered := await self._created_before(type)) is not None:
            return answered
        try:
            return await self._create(type, preset)
        except Refused:
            if (answered := await self._created_before(type)) is not None:
                return answered
            raise

    async def _create(self, type: ResourceType, preset: Json | None) -> Answer:
        if not self._request.items:
            raise Refused("MissingRequired", f"the array is empty: give at least one {type.name}")
        accepted = [{**await self._fields(type, item), **(preset or {})} for item in self._request.items]
        if sum(_count(type, each) for each in accepted) > MOST_AT_ONCE:
            raise Refused("MaxLimitExceeded", f"at most {MOST_AT_ONCE} can be created at once", "count")
        wanted = [fields for each in accepted for fields in [each] * _count(type, each)]
        create = self._services.commands.create
        outcomes = await asyncio.gather(
            *(create(type.name, fields, self._request.actor, key) for fields, key in zip(wanted, self._keys(len(wanted)), strict=True))
        )
        return await self._created(type, outcomes)

    async def _created(self, type: ResourceType, outcomes: Sequence[Outcome]) -> Answer:
        if not self._request.is_list and len(outcomes) == 1:
            return await self._answer(201, outcomes[0])
        position = max((outcome.position for outcome in outcomes), default=0)
        await self._services.views.wait_for(position, READ_YOUR_WRITES)
        data = [self._documents.resource(await shown(self._services, outcome.resource)) for outcome in outcomes]
        await self._documents.reveal(self._services.vault)
        return Answer(201, self._documents.collection(type, data), position)

    async def create_child(self, type: ResourceType, text: str, name: str) -> Answer:
        """POST /v1/hosts/1h2/instancehostmaps: a create with the foreign key from the path."""
        resource = await found(self._services, self._request, type, text)
        link = by_name(self._documents.links(self._documents.type_of(resource))).get(name.lower())
        if link is None:
            raise NotFound(f"{a(type.name)} has no link {name}")
        if link.cardinality != "many":
            raise MethodNotAllowed("POST", f"the link {link.name}")
        return await self.create(self._catalogue.type(link.to), {link.via: resource.id})

    async def update(self, type: ResourceType, text: str) -> Answer:
        """PUT /v1/containers/1i5: what differs from the resource as its caller sees it."""
        if "PUT" not in self._request.caller.methods(type).resource:
            raise MethodNotAllowed("PUT", type.plural)
        return await self._once(200, type, text, lambda: self._update(type, text))

    async def _update(self, type: ResourceType, text: str) -> Outcome:
        resource = await self._own(type, text)
        # A client may send the whole object back: what it did not change is no wish of its own, and not validated.
        seen = self._documents.resource(resource)
        await self._documents.reveal(self._services.vault)
        wanted = {key: value for key, value in self._request.one().items() if key not in seen or seen[key] != value}
        fields = await self._validated(type, wanted, self._submission(type, "update", resource))
        return await self._services.commands.update(type.name, resource.id, fields, self._request.actor, self._request.key)

    async def delete(self, type: ResourceType, text: str) -> Answer:
        """DELETE /v1/containers/1i5"""
        if "DELETE" not in self._request.caller.methods(type).resource:
            raise MethodNotAllowed("DELETE", type.plural)
        return await self._once(200, type, text, lambda: self._delete(type, text))

    async def _delete(self, type: ResourceType, text: str) -> Outcome:
        resource = await self._own(type, text)
        return await self._services.commands.delete(type.name, resource.id, self._request.actor, self._request.key)

    async def act(self, type: ResourceType, text: str, name: str) -> Answer:
        """POST /v1/containers/1i5?action=stop"""
        actions = {action.name.lower(): action for action in type.actions.values()}
        action = actions.get(name.lower())
        if action is None or not self._request.caller.acts(type):
            raise Refused("InvalidAction", f"{a(type.name)} has no action {name}: it has {', '.join(sorted(type.actions)) or 'none'}")
        if type.name == TASK:
            return await self._execute(type, text, action)
        status = 200 if action.name in WITHOUT_PROCESS else 202
        makes = action.output if action.name in WITHOUT_PROCESS else None
        return await self._once(status, type, text, lambda: self._act(type, text, action), makes)

    async def _execute(self, type: ResourceType, text: str, action: Action) -> Answer:
        """The engines do it; whoever asked sees it begun in the task's taskInstances, and its end there."""
        task = await self._stored(type, text)
        if action.name not in self._documents.actions(type, task):
            raise Refused("ActionNotAvailable", f"{action.name} is not possible")
        outcome = await executions.begin(self._services.commands, task.id, self._request.actor, self._request.key)
        return await self._answer(200, replace(outcome, resource=task))

    async def _act(self, type: ResourceType, text: str, action: Action) -> Outcome:
        resource = await self._stored(type, text)
        if action.name not in self._documents.actions(type, resource):
            now = ", ".join(self._documents.actions(type, resource)) or "none"
            raise Refused("ActionNotAvailable", f"{action.name} is not possible while {resource.name} is {resource.state}; possible: {now}")
        given: Json = {}
        input = INPUTS.get(action.name) if action.input is None else self._catalogue.type(action.input)
        if input is not None:
            known = input if input.name in self._catalogue.types else type
            given = await validated(input, self._request.one(), self._submission(known, "create"))
        return await self._services.commands.run(type.name, resource.id, action.name, given, self._request.actor, self._request.key)

    # --- once for a key ---

    async def _once(
        self, status: int, type: ResourceType, text: str, attempt: Callable[[], Awaitable[Outcome]], makes: str | None = None
    ) -> Answer:
        """The attempt, unless the request was carried out before: by then it may not even be possible any more (a start of what runs).

        `makes`: the type of the new resource that is answered instead of the one acted on.
        """
        if (outcome := await self._before(type, text, makes)) is not None:
            return await self._answer(status, outcome)
        try:
            outcome = await attempt()
        except Refused:
            if (outcome := await self._before(type, text, makes)) is None:  # the same request was faster on another way
                raise
        return await self._answer(status, outcome)

    async def _before(self, type: ResourceType, text: str, makes: str | None) -> Outcome | None:
        number = number_of(text, plain=self._request.plain_ids)
        if self._request.key is None or number is None or not type.stored:
            return None
        if makes is not None:
            return await self._services.commands.before(self._request.key, makes)
        return await self._services.commands.before(self._request.key, type.name, number)

    async def _created_before(self, type: ResourceType) -> Answer | None:
        """Of many things that one request makes each has a key; it was carried out if all were made."""
        if self._request.key is None:
            return None
        before = self._services.commands.before
        if await before(self._request.key, type.name) is None:
            return None
        count = sum(_count(type, item) for item in self._request.items)  # it is a number: the same body was carried out
        outcomes = await asyncio.gather(*(before(key, type.name) for key in self._keys(count) if key))
        made = [outcome for outcome in outcomes if outcome is not None]
        return await self._created(type, made) if len(made) == count else None

    def _keys(self, count: int) -> list[CommandKey | None]:
        """The first is the request's own, so that another request is recognised; the others are of a form that no client can send."""
        key = self._request.key
        return [replace(key, key=f"{key.key}\x1f{number}") if key and number else key for number in range(count)]

    async def intervene(self, type: ResourceType, text: str, what: str) -> Answer:
        """POST /v1/containers/1i5/retry, cancel or force-remove, or hosts/1h1/dead, with {"reason": "..."}: possible in any state."""
        return await self._once(202, type, text, lambda: self._intervene(type, text, what))

    async def _intervene(self, type: ResourceType, text: str, what: str) -> Outcome:
        if not self._request.caller.acts(type):
            raise MethodNotAllowed(what, type.plural)
        resource = await self._own(type, text)
        reason = self._request.one().get("reason")
        if reason is not None and not isinstance(reason, str):
            raise Refused("InvalidFormat", "a reason is a text", "reason")
        intervention = interventions(type)[what](*([reason.strip()] if reason and reason.strip() else []))
        return await self._services.commands.intervene(type.name, resource.id, intervention, self._request.actor, self._request.key)

    async def change(self, type: ResourceType, text: str, verb: str, given: Json) -> Answer:
        """POST /v1/virtualmachines/1i5/snapshot and the like: processes of Corral's own, which are no actions of Cattle's documents."""
        return await self._once(202, type, text, lambda: self._run(type, text, verb, given))

    async def _run(self, type: ResourceType, text: str, verb: str, given: Json) -> Outcome:
        if not self._request.caller.acts(type):
            raise MethodNotAllowed(verb, type.plural)
        resource = await self._own(type, text)
        return await self._services.commands.run(type.name, resource.id, verb, given, self._request.actor, self._request.key)

    # --- fields ---

    async def _fields(self, type: ResourceType, item: Mapping[str, Any]) -> Json:
        if type.name == "agent" and not item.get("uri"):
            item = {**item, "uri": f"ssh://{item.get('user') or 'root'}@{await host_name(self._request.client_ip)}:22"}
        fields = await self._validated(type, item, self._submission(type, "create"))
        if type.name == "agent":
            await self._check_login(fields.get("uri"))
        return fields

    async def _check_login(self, uri: Any) -> None:
        """The server logs in where an ssh:// agent is: who is no admin may have it do so on the very machine that asks. Raises Refused."""
        if self._request.caller.sees_all or not ssh_uri.is_ssh(uri):
            return
        there, own = ssh_uri.place_of(uri).host, self._request.peer
        if there not in (own.lower(), (await host_name(own)).lower()):
            otherwise = f"ask from that machine itself (this came from {own}), or with an admin's key"
            raise Refused("Forbidden", f"the server logs in to {there} for admins alone: {otherwise}", "uri", status=403)

    async def _validated(self, type: ResourceType, item: Mapping[str, Any], submission: Submission) -> Json:
        fields = await validated(type, item, submission)
        if "ports" in type.fields:
            within = (fields.get("data") or {}).get("fields") or {}
            for port in (*(fields.get("ports") or ()), *(within.get("ports") or ())):
                parse_port(port)
        handlers.check(self._catalogue, type.name, fields, creating=submission.purpose == "create")
        if type.name == "agent":
            fields = ssh_uri.without_password(fields)
        if "networkAddress" in type.fields:
            subnets.check(fields)
        if self._catalogue.root_type(type.name).name == "network":
            segments.check_transport(fields.get("data"))
        if self._catalogue.root_type(type.name).name == "ipAddress":
            subnets.check_address(fields.get("address"))
        if "networkIds" in type.fields and fields.get("networkIds") and fields.get("subnetIds"):
            raise Refused("NetworkIdsSubnetIdsMutuallyExclusive", "give networkIds or subnetIds, not both", "networkIds")
        return as_stored(self._services.settings, fields) if type.name == SETTING else fields

    def _submission(self, type: ResourceType, purpose: str, present: Resource | None = None) -> Submission:
        letters = partial(self._request.caller.letters, type)
        return Submission("update" if purpose == "update" else "create", letters, self._lookup, self._is_taken(type, present))

    async def _lookup(self, type_name: str, text: str) -> int | None:
        """A reference's target, if it is there and the caller may see it."""
        number = number_of(text, plain=self._request.plain_ids)
        if number is None or type_name not in self._catalogue.types:
            return None
        root = self._catalogue.root_type(type_name)
        seen = await current(self._services, root, number)
        return number if seen is not None and self._request.caller.sees_row(root, seen.resource) else None

    def _is_taken(self, type: ResourceType, present: Resource | None) -> Callable[[str, Any], Awaitable[bool]]:
        root = self._catalogue.root_type(type.name)

        async def is_taken(name: str, value: Any) -> bool:
            having = await self._services.views.having(root, name, value, account=self._request.caller.scope)
            return any(present is None or number != present.id for number in having)

        return is_taken

    # --- answers ---

    async def _stored(self, type: ResourceType, text: str) -> Resource:
        if not type.stored:
            raise MethodNotAllowed(self._request.method, type.plural)
        return await found(self._services, self._request, type, text)

    async def _own(self, type: ResourceType, text: str) -> Resource:
        """One that the caller may change, not only see."""
        resource = await self._stored(type, text)
        if not self._request.caller.acts_on(self._catalogue.root_type(type.name), resource):
            raise MethodNotAllowed(self._request.method, f"{a(type.name)} of another account")
        return resource

    async def _answer(self, status: int, outcome: Outcome) -> Answer:
        await self._services.views.wait_for(outcome.position, READ_YOUR_WRITES)
        document = self._documents.resource(await shown(self._services, outcome.resource))
        await self._documents.reveal(self._services.vault)
        return Answer(outcome.status or status, document, outcome.position)


def _count(type: ResourceType, fields: Json) -> int:
    return max(1, int(fields.get("count") or 1)) if "count" in type.fields else 1


async def host_name(address: str) -> str:
    """The name of a client's address, or the address itself where nobody tells within a second."""
    try:
        async with asyncio.timeout(1):
            name, _ = await asyncio.get_running_loop().getnameinfo((address, 0))
    except (OSError, TimeoutError):
        return address
    return name
