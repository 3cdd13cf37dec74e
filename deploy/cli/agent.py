"""corral agent: this machine as hosts of a Corral elsewhere. Makes itself known over HTTP, then works over NATS until it is told to stop.

    ask the server where NATS is -> find or make this agent's row (by a uuid kept in its folder) -> hear commands -> ... -> Ctrl-C
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.text import Text

from commands.catalogue.ids import number_of
from deploy.cli.client import Client, base_url, home
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.options import SERVER, Url, command
from deploy.cli.show import err, out, waiting

if TYPE_CHECKING:
    from agents.driver import Driver

Json = dict[str, Any]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ACTIVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Known:
    """This agent, as the server has it."""

    number: int
    uuid: str
    nats: str


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "agent", SERVER, [
        "corral agent --url http://10.0.0.1:8080          (this machine's Docker becomes a host of that Corral)",
        "corral agent --sim --name paper --home ./paper   (a simulated host, to try things out)",
    ])  # fmt: skip
    def agent(
        url: Url = None,
        docker: Annotated[
            str | None,
            typer.Option(
                "--docker", metavar="URL", envvar="CORRAL_DOCKER", help="The Docker engine.", show_default="DOCKER_HOST, or the socket"
            ),
        ] = None,
        sim: Annotated[bool, typer.Option("--sim", help="Simulate a host instead.")] = False,
        name: Annotated[str | None, typer.Option("--name", help="What people call it.", show_default="this machine's name")] = None,
        folder: Annotated[
            Path | None,
            typer.Option("--home", help="Where it remembers who it is; each agent has its own.", show_default="$CORRAL_HOME/agent"),
        ] = None,
        nats: Annotated[
            str | None,
            typer.Option("--nats", envvar="CORRAL_NATS", help="Where NATS is.", show_default="what the server says"),
        ] = None,
    ) -> None:
        """Make this machine a host: run its containers as the Corral at --url says, until Ctrl-C. They go on running after it."""
        if sim and docker:
            raise WrongUse("--sim and --docker are two kinds of hosts: start an agent for each, with a --home of its own")
        from deploy.logs import configure
        from deploy.settings import LogFormat, LogLevel

        configure(LogLevel.INFO, LogFormat.AUTO)
        where = base_url(url)
        folder = (folder or home() / "agent").expanduser().absolute()
        with suppress(KeyboardInterrupt, asyncio.CancelledError):
            asyncio.run(_run(where, docker, "sim" if sim else "docker", name or socket.gethostname(), folder, nats))


async def _run(where: str, docker: str | None, kind: str, name: str, folder: Path, nats: str | None) -> None:
    from agents.ledger import LedgerInUse
    from agents.process import Agent

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    identity = identity_in(folder, kind)
    driver = await _driver(kind, docker, identity, folder, name)  # before the server hears of it: without an engine there is no host
    known = await asyncio.to_thread(make_known, where, identity, kind, name, nats)
    agent = Agent(known.number, known.uuid, driver, folder, known.nats)
    try:
        await agent.start()
    except LedgerInUse as error:
        raise Failed(f"{error} (--home)") from None
    try:
        err().print(f"Agent 1a{known.number} ({name}) works for {where}, by NATS at {known.nats}; Ctrl-C ends it")
        telling = asyncio.create_task(asyncio.to_thread(_tell_when_active, where, known.number))
        ended = asyncio.create_task(agent.wait())
        await asyncio.wait({ended, asyncio.ensure_future(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        telling.cancel()
        if ended.done():
            ended.result()
    finally:
        await agent.stop()
    err().print("Stopped. What it runs goes on running; a later start with this --home takes it up again")


def identity_in(folder: Path, kind: str) -> str:
    """The uuid by which the server knows the agent of this folder; made at its first start. Its kind of host can't change."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    remembered = folder / "agent.json"
    try:
        known: Json = json.loads(remembered.read_bytes())
    except FileNotFoundError:
        known = {"uuid": str(uuid.uuid4()), "kind": kind}
        fresh = folder / "agent.json.new"
        fresh.write_text(json.dumps(known) + "\n")
        fresh.replace(remembered)
    except ValueError as error:
        raise Failed(f"{remembered} can't be read ({error}): restore it, or give the agent a new --home, and it is a new agent") from None
    if known.get("kind") != kind:
        raise WrongUse(f"{folder} is the home of a {known.get('kind')} agent: give this {kind} one a --home of its own")
    return str(known["uuid"])


def make_known(where: str, identity: str, kind: str, name: str, nats: str | None) -> Known:
    """Finds the agent's row, or creates it. May be repeated: the uuid is the agent's for ever."""
    with Client(where) as client:
        info = client.get("/corral/info")
        address = nats or reachable(str(info.get("nats") or ""), where)
        if not address:
            raise Failed(f"{where} does not say where its NATS is: say it with --nats")
        found = client.all("/v1/agents", uuid=identity)
        if not found:
            created = client.post("/v1/agents", {"uuid": identity, "uri": f"event://{identity}", "name": name, "managedConfig": False})
            found = [created.document]
    if found[0].get("removed") is not None:
        raise Failed(f"this agent, {found[0]['id']}, was removed from {where}: to come back as a new one, give it a new --home")
    number = number_of(str(found[0]["id"]), plain=True)
    assert number is not None, f"{found[0]['id']} is not an id"
    return Known(number, identity, address)


def reachable(nats: str, where: str) -> str:
    """NATS as it is reached from here: an address that only means the server's own machine becomes the server's."""
    server = urlsplit(where).hostname or ""
    parts = urlsplit(nats)
    if parts.hostname not in (*LOOPBACK, "0.0.0.0") or server in LOOPBACK:
        return nats
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{f'[{server}]' if ':' in server else server}{port}"


async def _driver(kind: str, docker: str | None, identity: str, folder: Path, name: str) -> Driver:
    if kind == "sim":
        from agents.simulated import SimulatedDriver

        return SimulatedDriver(identity, folder)
    from agents.docker import NoEngine, reach  # takes long to import

    try:
        with waiting("looking for the Docker engine"):
            return await reach(docker, name=name)
    except NoEngine as reason:
        raise Failed(f"no Docker engine answers here ({reason}): start it, name it with --docker, or try --sim") from None


def _tell_when_active(where: str, number: int) -> None:
    """Says which hosts this agent brought, as soon as the server has taken them in."""
    import time

    deadline = time.monotonic() + ACTIVE_SECONDS
    with Client(where) as client, suppress(Failed):
        while time.monotonic() < deadline:
            hosts = client.all("/v1/hosts", agentId=f"1a{number}")
            active = [each for each in hosts if each["state"] == "active"]
            if active and client.get(f"/v1/agents/1a{number}")["state"] == "active":
                names = ", ".join(f"{each['id']}{' (' + each['name'] + ')' if each.get('name') else ''}" for each in active)
                out().print(Text(f"It takes instances, as host {names}", style="green"))
                return
            time.sleep(0.2)
    err().print(Text(f"It is not active yet: see `corral why agent-{number}`", style="yellow"))
