"""What clients ask for in a simulation: a table. A new command is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from commands.resource import Json, Resource
from commands.turns.interventions import Cancel, DeclareDead, ForceRemove, Intervention, Retry
from tests.simulation.sealed import a_secret

INTERVENTIONS: dict[str, Callable[[], Intervention]] = {"retry": Retry, "cancel": Cancel, "force-remove": ForceRemove}
OF_HOSTS: dict[str, Callable[[], Intervention]] = {"dead": DeclareDead}
LIFE = ("activate", "deactivate", "delete", "purge", "restore", "update")
NETWORKING = (
    "network", "subnet", "vnet", "hostVnetMap", "subnetVnetMap", "nic", "ipAddress", "ipAddressNicMap", "ipPool", "ipAssociation", "port",
    "instanceLink",
)
HANDLING = ("externalHandler", "externalHandlerProcess", "externalHandlerExternalHandlerProcessMap")
HANDLED = (
    "pre.instance.create", "pre.instance.start", "instance.start", "post.instance.start", "pre.instance.stop", "post.instance.remove",
    "pre.instance.purge", "pre.nic.activate", "pre.volume.activate", "post.instancehostmap.activate", "pre.network.activate",
)
"""What external handlers take part in. Those in a phase of the handlers themselves replace nothing: they answer `continue`."""
OWNED = ("volume", "volumeStoragePoolMap", "instanceHostMap", "imageStoragePoolMap", "image", "storagePool", "storagePoolHostMap")

RUNS_WITH = ("volume", "volumeStoragePoolMap", "instanceHostMap")
"""What is taken from under an instance more often than other things."""


Given = Callable[[Random, dict[str, Resource]], Json]


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that a client wants, as a row of the table says it."""

    verb: str
    types: tuple[str, ...]
    """The kinds of resource that it may be about; for a create: the type made."""
    weight: float
    given: Given = field(default=lambda random, known: {})
    """The action's input, or the fields of a create or an update."""


def _container(random: Random, known: dict[str, Resource]) -> Json:
    fields: Json = {"imageUuid": f"sim:image-{random.randrange(3)}"}
    if random.random() < 0.15:
        fields["startOnCreate"] = False
    if random.random() < 0.2:
        fields["compute"] = random.randrange(0, 3)
    if random.random() < 0.2 and (host := _some(random, known, "host")):
        fields["requestedHostId"] = host
    if random.random() < 0.3:
        fields["instanceTriggeredStop"] = random.choice(("stop", "restart", "restart", "remove"))
    return fields | _connected(random, known)


def _connected(random: Random, known: dict[str, Resource]) -> Json:
    """What ties it to others, where there is such a thing."""
    fields: Json = {}
    if random.random() < 0.5 and (network := _some(random, known, "network")):
        fields["networkIds"] = list({network, _some(random, known, "network") if random.random() < 0.2 else network})
        if random.random() < 0.4 and (pool := _some(random, known, "ipPool")):
            fields["publicIpAddressPoolId"] = pool
    if random.random() < 0.2:
        fields["ports"] = random.sample(("80", "8080:80", "8081:81/tcp", "53:53/udp"), random.randrange(1, 3))
    if random.random() < 0.1 and (target := _some(random, known, "instance")):
        fields["instanceLinks"] = {"other": target}
    if random.random() < 0.15 and (credential := _some(random, known, "credential")):
        fields["credentialIds"] = [credential]
    return fields


def _some(random: Random, known: dict[str, Resource], type_name: str) -> int | None:
    found = [each.id for each in known.values() if each.type == type_name and not each.removed]
    return random.choice(found) if found else None


def _stop(random: Random, known: dict[str, Resource]) -> Json:
    return random.choice(({}, {}, {"deallocateFromHost": True}, {"remove": True}))


def _host(random: Random, known: dict[str, Resource]) -> Json:
    return {"requestedHostId": _some(random, known, "host")} if random.random() < 0.5 else {}


def _capacity(random: Random, known: dict[str, Resource]) -> Json:
    return {"computeFree": random.randrange(0, 4)}


def _volume_map(random: Random, known: dict[str, Resource]) -> Json:
    volumes = [each.id for each in known.values() if each.type == "volume"][-2:]
    pools = [each.id for each in known.values() if each.type == "storagePool"]
    return {"volumeId": random.choice(volumes or [1]), "storagePoolId": random.choice(pools or [1])}


def _name(random: Random, known: dict[str, Resource]) -> Json:
    return {"name": f"name-{random.randrange(1000)}"}


def _network(random: Random, known: dict[str, Resource]) -> Json:
    return {"dynamicCreateVnet": random.random() < 0.5}


def _subnet(random: Random, known: dict[str, Resource]) -> Json:
    """A small one, or one of five addresses: some are to run out."""
    first = f"10.{random.randrange(3)}.0"
    few = {"startAddress": f"{first}.2", "endAddress": f"{first}.6"} if random.random() < 0.5 else {}
    return {"networkId": _some(random, known, "network"), "networkAddress": f"{first}.0", "cidrSize": 28, **few}


def _pool(random: Random, known: dict[str, Resource]) -> Json:
    return {"networkAddress": "203.0.113.0", "cidrSize": 28, "startAddress": "203.0.113.2", "endAddress": "203.0.113.5"}


def _inner(random: Random, known: dict[str, Resource]) -> Json:
    return {"ipAddressId": _some(random, known, "ipAddress")}


def _public_port(random: Random, known: dict[str, Resource]) -> Json:
    return {"publicPort": random.choice((8080, 8081, 9090))}


def _handler(random: Random, known: dict[str, Resource]) -> Json:
    fields: Json = {"processNames": random.sample(HANDLED, random.randrange(1, 3)), **_patience(random, known)}
    if random.random() < 0.3:
        fields["data"] = {"onError": random.choice(("continue", "instance.stop"))}
    return fields


def _patience(random: Random, known: dict[str, Resource]) -> Json:
    return {"timeoutMillis": random.choice((1000, 4000)), "retries": random.randrange(1, 4), "priority": random.choice((None, 500, 3000))}


def _credential(random: Random, known: dict[str, Resource]) -> Json:
    return {"publicValue": "known to all", **_secret(random, known)}


def _secret(random: Random, known: dict[str, Resource]) -> Json:
    return {"secretValue": a_secret(random)}


FURNITURE: tuple[tuple[str, Given], ...] = (
    ("network", _network), ("hostOnlyNetwork", _network), ("subnet", _subnet), ("subnet", _subnet), ("subnetIpPool", _pool),
    ("externalHandler", _handler), ("sshKey", lambda random, known: {}), ("credential", _credential),
)  # fmt: skip
"""What some clouds have before the storm: the type, and its fields."""

TABLE = (
    Wish("create", ("container",), 8, _container),
    Wish("start", ("instance",), 5),
    Wish("stop", ("instance",), 5, _stop),
    Wish("restart", ("instance",), 3),
    Wish("migrate", ("instance",), 3, _host),
    Wish("delete", ("instance",), 4),
    Wish("purge", ("instance",), 1),
    Wish("restore", ("instance",), 1.5),
    Wish("rename", ("instance", "host", "agent"), 1, _name),
    Wish("rename", ("host",), 1.5, _capacity),
    Wish("update", ("instance",), 1),
    Wish("snapshot", ("instance",), 0.5, lambda random, known: {"name": "before"}),
    Wish("resize", ("instance",), 0.5, lambda random, known: {"rootSizeMb": random.randrange(1, 9), "memoryMb": random.randrange(16, 64)}),
    *(Wish(verb, ("instance",), 0.7) for verb in INTERVENTIONS),
    *(Wish(verb, OWNED, 0.2) for verb in ("retry", "cancel")),
    *(Wish(verb, OWNED, 0.35) for verb in LIFE),
    *(Wish(verb, RUNS_WITH, 0.6) for verb in ("force-remove", "deactivate")),
    Wish("create", ("volumeStoragePoolMap",), 1, _volume_map),
    *(Wish(verb, ("agent", "host"), 0.15) for verb in LIFE),
    Wish("activate", ("agent", "host", "storagePool"), 1.5),
    Wish("reconnect", ("agent",), 0.5),
    Wish("dead", ("host",), 0.5),
    *(Wish("create", (type_name,), 0.3, given) for type_name, given in FURNITURE),
    *(Wish(verb, NETWORKING, 0.35) for verb in LIFE),
    *(Wish(verb, (*NETWORKING, *HANDLING, "credential"), 0.2) for verb in ("retry", "cancel", "force-remove")),
    Wish("acquire", ("ipPool",), 0.7),
    Wish("associate", ("ipAddress",), 0.7, _inner),
    Wish("disassociate", ("ipAddress",), 0.4),
    Wish("rename", ("port",), 0.5, _public_port),
    Wish("rename", ("externalHandler",), 0.4, _patience),
    *(Wish(verb, HANDLING, 0.3) for verb in LIFE),
    Wish("rename", ("credential",), 0.5, _secret),
    *(Wish(verb, ("credential", "credentialInstanceMap"), 0.15) for verb in LIFE),
)
