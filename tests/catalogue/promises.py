"""What must hold for every catalogue, as functions that tell where it does not: of Corral's own (test_promises), and of broken ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.catalogue.model import Ask, Child, Join, Own, Process, ResourceType
from commands.catalogue.processes.common import PURGED, REMOVED, RESTORED
from commands.errors import Refused
from commands.events import CREATED
from commands.turns.decide import Delete, Run
from tests.support.story import Ask as Told
from tests.support.story import Story, a_cloud

LIVES = (Run("deactivate"), Delete(), Run("restore"), Run("deactivate"), Delete(), Run("purge"))


def machines(catalogue: Catalogue) -> list[tuple[str, str]]:
    """(type, state field)"""
    return sorted({(each.type, each.field) for each in catalogue.processes.values()})


def arrows(catalogue: Catalogue, process: Process) -> Iterator[tuple[str, str]]:
    """Every step from one state to the next that the process may take, the ways back included."""
    for start in process.start:
        via = process.via_of(start)
        yield start, via
        yield via, process.done_of(via)
        passing = start == "requested" or catalogue.transitional(process.type, start, process.field)
        yield via, process.failed if passing else start


def reachable(catalogue: Catalogue, type_name: str, field: str, state: str) -> set[str]:
    found = {state}
    mine = [each for each in catalogue.processes.values() if (each.type, each.field) == (type_name, field)]
    steps = [arrow for each in mine for arrow in arrows(catalogue, each)]
    while more := {to for frm, to in steps if frm in found} - found:
        found |= more
    return found


def dead_ends(catalogue: Catalogue, type_name: str, field: str) -> list[str]:
    """States from which no way leads to the end, and those that nothing leads to."""
    first, last = ("requested", "purged") if field == "state" else ("inactive", "inactive")
    found = reachable(catalogue, type_name, field, first)
    stuck = [f"{each} never leads to {last}" for each in sorted(found) if last not in reachable(catalogue, type_name, field, each)]
    mine = [each for each in catalogue.processes.values() if (each.type, each.field) == (type_name, field)]
    states = {state for each in mine for arrow in arrows(catalogue, each) for state in arrow}
    return stuck + [f"nothing leads to {each}" for each in sorted(states - found)]


def circles(catalogue: Catalogue, process: Process) -> list[str]:
    """What it nests, joins or owns ends before it does: in a circle none of them ever would. Nor do delegates come back."""

    def nested(each: Process) -> set[str]:
        return {step.process for step in each.steps if isinstance(step, Child | Own | Join)}

    seen: set[str] = set()
    todo = nested(process)
    while todo:
        if process.name in todo:
            return [f"{process.name} waits for itself"]
        seen |= todo
        todo = {name for each in todo for name in nested(catalogue.process(each))} - seen
    way = [process.name]
    while (following := catalogue.process(way[-1]).delegate) is not None:
        if following in way or catalogue.process(following).type != process.type:
            return [f"{process.name} is delegated to {following}"]
        way.append(following)
    return []


def unnoted(process: Process) -> list[str]:
    """Whatever ends a row, or brings it back, says so on it; and so frees, or takes again, what it alone may have."""
    logic = process.logic["post"]
    said = {"removed": REMOVED, "purged": PURGED}
    missing = [done for done, noting in said.items() if done in process.dones and noting not in logic]
    found = [f"{process.name} does not note that it is {done}" for done in missing]
    if "removed" in process.start and "purged" not in process.dones and RESTORED not in logic:
        found.append(f"{process.name} does not note that it is there again")
    return found


def unbounded(catalogue: Catalogue, process: Process, step: Ask) -> list[str]:
    """An asking step has a timeout, and an undo or a reason to have none."""
    found = [] if 0 < step.seconds <= 3600 else [f"{step.command} has no timeout"]
    unknown = [undo for undo in step.undoes if undo == step.command or catalogue.asks(process.type, undo) is None]
    found += [f"no process of {process.type} asks {undo}" for undo in unknown]
    borne = step.tries == 0 or step.aside  # it is asked until it is done, or nothing depends on it
    if step.undo is None and not borne and not step.no_undo:
        found.append(f"{process.name} asks {step.command}, and neither undoes it nor says why not")
    return found


def left_of_a_bare_row(catalogue: Catalogue, type_name: str) -> list[str]:
    """Created, removed, restored, removed and purged, whatever it lacks: each process ends, in success or in an error."""
    kind = catalogue.type(type_name)
    story = Story(catalogue=catalogue)
    made = story.create(type_name, **least(kind)).stream
    story.answer_all()
    found = under_way(story)
    for command in LIVES:
        with suppress(Refused):  # as where a restored instance is stopped already
            story.command(made, command)
        story.answer_all()
        found += under_way(story)
    if found:
        return found
    if (state := story.resource(made).state) != "purged":
        return [f"{made} is {state}"]
    mine = {each.stream for each in story.resources().values() if made in (each.root, each.stream)}
    return [f"{holder} has {item} of {scope}" for (scope, item), holder in held_of(story, type_name).items() if holder in mine]


def held_of(story: Story, type_name: str) -> dict[tuple[str, str], str]:
    return {key: holder for key, holder in story.claims().items() if key[0].startswith(f"{type_name}.")}


def endless(catalogue: Catalogue, process: Process) -> list[str]:
    """Each of its start states, on a row that was put into it by hand."""
    kind = catalogue.type(process.type)
    found: list[str] = []
    for start in process.start:
        story = Story(catalogue=catalogue)
        row = {"uuid": "by hand", "kind": kind.name, "state": "inactive", **least(kind), process.field: start}
        stream = f"{kind.name}-1"
        turn = story.turn(stream, {})
        turn.emit(stream, CREATED, {"changes": row})
        story._append(turn)
        story.command(stream, Run(process.verb))
        story.answer_all()
        found += under_way(story)
        if (state := story.resource(stream).row[process.field]) in process.vias:
            found.append(f"{process.name} from {start} ends in {state}")
    return found


def least(kind: ResourceType) -> dict[str, int]:
    return {kind.owner: 1} if kind.owner else {}


def under_way(story: Story) -> list[str]:
    return [f"{each.stream} is {each.state} for ever: {list(each.open.values())}" for each in story.resources().values() if each.open]


# --- everything that is ever claimed ---


def a_busy_cloud(catalogue: Catalogue) -> Story:
    """Instances with ports, links, addresses inside and public ones, on a host-only network whose agent instance offers all it can."""
    story = a_cloud(hosts=1, catalogue=catalogue)
    for kind in ("hostOnlyNetwork", "network"):
        network = story.create(kind, kind=kind, accountId=1, **({"dynamicCreateVnet": True} if kind == "hostOnlyNetwork" else {}))
        story.create("subnet", networkId=network.id, networkAddress=f"10.{network.id}.0.0", accountId=1)
    story.create("agentInstanceProvider", kind="agentInstanceProvider", networkId=1, agentInstanceImageUuid="sim:agent", accountId=1)
    for kind in ("linkService", "ipsecTunnelService"):
        story.create(kind, kind=kind, networkId=1, networkServiceProviderId=1, accountId=1)
    pool = story.create("subnetIpPool", kind="subnetIpPool", networkAddress="192.0.2.0", accountId=1)
    busy = {"imageId": 1, "accountId": 1, "networkIds": [1, 2]}
    story.create("container", **busy, ports=["8080:80", "81"])
    story.answer_all(docker)
    story.create("container", **busy, ports=["8081:80"], instanceLinks={"first": 1})
    story.create("virtualMachine", kind="virtualMachine", **busy, publicIpAddressPoolId=pool.id)
    story.create("register", kind="register", key="mine", accountId=1)
    story.answer_all(docker)
    return story


def docker(ask: Told) -> dict[str, Any]:
    shown = {"dockerHostIp": "198.51.100.1", "dockerIp": f"172.17.0.{ask.epoch % 200}", "dockerPorts": {"81/tcp": "49153"}}
    return {"instance": {"+data": {"+fields": shown}}} if ask.command == "compute.instance.activate" else {}


def end(story: Story) -> None:
    """Everything is removed and purged, the instances first."""
    rows = sorted(story.resources().values(), key=lambda each: (each.type != "instance", each.type, each.id))
    ended = [each for each in rows if story.catalogue.process_of(each.type, "remove") is not None]
    for _ in range(2):  # what is asked of agents that were removed already ends with the second
        for command in (Run("disassociate"), Run("deactivate"), Delete(), Run("purge")):
            for each in ended:
                if story.resource(each.stream).state != "purged":
                    with suppress(Refused):
                        story.command(each.stream, command)
                    story.answer_all()
    story.pass_time(3600)
    story.answer_all()


def kept(story: Story) -> list[str]:
    """What is claimed by those that are purged."""
    return [
        f"{holder} has {item} of {scope}" for (scope, item), holder in story.claims().items()
        if story.resource(holder).state == "purged"
    ]  # fmt: skip


def kinds_claimed(story: Story) -> set[str]:
    """How the scopes end that anything was ever claimed of."""
    return {claim.scope.rpartition("/")[2] for event in story.log for claim in event.claims if "/" in claim.scope}


def noted(story: Story) -> Iterator[tuple[str, set[str]]]:
    """stream, and the names of what an event puts into its row's data beside the fields."""
    for event in story.log:
        changes = event.data.get("changes") or {}
        names = {name.removeprefix("+") for key in ("data", "+data") for name in changes.get(key) or ()} - {"fields"}
        if names:
            yield event.stream, names
