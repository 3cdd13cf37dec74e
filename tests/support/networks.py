"""Networks for stories of the write side: made, used, and what is claimed on them."""

from __future__ import annotations

from typing import Any

from agents.wire import UNDERLAY
from commands.resource import Resource
from commands.turns.decide import Update
from tests.support.story import Story, a_cloud


def a_cloud_with_addresses() -> Story:
    """Two hosts that tell where the others find them: 10.0.0.1 and 10.0.0.2."""
    story = a_cloud(hosts=2)
    for host in of_type(story, "host"):
        turn = story.turn("", {})
        turn.change(host, {"data": {UNDERLAY: f"10.0.0.{host.id}"}})
        story._append(turn)
    return story


def a_network(story: Story, kind: str = "network", address: str = "192.168.3.42", dynamic: bool = False, **subnet: Any) -> int:
    network = story.create(kind, kind=kind, accountId=1, **({"dynamicCreateVnet": True} if dynamic else {}))
    story.create("subnet", networkId=network.id, networkAddress=address, accountId=1, **subnet)
    return network.id


def on_network(story: Story, number: int = 1, **fields: Any) -> Resource:
    """A container on a network, as far as obliging agents bring it."""
    made = story.create("container", imageId=1, accountId=1, networkIds=[number], **fields)
    story.answer_all()
    return story.resource(made.stream)


def of_type(story: Story, type_name: str) -> list[Resource]:
    return sorted((each for each in story.resources().values() if each.type == type_name), key=lambda each: each.id)


def claims_on(story: Story, scope: str) -> dict[str, str]:
    """Item -> holder, as the log tells."""
    held: dict[str, str] = {}
    for event in story.log:
        for release in event.releases:
            if release.scope == scope and held.get(release.item) == event.stream:
                del held[release.item]
        for claim in event.claims:
            if claim.scope == scope:
                assert held.setdefault(claim.item, event.stream) == event.stream, f"{claim.item} is held twice"
    return held


def apart(story: Story) -> Story:
    """Each host on a physical host of its own."""
    for host in of_type(story, "host"):
        physical = story.create("physicalHost", accountId=1)
        story.command(host.stream, Update({"physicalHostId": physical.id}))
    return story
