"""corral sim: simulated hosts by the thousand, which misbehave as a seed decides, to see what a Corral does with them."""

from __future__ import annotations

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from deploy.cli.client import Client, base_url, home, key_at, trusted
from deploy.cli.errors import Failed
from deploy.cli.options import SERVER, Logged, NatsUrl, Url, command
from deploy.cli.show import err, out
from deploy.settings import LogFormat, LogLevel

if TYPE_CHECKING:
    from agents.crowd.crowd import Crowd, CrowdOptions

TELL_SECONDS = 5.0
AT_ONCE = 8
"""Hosts that are removed at the same time."""
END_SECONDS = 30.0
"""For one of its agents or hosts to be deactivated, or removed."""
MOST = 20_000


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "sim", SERVER, [
        "corral sim --hosts 1000 --profile flaky --seed 7    (the same seed brings the same faults)",
        "corral sim --hosts 20 --clusters 4 --profile stormy (clusters of 5, which vanish as a whole)",
        "corral sim --hosts 20 --profile ./mine.toml         (faults of your own: docs/simulator.md)",
        "corral sim --hosts 20 --remove                      (takes them away again, for good)",
    ])  # fmt: skip
    def sim(
        url: Url = None,
        hosts: Annotated[int, typer.Option("--hosts", metavar="N", min=1, max=MOST, help="How many.")] = 10,
        profile: Annotated[
            str, typer.Option("--profile", metavar="NAME|FILE", help="calm, slow, flaky, stormy, or a TOML file of rules.")
        ] = "calm",
        seed: Annotated[int, typer.Option("--seed", metavar="N", help="What the dice are thrown by.")] = 0,
        clusters: Annotated[int, typer.Option("--clusters", metavar="N", min=1, help="Groups of hosts that share a fate.")] = 1,
        name: Annotated[str, typer.Option("--name", help="What they are called: paper-0, paper-1, ...")] = "paper",
        folder: Annotated[
            Path | None, typer.Option("--home", help="Where they remember what they did.", show_default="$CORRAL_HOME/sim/NAME")
        ] = None,
        nats: NatsUrl = None,
        log_level: Logged = LogLevel.ERROR,
        remove: Annotated[bool, typer.Option("--remove", help="Remove these hosts and their agents from the server, and end.")] = False,
    ) -> None:
        """Be many simulated hosts at once, until Ctrl-C. Each is an agent of its own; a profile says what goes wrong with them."""
        from agents.crowd.crowd import CrowdOptions
        from agents.crowd.faults import BadProfile
        from agents.crowd.faults import profile as known

        where = base_url(url)
        try:
            rules = known(profile)
        except BadProfile as error:
            raise Failed(str(error)) from None
        place = (folder or home() / "sim" / name).expanduser().absolute()
        options = CrowdOptions(where, place, hosts, seed, rules, min(clusters, hosts), name, nats, key_at(where), trusted(where))
        if remove:
            _remove(options)
            return
        from deploy.logs import configure
        from deploy.web import allow_many_connections

        configure(log_level, LogFormat.AUTO)
        allow_many_connections()
        asyncio.run(_run(options))


async def _run(options: CrowdOptions) -> None:
    from agents.crowd.crowd import Crowd
    from agents.joining.registration import RegistrationRefused
    from agents.process.ledger import LedgerInUse

    crowd = Crowd(options)
    running = asyncio.create_task(crowd.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    telling = asyncio.create_task(_tell(crowd))
    try:
        await running
    except (RegistrationRefused, LedgerInUse) as error:
        raise Failed(str(error)) from None
    except asyncio.CancelledError:
        err().print(Text(f"Stopped. The server still knows these hosts: corral sim --name {options.name} --hosts {options.hosts} --remove"))
    finally:
        telling.cancel()


async def _tell(crowd: Crowd) -> None:
    """A line when something has changed, at most one in TELL_SECONDS."""
    began, told, ready = time.monotonic(), "", False
    while True:
        if crowd.hearing == crowd.options.hosts and not ready:
            ready = True
            sentence = f"{crowd.options.hosts} hosts hear commands, after {time.monotonic() - began:.1f} s. Ctrl-C stops them"
            out().print(Text(sentence, style="green"))
        said = _state(crowd)
        if said != told:
            err().print(Text(said, style="dim"))
            told = said
        for _ in range(int(TELL_SECONDS / 0.1)):
            await asyncio.sleep(0.1)
            if not ready and crowd.hearing == crowd.options.hosts:
                break


def _state(crowd: Crowd) -> str:
    if crowd.trouble:
        return f"{crowd.trouble}. Trying again until it does"
    if crowd.registered < crowd.options.hosts and not crowd.hosts:
        return f"{crowd.registered} of {crowd.options.hosts} are registered"
    done = ", ".join(f"{count} commands {how}" for how, count in sorted(crowd.carried.outcomes.items())) or "no command yet"
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(crowd.faults.items())) or "none"
    return f"{crowd.hearing} hosts hear, {crowd.away} are away; {done}; faults: {faults}"


def _remove(options: CrowdOptions) -> None:
    """Takes back what the server knows of them; what is running there is lost with its host."""
    wanted = {f"{options.name}-{index}" for index in range(options.hosts)}
    with Client(options.url) as client:
        agents = [each["id"] for each in client.all("/v1/agents", kind="sim") if each.get("uuid") in wanted and not each.get("removed")]

    def gone(agent: str) -> list[str]:
        """-> what is left of it."""
        with Client(options.url) as client:
            paths = [*(f"hosts/{host['id']}" for host in client.all("/v1/hosts", agentId=agent)), f"agents/{agent}"]
            return [left for path in paths if (left := _end(client, path))]

    left: list[str] = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for count, what in enumerate(threads.map(gone, agents), 1):
            left += what
            if count % 100 == 0:
                err().print(Text(f"{count} of {len(agents)}", style="dim"))
    if left:
        some = ", ".join(left[:5]) + (", ..." if len(left) > 5 else "")
        raise Failed(f"{len(left)} can't be removed yet: {some}. corral why 1a7 tells more of an agent; try again then")
    out().print(Text(f"{len(agents)} simulated hosts are removed", style="green"))


def _end(client: Client, path: str) -> str:
    """Deactivated and removed, as far as its state permits. -> what it is then, if it is not removed."""
    for action in ("deactivate", "remove"):
        if action in client.get(f"/v1/{path}")["actions"]:
            client.post(f"/v1/{path}/?action={action}")
            deadline = time.monotonic() + END_SECONDS
            while client.get(f"/v1/{path}").get("transitioning") == "yes" and time.monotonic() < deadline:
                time.sleep(0.05)
    document = client.get(f"/v1/{path}")
    return "" if document.get("removed") else f"{path} ({document['state']})"
