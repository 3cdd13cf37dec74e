"""corral watch: what goes over NATS, for those who have no `nats` CLI. It only listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from agents.joining.access import is_refusal
from commands.catalogue.secrets import masked, secret_names
from deploy.cli.catalogue import catalogue
from deploy.cli.client import remembered
from deploy.cli.errors import Failed
from deploy.cli.keys import believing, trusting
from deploy.cli.options import SERVER, Output, command
from deploy.cli.show import Format, hint, now, out, print_line
from deploy.cli.telling import clock

Json = dict[str, Any]

CONNECT_SECONDS = 5.0
PENDING = 65_536
"""Messages that may wait to be printed; more are dropped, and that is said."""

COLOURS = {"agent": "cyan", "reply": "green", "event": "dim", "presence": "dim", "instance": "magenta", "handler": "cyan"}


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as it came. `data`: what JSON it holds, or its text."""

    subject: str
    data: Any
    reply: str
    at: datetime

    def document(self) -> Json:
        at = self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"subject": self.subject, "reply": self.reply or None, "at": at, "data": self.data}


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "watch", SERVER, [
        "corral watch",
        "corral watch 'corral.agent.>'           (what agents are told)",
        "corral watch 'corral.event.instance.>'  (what happens to instances)",
        "corral watch -o json | jq .subject      (one document a line)",
    ])  # fmt: skip
    def watch(
        subject: Annotated[str, typer.Argument(help="The subjects: * stands for one word, > for all that follow.")] = "corral.>",
        count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many messages.")] = None,
        nats: Annotated[
            str | None, typer.Option("--nats", envvar="CORRAL_NATS", help="Where NATS is.", show_default="what Corral's home remembers")
        ] = None,
        nkey: Annotated[
            Path | None,
            typer.Option(
                "--nkey", metavar="FILE", envvar="NATS_NKEY", help="The seed to show NATS, if it asks for keys.",
                show_default="what Corral's home remembers",
            ),
        ] = None,
        ca: Annotated[
            Path | None,
            typer.Option(
                "--nats-ca", metavar="FILE", envvar="NATS_CA", help="Whose certificates NATS is believed by, PEM.",
                show_default="what Corral's home remembers",
            ),
        ] = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Show the messages between Corral and its agents as they go by, until Ctrl-C."""
        where = nats or remembered("nats")
        if not where:
            raise Failed("where NATS is is not known here: start Corral, or set CORRAL_HOME to its home, or say --nats nats://host:4222")
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_watch(where, subject, count, output, shown(where, nkey, ca)))


def shown(where: str, nkey: Path | None, ca: Path | None) -> dict[str, Any]:
    """What NATS' client is to know: what is given, and of this home's own NATS what the home remembers."""
    own = where == remembered("nats")
    seed, certificates = (str(given or (remembered(name) if own else "")) for given, name in ((nkey, "nats_nkey"), (ca, "nats_ca")))
    options: dict[str, Any] = {}
    if seed:
        try:
            options["nkeys_seed_str"] = Path(seed).expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failed(f"{seed} can't be read: {error}. Say --nkey with a seed that `corral nats-key` made") from None
    if certificates:
        options["tls"] = trusting(certificates) if where == remembered("own_nats") else believing(certificates)
    return options


async def _watch(where: str, subject: str, count: int | None, output: Format, options: Mapping[str, Any]) -> None:
    console, today, hidden = out(), now(), secret_names(catalogue())
    seen = 0
    async for each in listen(where, subject, options):
        heard = replace(each, data=masked(each.data, hidden))  # agents are told some, and a screen has other readers
        if output is Format.JSON:
            print_line(heard.document())
        else:
            kind = heard.subject.split(".")[1] if heard.subject.count(".") else ""
            told = one_line(heard)
            console.print(Text.assemble((f"{clock(heard.at, today)}  ", "dim"), (heard.subject, COLOURS.get(kind, "")), f"  {told}"))
        seen += 1
        if count is not None and seen >= count:
            return


async def listen(where: str, subject: str, options: Mapping[str, Any] | None = None) -> AsyncGenerator[Heard, None]:
    """The messages under a subject from now on. A NATS that goes away is waited for; raises Failed if it is not there at first."""
    import nats
    from nats.errors import BadSubjectError, Error, SlowConsumerError

    refused = False

    async def complain(error: Exception) -> None:
        nonlocal refused
        if "permissions violation" in str(error).lower():
            hint(f"NATS does not let this key do that: {error}")
        elif is_refusal(error) and not refused:
            refused = True
            hint("NATS lets in only who has a key: say --nkey (`corral nats-key` makes one), or set CORRAL_HOME to the server's home")
        if isinstance(error, SlowConsumerError):
            hint("more messages come than can be shown: some are left out")

    ending = asyncio.Event()

    async def gone() -> None:
        if not ending.is_set():
            hint("NATS went away; waiting for it")

    async def back() -> None:
        hint("NATS is there again")

    servers = [each.strip() for each in where.split(",")]
    try:
        client = await asyncio.wait_for(
            nats.connect(
                servers, name="corral watch", connect_timeout=CONNECT_SECONDS, allow_reconnect=True, max_reconnect_attempts=-1,
                reconnect_time_wait=0.5, error_cb=complain, disconnected_cb=gone, reconnected_cb=back, **(options or {}),
            ),
            CONNECT_SECONDS,  # nats-py itself would try for ever, and a watcher wants to hear that nobody is there
        )  # fmt: skip
    except (OSError, TimeoutError, Error) as error:
        raise Failed(f"NATS does not answer at {where} ({str(error) or 'no answer in time'}): start Corral, or say --nats") from None
    try:
        try:
            subscription = await client.subscribe(subject, pending_msgs_limit=PENDING)
        except BadSubjectError:
            said = "words with dots between them, * for any word, > for all the rest, e.g. corral.>"
            raise Failed(f"{subject!r} is not a subject: it has {said}") from None
        await client.flush(5)
        hint(f"listening to {subject} on {where}; Ctrl-C ends it")
        while True:
            message = await subscription.next_msg(timeout=None)
            yield Heard(message.subject, decoded(message.data), message.reply, now())
    finally:
        ending.set()
        with contextlib.suppress(Exception):  # it only listened: nothing is lost
            await asyncio.wait_for(client.close(), 2)


def decoded(payload: bytes) -> Any:
    """The JSON that a message holds, or its text."""
    import orjson

    try:
        return orjson.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")


def one_line(heard: Heard) -> str:
    """What a message says, in a line."""
    data = heard.data
    if not isinstance(data, dict):
        return str(data)[:200]
    if heard.subject.startswith("corral.presence."):
        instances = data.get("instances") or {}
        running = sum(state == "running" for state in instances.values())
        return f"agent {data.get('agent')} lives, {running} of {len(instances)} instances run"
    if data.get("transitioning") == "error":
        return f"error: {' : '.join(filter(None, (data.get('transitioningMessage'), data.get('transitioningInternalMessage'))))}"
    if data.get("transitioning") == "yes":
        percent = f" ({data['transitioningProgress']}%)" if data.get("transitioningProgress") is not None else ""
        return f"under way: {data.get('transitioningMessage') or ''}{percent}"
    if "position" in data and "stream" in data:
        from deploy.cli.telling import gist, recorded

        with contextlib.suppress(KeyError, ValueError, TypeError):  # an event in another form is shown as what it is
            return f"#{data['position']} {gist(recorded(data))}"
    about = " ".join(str(data[key]) for key in ("resourceType", "resourceId") if data.get(key))
    if data.get("previousIds"):
        return f"done: {', '.join(data.get('previousNames') or data['previousIds'])}, {about}"
    if about:
        return f"{about}, command {data.get('id')}"
    return str(data)[:200]
