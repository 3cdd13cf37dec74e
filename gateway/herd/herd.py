"""The herd's actions, whichever way they came: each a command of Corral's like all others, whose end is waited for.

    POST /, or NATS --> ACTIONS --> a command, accepted as over /v1 --> until it has ended --> the engine's own answer
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace

from agents.live import Json
from commands.errors import Refused
from commands.resource import Resource
from gateway.herd import answers, hosts
from gateway.herd.call import Call, seconds_of
from gateway.herd.creating import GONE, Creating
from gateway.herd.listing import Listing
from gateway.herd.settling import Tell, is_settled, settled
from gateway.live.asking import Asker
from gateway.live.finding import instance_of
from gateway.live.queries import answer, read_query
from gateway.live.verbs import VERBS
from gateway.request import ApiRequest
from gateway.services import Services
from gateway.writes import READ_YOUR_WRITES, Answer, Writes

RUNNING, STOPPED = frozenset({"running"}), GONE | {"stopped"}


class Herd:
    """Of one server. `asker` None: one without NATS, which commands but can't ask hosts what there is."""

    def __init__(self, services: Services, asker: Asker | None) -> None:
        self._services, self._asker = services, asker
        self._listing = Listing(services, asker)
        self._creating = Creating(services)

    async def answer(self, request: ApiRequest, tell: Tell = lambda news: None) -> Answer:
        """Raises Refused for what is not understood, not there or not allowed; what an engine refuses is an answer."""
        given = request.one()
        action = given.get("action")
        found = ACTIONS.get(action.lower()) if isinstance(action, str) else None
        if found is None:
            wrong = f"there is no action {action!r}"[:100] if action is not None else "an action is needed"
            raise Refused("InvalidAction", f'{wrong}: {{"action": ...}} is one of {", ".join(ACTIONS)}', "action")
        document = await found(self, Call(request, given, seconds_of(given.get("timeout")), tell))
        return Answer(200, document, await self._services.store.head())

    async def create(self, call: Call) -> Json:
        return await self._creating.described(call)

    async def create_raw(self, call: Call) -> Json:
        return await self._creating.raw(call)

    # --- one container ---

    async def start(self, call: Call) -> Json:
        instance = await self._at_rest(call, await self._instance(call))
        return await self._act(call, instance, "start", RUNNING)

    async def restart(self, call: Call) -> Json:
        """What is stopped is started, as engines do."""
        instance = await self._at_rest(call, await self._instance(call))
        if instance.state not in RUNNING:
            return await self._act(call, instance, "start", RUNNING)
        return await self._act(call, instance, "restart", RUNNING, already=False)

    async def stop(self, call: Call) -> Json:
        return await self._act(call, await self._instance(call), "stop", STOPPED)

    async def delete(self, call: Call) -> Json:
        """One that runs is stopped first. Its engine's container goes with its root volume, which is not kept for a restore then."""
        instance = await self._instance(call)
        removed = await self._act(call, instance, "remove", GONE)
        return removed if removed["statusCode"] != answers.DONE else await self._let_go(call, instance, removed)

    async def _let_go(self, call: Call, instance: Resource, removed: Json) -> Json:
        services, volume = self._services, self._services.catalogue.type("volume")
        link = services.catalogue.type("instance").links["volumes"]
        linked = (await services.views.linked(link, [instance.id], removed=True)).get(instance.id, [])
        roots = [each.resource for each in linked if each.resource.row.get("deviceNumber") == 0 and each.resource.state != "purged"]
        for root in roots:
            await Writes(services, replace(call.request, key=None)).act(volume, f"{volume.prefix}{root.id}", "purge")
        host: str = removed["dockerInstance"]
        for ended in (await settled(services, [root.stream for root in roots], call.seconds, call.tell)).values():
            if not is_settled(ended):
                return answers.unfinished(services, host, ended, f"{volume.prefix}{ended.id}", call.seconds)
            if ended.state != "purged":
                return answers.refused(host, answers.why_not(ended))
        return removed

    async def inspect(self, call: Call) -> Json:
        if self._asker is None:
            raise Refused("Service Unavailable", "this server has no NATS, over which hosts are asked", status=503)
        query = await read_query(self._services, call.request, _ref(call), VERBS["inspect"], {})
        found = await answer(self._asker, query)
        return answers.told(hosts.name_of(self._services.catalogue, query.place.host), found["document"])

    async def _instance(self, call: Call) -> Resource:
        return await instance_of(self._services, call.request, _ref(call))

    async def _at_rest(self, call: Call, instance: Resource) -> Resource:
        """As it is once it is through with what it does."""
        if is_settled(instance):
            return instance
        return (await settled(self._services, [instance.stream], call.seconds, call.tell))[instance.stream]

    async def _act(self, call: Call, instance: Resource, action: str, wanted: Collection[str], already: bool = True) -> Json:
        """`already`: what is as wanted is left so."""
        host, id = await hosts.of(self._services, instance), self._id(instance)
        if already and is_settled(instance) and instance.state in wanted:
            return answers.done(host)
        type = self._services.catalogue.type(instance.kind)
        writes = Writes(self._services, call.request)
        await (writes.delete(type, id) if action == "remove" else writes.act(type, id, action))
        ended = (await settled(self._services, [instance.stream], call.seconds, call.tell))[instance.stream]
        await self._services.views.wait_for(ended.position, READ_YOUR_WRITES)
        if not is_settled(ended):
            return answers.unfinished(self._services, host, ended, id, call.seconds)
        if ended.state not in wanted:
            return answers.refused(host, answers.why_not(ended))
        return answers.done(host or await hosts.of(self._services, ended))

    def _id(self, instance: Resource) -> str:
        return f"{self._services.catalogue.type('instance').prefix}{instance.id}"

    # --- hosts ---

    async def list_containers(self, call: Call) -> Json:
        return await self._listing.of(call.request, "containers", call.text("dockerInstance", "host"), every=call.flag("all"))

    async def list_images(self, call: Call) -> Json:
        return await self._listing.of(call.request, "images", call.text("dockerInstance", "host"), every=call.flag("all"))

    async def register(self, call: Call) -> Json:
        return await self._set_hosts(call, "activate", "active")

    async def unregister(self, call: Call) -> Json:
        """What runs there is left alone; nothing new comes."""
        return await self._set_hosts(call, "deactivate", "inactive")

    async def _set_hosts(self, call: Call, action: str, wanted: str) -> Json:
        ref = call.text("dockerInstance", "host")
        if call.flag("all"):
            known = await hosts.known(self._services, account=call.request.caller.scope)
            return {"hosts": await asyncio.gather(*(self._set_host(call, each.resource, action, wanted) for each in known))}
        if ref is None:
            raise Refused("MissingRequired", 'which host? {"dockerInstance": its name or id}, or "all": true', "dockerInstance")
        return await self._set_host(call, await hosts.named(self._services, call.request, ref), action, wanted)

    async def _set_host(self, call: Call, host: Resource, action: str, wanted: str) -> Json:
        catalogue = self._services.catalogue
        name, id = hosts.name_of(catalogue, host), hosts.id_of(catalogue, host)
        if host.state != wanted:
            await Writes(self._services, call.request).act(catalogue.type(hosts.HOST), id, action)
            host = (await settled(self._services, [host.stream], call.seconds, call.tell))[host.stream]
            await self._services.views.wait_for(host.position, READ_YOUR_WRITES)
        if not is_settled(host):
            return answers.unfinished(self._services, name, host, id, call.seconds)
        return answers.done(name) if host.state == wanted else answers.refused(name, answers.why_not(host))


Action = Callable[[Herd, Call], Awaitable[Json]]

OF_ONE: Mapping[str, Action] = {
    "inspect-container": Herd.inspect,
    "start-container": Herd.start,
    "stop-container": Herd.stop,
    "restart-container": Herd.restart,
    "delete-container": Herd.delete,
}
"""What a container's own subject takes, too."""

ACTIONS: Mapping[str, Action] = {
    "create-container": Herd.create,
    "create-raw-container": Herd.create_raw,
    "list-containers": Herd.list_containers,
    **OF_ONE,
    "list-images": Herd.list_images,
    "register": Herd.register,
    "unregister": Herd.unregister,
}


def _ref(call: Call) -> str:
    ref = call.text("id", "container")
    if ref is None:
        raise Refused("MissingRequired", "which container? Its engine's id, 4 or more first letters of it, or its id (1i54)", "id")
    return ref
