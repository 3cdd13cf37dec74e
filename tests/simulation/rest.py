"""What must hold once the storm is over, everything works again and enough time has passed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from agents.driver import RUNNING
from commands.catalogue.builtin import CATALOGUE
from commands.engine.engine import Engine
from commands.logic.keeping import RUNS_WITH
from commands.resource import Resource, fold_all
from eventstore import Claim
from tests.simulation import leases, sealed
from tests.simulation.hosts import REMOVED
from tests.simulation.promises import Promises, outstanding


def complaints(promises: Promises, engines: Iterable[Engine], now: datetime, *, strays_removed: bool) -> list[str]:
    """Everything that is not as it should be; empty when all is. `strays_removed`: the setting."""
    resources = promises.resources
    found = [f"still under way: {each}" for each in outstanding(resources)]
    if found:
        return found
    return [
        *_states(resources), *_work(promises, now), *_boxes(promises, strays_removed), *_places(resources), *_claims(promises),
        *leases.complaints(resources, {key: share.holder for key, share in promises.claims.items()}),
        *sealed.complaints(resources, promises.store),
        *(each for engine in engines for each in _engine(engine, promises)),
    ]


def _states(resources: dict[str, Resource]) -> list[str]:
    found = [f"{each.stream} is {each.state} for ever" for each in resources.values() if CATALOGUE.transitioning(each.type, each.state)]
    allocations = (None, "active", "inactive")
    return found + [
        f"{each.stream} is {each.row['allocationState']} for ever"
        for each in resources.values() if each.row.get("allocationState") not in allocations
    ]


def _work(promises: Promises, now: datetime) -> list[str]:
    """Rows of work are left for purges to come alone."""
    return [
        f"{work.root} has work that is due and that nobody does"
        for work in promises.store._work.values()
        if work.due is None or work.due <= now or not any(promises.resources[each].state == "removed" for each in promises.roots[work.root])
    ]


def _of(resources: dict[str, Resource], type_name: str) -> list[Resource]:
    return [each for each in resources.values() if each.type == type_name]


def _boxes(promises: Promises, strays_removed: bool) -> list[str]:
    """A box runs exactly where the active map of what is running says so; nothing is left of what was purged. What came back by itself
    is left alone where its agent is not at work, and unless the setting says otherwise: but where its instance lives, it does not run."""
    resources = promises.resources
    machine_of = {each.number: each for each in promises.machines}
    found: list[str] = []
    runs: set[tuple[str, str]] = set()
    for each in _of(resources, "instanceHostMap"):
        host = resources.get(f"host-{each.row.get('hostId')}")
        instance = resources.get(f"instance-{each.row.get('instanceId')}")
        if host is None or instance is None or each.state != "active":
            continue
        machine = machine_of[host.row["agentId"]]
        uuid = instance.row["uuid"]
        runs.add((machine.name, uuid))
        if instance.state not in ("running", "removed", "purged"):
            found.append(f"{instance.stream} is {instance.state}, and {each.stream} is active")
        box = machine.boxes.get(uuid)
        if box is None or box.state != RUNNING:
            found.append(f"{instance.stream} ({instance.state}) is active on {machine.name} by {each.stream}, but its box there is {box}")
    by_uuid = {each.row["uuid"]: each for each in _of(resources, "instance")}
    for machine in promises.machines:
        agent = resources[f"agent-{machine.number}"]
        for uuid, box in machine.boxes.items():
            lives = uuid in by_uuid and not by_uuid[uuid].removed
            ended = strays_removed or (lives and box.state == RUNNING)
            if (machine.name, uuid) in promises.ghosts and not (ended and agent.state == "active"):
                continue
            if box.state == RUNNING and (machine.name, uuid) not in runs:
                found.append(f"a box of {_told(by_uuid.get(uuid))} runs on {machine.name}, and no active map says so")
            elif box.state != REMOVED and uuid in by_uuid and by_uuid[uuid].state == "purged":
                found.append(f"{machine.name} still has a box of {_told(by_uuid[uuid])}")
    return found


def _places(resources: dict[str, Resource]) -> list[str]:
    """What is running has one live map, which is active, to a host that lives, and what it began to run with is active still: or its
    stop failed (an external handler refused it), and an operator has the word."""
    found: list[str] = []
    for instance in (each for each in _of(resources, "instance") if each.state == "running"):
        maps = [each for each in _of(resources, "instanceHostMap") if each.row.get("instanceId") == instance.id and not each.removed]
        hosts = [resources.get(f"host-{each.row.get('hostId')}") for each in maps]
        if [each.state for each in maps] != ["active"] or any(host is None or host.removed for host in hosts):
            found.append(f"{instance.stream} is running with {[(each.stream, each.state, each.row.get('hostId')) for each in maps]}")
        lost = [each for each in runs_with(instance, resources) if each.state != "active"]
        if lost and instance.failed != "instance.stop":
            found.append(f"{instance.stream} is running without {[(each.stream, each.state) for each in lost]}")
    return found


def runs_with(instance: Resource, resources: dict[str, Resource]) -> list[Resource]:
    """The maps that were active when it began to run."""
    noted: list[str] = instance.data.get(RUNS_WITH) or []
    return [resources[each] for each in noted]


def _told(instance: Resource | None) -> str:
    return f"{instance.stream} ({instance.state})" if instance else "nobody"


def _claims(promises: Promises) -> list[str]:
    """Of hosts' capacity: by the instances that are placed there, and by nothing else; the rest: by rows that are there."""
    resources = promises.resources
    needed: set[tuple[str, str]] = set()
    for each in _of(resources, "instanceHostMap"):
        instance = resources[f"instance-{each.row['instanceId']}"]
        placed = instance.row["allocationState"] == "active" and not each.data.get("deallocated")
        if placed and any(claim.limit is not None for claim in _claims_of(promises, each.stream)):
            needed.add((f"host-{each.row['hostId']}/compute", instance.stream))
    held = {key for key, share in promises.claims.items() if share.claim.limit is not None}
    found = [f"{item} holds a share of {scope} that no placement needs" for scope, item in sorted(held - needed)]
    found += [f"{item} is placed and holds no share of {scope}" for scope, item in sorted(needed - held)]
    for image_map in _of(resources, "imageStoragePoolMap"):
        for claim in _claims_of(promises, image_map.stream):
            share = promises.claims.get((claim.scope, claim.item))
            mine = share is not None and share.holder == image_map.stream
            if not claim.scope.endswith(".uuid") and mine == image_map.removed and image_map.state != "purged":
                found.append(f"{image_map.stream} is {image_map.state}, and {claim.scope} {claim.item} is held by {share}")
    stored = {key: (held.holder, held.claim.amount) for key, held in promises.store._claims.items()}
    if stored != {key: (share.holder, share.claim.amount) for key, share in promises.claims.items()}:
        found.append("the store's claims are not those that its events tell of")
    return found


def _claims_of(promises: Promises, stream: str) -> list[Claim]:
    return [claim for event in promises.log if event.stream == stream for claim in event.claims]


def _engine(engine: Engine, promises: Promises) -> list[str]:
    """What an engine remembers is what the log tells."""
    name = engine.holder
    if engine.fleet.position != len(promises.log):
        return [f"{name} has followed up to {engine.fleet.position} of {len(promises.log)}"]
    found = []
    for stream, known in engine.fleet.resources.items():
        if known != promises.resources[stream]:
            found.append(f"{name} believes of {stream} what the log does not tell: {known} instead of {promises.resources[stream]}")
    for root, folded in engine._roots._roots.items():
        told = {stream: promises.resources[stream] for stream in promises.roots.get(root, ())}
        if folded != told and engine._is_ours(root):
            found.append(f"{name} remembers {root} otherwise than the log tells it")
    for host in _of(promises.resources, "host"):
        scope = f"{host.stream}/compute"
        if engine.fleet.used(scope) != promises.used.get(scope, 0):
            found.append(f"{name} believes that {engine.fleet.used(scope)} of {scope} are used, and {promises.used.get(scope, 0)} are")
    if engine._dispatch._by_ask:
        found.append(f"{name} still asks for {[each.command for each in engine._dispatch._by_ask.values()]}")
    return found


def fold_is_the_same(promises: Promises) -> bool:
    """fold(log) from the store's own bytes is what was folded as it grew."""
    log = [promises.store._recorded(position) for position in range(1, len(promises.log) + 1)]
    return fold_all(log) == promises.resources

