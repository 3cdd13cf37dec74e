"""Whether the server has taken an agent in, with what it brought. Functions here block."""

from __future__ import annotations

from collections.abc import Iterable

from agents.joining.by_token import Member
from agents.joining.registration import Server


def hosts_taken_in(server: Server, uuid: str, member: Member | None) -> list[str] | None:
    """The agent's hosts that take instances, by id; None: not yet. Raises RegistrationRefused, ServerAway.

    A machine that joined sees no documents, and is told its hosts' states alone: [] then, as for hosts that somebody has deactivated.
    """
    if member is not None:
        told = server.get("corral/info").get("agents") or []
        return [] if any(each.get("state") == "active" and _known(each.get("hosts", ())) for each in told) else None
    for agent in server.get("v1/agents", uuid=uuid).get("data") or []:
        if agent.get("state") == "active":
            states = {each["id"]: each.get("state") for each in server.get("v1/hosts", agentId=agent["id"]).get("data") or []}
            return [id for id, state in states.items() if state == "active"] if _known(states.values()) else None
    return None


def _known(states: Iterable[object]) -> bool:
    return not {"active", "inactive"}.isdisjoint(states)
