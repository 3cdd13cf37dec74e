"""corral hosts: the hosts, and where there are none, what became of them and how to get one, or who is shown them."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text

from commands import events
from commands.catalogue.fields import parsed_date
from commands.catalogue.ids import number_of
from commands.logic.discovery import DISCONNECTED
from commands.turns.fleet import DEAD
from deploy.cli.client import Client
from deploy.cli.options import INSTANCES, Output, Url, command, connect
from deploy.cli.show import Format, age, hint, print_json, state_text, table, waiting
from deploy.cli.things import path_of

Json = dict[str, Any]

FIRST_HOST = (
    "No hosts yet: corral agent --sim (or without --sim, where Docker runs), here or on another machine; "
    "or what `corral up` prints as `join a host` (docs/hosts.md)"
)

NOT_SHOWN = (
    "This key is shown no hosts: those that instances are placed on are for admins to see. What is wrong with them, ask an admin "
    "(`corral hosts` with an admin's key), with the ids that the failure names"
)

FIRST_ACCOUNT = 1
"""The admin that every Corral begins with: it is shown to those alone who are shown what is others', too."""

TOLD = 3
"""Of the hosts that are gone, so many of the last are told."""


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "hosts", INSTANCES, ["corral hosts", "corral hosts -o json"])
    def hosts(url: Url = None, output: Output = Format.TEXT) -> None:
        """List the hosts, with the state of the agent that answers for each and the compute units still free."""
        with connect(url) as client:
            with waiting("asking for the hosts"):
                found = client.all("/v1/hosts", include=["agent", "instances"])
            if output is Format.JSON:
                print_json(found)
                return
            table(("ID", "NAME", "KIND", "STATE", "AGENT", "INSTANCES", "FREE COMPUTE"), map(_row, found))
            if lost := [each for each in found if _silent_since(each) is not None and not _is_dead(each)]:
                hint(_of_lost(lost))
            if all(each.get("removed") is not None for each in found):
                hint(why_none(client))


def host_title(host: Json) -> str:
    """1h1 (rack-3); with its agent's name where it has none itself. Asked for with its agent included."""
    name = host_name(host)
    return f"{host['id']} ({name})" if name else str(host["id"])


def host_name(host: Json) -> str:
    return str(host.get("name") or (host.get("agent") or {}).get("name") or "")


def why_none(client: Client) -> str:
    """What became of the hosts that there were, and how to get one; to those who are shown none, who is."""
    if client.find(path_of("account", FIRST_ACCOUNT)) is None:
        return NOT_SHOWN
    gone = _gone(client)
    if not gone:
        return FIRST_HOST
    lines = []
    for host in gone[-TOLD:]:
        number, agent_number = number_of(host["id"], plain=True), number_of(host.get("agentId") or "", plain=True)
        agent = client.find(path_of("agent", agent_number)) if agent_number is not None else None
        whose = f", of agent {agent.get('name') or agent['id']} ({agent['state']})," if agent else ""
        lines.append(f"Host {host['id']}{whose} was removed {age(host.get('removedTS'))} ago: corral why host-{number}")
    if len(gone) > TOLD:
        lines.insert(0, f"{len(gone)} hosts were removed; the last of them:")
    lines.append(
        "A removed host stays removed. Start its agent again (for one of the server's own: corral up), and it comes back as a new host"
    )
    return "\n".join(lines)


def _row(each: Json) -> tuple[str | Text, ...]:
    agent = each.get("agent") or {}
    living = [one for one in each.get("instances") or [] if one.get("removed") is None]
    total = each.get("computeTotal")
    free = f"{each.get('computeFree')} of {total}" if total is not None else str(each.get("computeFree"))
    state = Text("declared dead", style="red") if _is_dead(each) else state_text(each)
    since = _silent_since(each)
    of_agent = state_text(agent) if since is None else Text(f"disconnected {since}".strip(), style="red")
    return each["id"], host_name(each), each.get("kind") or "", state, of_agent, str(len(living)), free


def _is_dead(host: Json) -> bool:
    return bool((host.get("data") or {}).get(DEAD))


def _silent_since(host: Json) -> str | None:
    """How long ago its agent was noted as disconnected; None: it is not."""
    noted = ((host.get("agent") or {}).get("data") or {}).get(DISCONNECTED)
    return age(int(parsed_date(noted).timestamp() * 1000)) if isinstance(noted, str) else None


def _of_lost(hosts: list[Json]) -> str:
    names = " ".join(str(each["id"]) for each in hosts)
    return (
        "What runs on a host whose agent is disconnected is left alone, and goes on when that is back. Of one that is gone for good: "
        f"corral declare-dead {names}"
    )


def _gone(client: Client) -> list[Json]:
    """The removed hosts, by number."""
    with waiting("looking through the log"):
        created = [str(each["stream"]) for each in client.events(type=events.CREATED) if each["stream"].startswith("host-")]
    found = [client.find(path_of("host", int(stream.rpartition("-")[2]))) for stream in created]
    return [each for each in found if each is not None and each.get("removed") is not None]
