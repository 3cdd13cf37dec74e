"""The first instance of an empty cloud: created as any other, waited for, and its timeline shown."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.markup import escape

from commands.accepting.service import Actor
from commands.resource import Resource, fold
from deploy.cli.telling import timeline
from deploy.local import LocalHosts
from deploy.wiring import Parts
from eventstore import CommandKey, Store

SECONDS = 60.0
NAME = "hello-corral"


async def first_instance(parts: Parts, hosts: LocalHosts, say: Console) -> None:
    """On Docker where an engine answers and has an image (or can be given one), else on the simulated host, if there is one."""
    image, command = await hosts.first_image()
    if not image:
        return
    say.print(f"[bold]A first instance[/] from {image} ...")
    await hosts.active()
    fields: dict[str, object] = {"imageUuid": image, "name": NAME}
    if command:
        fields.update(command=command[0], commandArgs=command[1:])
    # The key makes it one instance, also when an earlier first start was cut off after creating it.
    key = CommandKey(str(parts.admin), "first-instance", NAME, 201)
    outcome = await parts.commands.create("container", fields, Actor(parts.admin, "corral:first-instance"), key)
    stream = outcome.resource.stream
    try:
        async with asyncio.timeout(SECONDS):
            resource = await _ended(parts.store, stream)
    except TimeoutError:
        say.print(f"[yellow]It is not running after {SECONDS:.0f} s, and goes on: see `corral why {NAME}`[/]")
        return
    events = await parts.store.read_root(stream)
    for milliseconds, event, sentence in timeline(events, hosts.names()):
        say.print(f"  [dim]{milliseconds:7.1f} ms  {event.stream:<22}[/]  {escape(sentence)}")
    if resource.state == "running":
        say.print(f"[green]{NAME} is running[/] (1i{resource.id})")
    else:
        say.print(f"[yellow]{NAME} is {resource.state}[/]: {resource.fields.get('transitioningMessage')}")


async def _ended(store: Store, stream: str) -> Resource:
    """The instance once nothing is under way on it any more."""
    while True:
        resource = fold(stream, await store.read(stream))
        if not resource.open and resource.state != "requested":
            return resource
        await asyncio.sleep(0.02)
