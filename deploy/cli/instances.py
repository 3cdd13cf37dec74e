"""corral run, ps, inspect, start, stop, rm: what people do with instances, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.text import Text

from commands.catalogue.secrets import masked, secret_names
from commands.logic.placement import NOT_PLACED
from commands.logic.storage import IMAGE_DRIVERS
from commands.resource import fold
from deploy.cli import moments
from deploy.cli.catalogue import catalogue
from deploy.cli.client import Client
from deploy.cli.errors import Failed, WrongUse
from deploy.cli.hosts import host_title, why_none
from deploy.cli.live import print_engines
from deploy.cli.options import INSTANCES, Output, Thing, Things, Timeout, Url, Wait, command, connect
from deploy.cli.reading import names, of_stream, stream_of
from deploy.cli.references import names_of
from deploy.cli.show import Format, age, err, hint, out, print_json, state_text, table, waiting
from deploy.cli.state import show_then
from deploy.cli.telling import recorded, timeline
from deploy.cli.things import INSTANCES as ONLY_INSTANCES
from deploy.cli.things import Thing as Found
from deploy.cli.things import Unknown, resolve, resolve_host
from deploy.cli.waiting import until_settled

Json = dict[str, Any]

AT_REST = frozenset({"stopped", "removed", "purged"})

UNTOLD = frozenset({"id", "type", "state", "transitioning", "links", "actions", "data"})
"""Fields that `inspect` shows in its heading, in lines of their own, or not at all."""

LONG = 120
"""Characters of JSON that still read well on one line."""

RUN_SECONDS = 600.0
"""An image may take long to be pulled."""


def register(app: typer.Typer) -> None:
    """Adds these commands to the CLI."""

    @command(app, "run", INSTANCES, [
        "corral run sim:hello --name web",
        "corral run docker:nginx -p 8080:80 -e MODE=test",
        "corral run nginx                        (the same as docker:nginx)",
        "corral run busybox -- sleep 600         (-- ends corral's own options)",
        "corral run sim:big --vm --host 1h2 --no-wait",
        "corral run --vm debian --memory 1024    (of the image that is called debian)",
    ])  # fmt: skip
    def run(
        image: Annotated[
            str,
            typer.Argument(
                metavar="IMAGE",
                help="docker:NAME, sim:NAME, or NAME: docker:NAME. With --vm a NAME is an image's, by which Corral knows it.",
                show_default=False,
            ),
        ],
        words: Annotated[
            list[str] | None, typer.Argument(metavar="COMMAND", help="What it runs, instead of the image's own.", show_default=False)
        ] = None,
        name: Annotated[str | None, typer.Option("--name", "-n", metavar="NAME", help="What people call it.")] = None,
        env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="A variable; may be repeated.")] = None,
        publish: Annotated[
            list[str] | None, typer.Option("--publish", "-p", metavar="[PUBLIC:]PRIVATE[/udp]", help="A port; may be repeated.")
        ] = None,
        host: Annotated[str | None, typer.Option("--host", metavar="THING", help="The host it must run on.")] = None,
        vm: Annotated[bool, typer.Option("--vm", help="A virtual machine instead of a container.")] = False,
        memory: Annotated[int | None, typer.Option("--memory", metavar="MB", min=4, help="Of a virtual machine.")] = None,
        wait: Wait = True,
        show_timeline: Annotated[bool, typer.Option("--timeline", help="Then show what happened, event by event.")] = False,
        timeout: Timeout = RUN_SECONDS,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Create an instance, wait until it runs, print its id."""
        with connect(url) as client:
            fields = new_instance(image, words or [], name, env or [], publish or [])
            kind = fields["imageUuid"].partition(":")[0]
            if vm and not image.startswith(f"{kind}:"):
                known = _machine_image(client, image, fields.pop("imageUuid"))
                fields["imageId"], kind = known.id, known.document["kind"]
            if memory is not None:
                fields["memoryMb"] = memory
            if host is not None:
                fields["requestedHostId"] = resolve_host(client, host, (kind,)).id
            answer = client.post("/v1/virtualmachines" if vm else "/v1/containers", fields)
            found = Found("instance", answer.document)
            if wait:
                found = until_settled(client, found, timeout)
            if output is Format.JSON:
                print_json(found.document)
            else:
                out().print(found.id)
            if show_timeline and output is Format.TEXT:
                print_timeline(client, found)
            if wait and found.state != "running":
                raise Failed(_why(found, "running") + _and_no_host(client, found))

    @command(app, "ps", INSTANCES, ["corral ps", "corral ps -a", "corral ps -o json | jq '.[].name'"])
    def ps(
        everything: Annotated[bool, typer.Option("--all", "-a", help="Stopped ones too, and for a minute removed ones.")] = False,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """List the instances."""
        with connect(url) as client, waiting("asking for the instances"):
            every = client.all("/v1/instances", include=["hosts", "image"])
        shown = every if everything else [each for each in every if each["state"] not in AT_REST or each["transitioning"] == "yes"]
        if output is Format.JSON:
            print_json(shown)
            return
        table(("ID", "NAME", "STATE", "IMAGE", "HOST", "PORTS", "AGE"), [_row(each) for each in shown])
        if len(every) > len(shown):
            hint(f"{len(every) - len(shown)} more not running: corral ps -a")
        elif not every:
            hint("No instances: corral run sim:hello --name first")
        if everything:
            hint("Those removed by force or long ago: corral replay --to 0s --type instance --all")

    @command(app, "inspect", INSTANCES, [
        "corral inspect web",
        "corral inspect host-1 -o json",
        "corral inspect 1i5 -o json | jq .data",
        "corral inspect credential-3 --secrets   (keys and tokens in clear, which are *** else)",
        "corral inspect web --at 12h             (as it was 12 hours ago; also a position, or a time)",
        "corral inspect web --engine             (what its container engine says of it, as docker inspect)",
    ])  # fmt: skip
    def inspect(
        thing: Thing,
        at: Annotated[str | None, typer.Option("--at", metavar="MOMENT", help=f"As it was at {moments.HELP}.")] = None,
        secrets: Annotated[bool, typer.Option("--secrets", help="Keys and tokens in clear; -o json has them anyway.")] = False,
        engine: Annotated[bool, typer.Option("--engine", help="What the engine of its host says of it just now, as JSON.")] = False,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Show everything that is known about a thing."""
        if secrets and at is not None:
            raise WrongUse("--secrets is about what is now: what looks back has every secret masked")
        if engine and at is not None:
            raise WrongUse("an engine knows what is now: --engine goes without --at")
        with connect(url) as client:
            if at is not None:
                _describe_then(client, stream_of(client, thing), moments.position_over_http(client, at), output)
                return
            if engine:
                found = resolve(client, thing, ONLY_INSTANCES)
                print_engines(client, found.path, found.title)
                return
            found = resolve(client, thing)
            if output is Format.JSON:
                print_json(found.document)
            else:
                _describe(client, found, secrets)

    @command(app, "start", INSTANCES, ["corral start web", "corral start 1i5 1i6 --no-wait"])
    def start(things: Things, wait: Wait = True, timeout: Timeout = RUN_SECONDS, url: Url = None, output: Output = Format.TEXT) -> None:
        """Start stopped instances."""
        with connect(url) as client:
            _each(client, things, output, lambda found: _act(client, found, "start", "running", wait, timeout))

    @command(app, "stop", INSTANCES, ["corral stop web", "corral stop web db"])
    def stop(things: Things, wait: Wait = True, timeout: Timeout = 120.0, url: Url = None, output: Output = Format.TEXT) -> None:
        """Stop running instances; they keep their place and their data."""
        with connect(url) as client:
            _each(client, things, output, lambda found: _act(client, found, "stop", "stopped", wait, timeout))

    @command(app, "migrate", INSTANCES, ["corral migrate web", "corral migrate web db --to 1h2"])
    def migrate(
        things: Things,
        to: Annotated[str | None, typer.Option("--to", metavar="HOST", help="Where to; else to where there is most room.")] = None,
        wait: Wait = True,
        timeout: Timeout = RUN_SECONDS,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Move running instances to another host. A container ends before it starts there anew, from its image; a VM runs on."""
        with connect(url) as client:
            _each(client, things, output, lambda found: _move(client, found, to, wait, timeout))

    @command(app, "rm", INSTANCES, ["corral rm web", "corral rm web db --purge"])
    def rm(
        things: Things,
        purge: Annotated[bool, typer.Option("--purge", help="Also let go of what removal keeps for a restore (its volumes).")] = False,
        wait: Wait = True,
        timeout: Timeout = 120.0,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Remove instances (a running one is stopped first), or other things that may be removed."""
        if purge and not wait:
            raise WrongUse("--purge comes after the removal, and so has to wait for it: leave out --no-wait")
        with connect(url) as client:
            _each(client, things, output, lambda found: _remove(client, found, purge, wait, timeout), None)


def new_instance(image: str, words: Sequence[str], name: str | None, env: Sequence[str], ports: Sequence[str]) -> Json:
    """The fields of a new instance, from what was typed."""
    driver, colon, _ = image.partition(":")
    fields: Json = {"imageUuid": image if colon and driver in IMAGE_DRIVERS else f"docker:{image}"}
    if name:
        fields["name"] = name
    if words:
        fields.update(command=words[0], commandArgs=list(words[1:]))
    if env:
        pairs = [each.partition("=") for each in env]
        if bad := next((each for each in pairs if not each[1] or not each[0]), None):
            raise WrongUse(f"--env {''.join(bad)} is not NAME=VALUE")
        fields["environment"] = {key: value for key, _, value in pairs}
    if ports:
        fields["ports"] = list(ports)
    return fields


def print_timeline(client: Client, found: Found) -> None:
    events = [recorded(each) for each in client.events(root=found.stream)]
    console = out()
    for ms, event, told in timeline(events, names(client)):
        console.print(Text.assemble((f"  {ms:8.1f} ms  ", "dim"), f"{event.stream:<26}", told))


def _each(client: Client, things: Sequence[str], output: Format, do: Any, types: Sequence[str] | None = ONLY_INSTANCES) -> None:
    """One after the other; all are tried, and if any fails so does the command."""
    done: list[Json] = []
    failed: Failed | None = None
    for text in things:
        try:
            document = do(resolve(client, text, types))
        except Failed as failure:
            if failed is not None:
                err().print(Text(str(failed), style="red"))
            failed = failure
            continue
        done.append(document)
        if output is Format.TEXT:
            out().print(f"{document['id']} {document['state']}")
    if output is Format.JSON:
        print_json(done)
    if failed is not None:
        raise failed


def _act(client: Client, found: Found, action: str, goal: str, wait: bool, timeout: float) -> Json:
    found = Found(found.type, client.find(found.path) or found.document)  # a name is looked up in lists, which may lag
    if found.state == goal and found.document.get("transitioning") != "yes":
        hint(f"{found.title} is {goal} already")
        return found.document
    if action not in (found.document.get("actions") or {}):
        offered = ", ".join(sorted(found.document.get("actions") or {})) or "nothing"
        raise Failed(f"{found.title} is {found.state}: it can't {action} now. What it can: {offered}")
    document: Json = client.post(found.path, action=action).document
    if not wait:
        return document
    found = until_settled(client, found, timeout)
    if found.state != goal or found.document.get("transitioning") == "error":
        raise Failed(_why(found, goal))
    return found.document


def _move(client: Client, found: Found, to: str | None, wait: bool, timeout: float) -> Json:
    found = Found(found.type, client.find(found.path) or found.document)
    if "migrate" not in (found.document.get("actions") or {}):
        raise Failed(f"{found.title} is {found.state}: only what is running can move")
    where = {}
    if to is not None:
        where["hostId"] = resolve_host(client, to, [each["kind"] for each in client.all(f"{found.path}/hosts")]).id
    document: Json = client.post(found.path, where, action="migrate").document
    if not wait:
        return document
    found = until_settled(client, found, timeout)
    if found.state != "running" or found.document.get("transitioning") == "error":
        raise Failed(f"{found.title} did not move and is {found.state}: {found.document.get('transitioningMessage')}")
    hint(f"{found.title} runs on {', '.join(map(host_title, client.all(f'{found.path}/hosts', include=['agent'])))}")
    return found.document


def _remove(client: Client, found: Found, purge: bool, wait: bool, timeout: float) -> Json:
    if found.document.get("removed") is None:
        found = Found(found.type, client.delete(found.path).document)
        if not wait:
            return found.document
        found = until_settled(client, found, timeout)
        if found.document.get("removed") is None:
            raise Failed(_why(found, "removed"))
    if purge and found.state == "removed":
        client.post(found.path, action="purge")
        found = until_settled(client, found, timeout)
        if found.state != "purged":
            raise Failed(_why(found, "purged"))
    return found.document


def _machine_image(client: Client, name: str, uuid: str) -> Found:
    """One that is known by this name, or as Docker's of this name: what nobody told of is a container's."""
    with suppress(Unknown):
        return resolve(client, name, ("image",))
    try:
        return resolve(client, uuid, ("image",))
    except Unknown as error:
        how = "POST /v1/images makes one known, a disk by its url (docs/libvirt.md) or Docker's that holds a disk (docs/machines.md)"
        raise Failed(f"no image is called {name!r}: {how}") from error


def _why(found: Found, goal: str) -> str:
    message = found.document.get("transitioningMessage")
    return f"{found.title} is {found.state}, not {goal}{f': {message}' if message else ''}. See `corral why {found.id}`"


def _and_no_host(client: Client, found: Found) -> str:
    """Where it found no place because there is no host, what became of those that there were."""
    if NOT_PLACED not in str(found.document.get("transitioningMessage")):
        return ""
    hosts = client.all("/v1/hosts")
    return "" if any(each.get("removed") is None for each in hosts) else f"\n{why_none(client)}"


def _row(each: Json) -> tuple[str | Text, ...]:
    hosts = ", ".join(str(host.get("name") or host["id"]) for host in each.get("hosts") or [])
    name, image = each.get("name") or "", image_of(each)
    return (each["id"], name, state_text(each), image, hosts, ports_of(each), age(each.get("createdTS")))


def image_of(document: Json) -> str:
    """As it was asked for; where that was by id, by its uuid (its name, where that says nothing), else by the id alone: who may run an
    image need not be shown it."""
    image = document.get("image")
    shown = image.get("uuid") if isinstance(image, dict) else None
    if isinstance(image, dict) and ":" not in str(shown):
        shown = image.get("name") or shown
    return str(document.get("imageUuid") or shown or document.get("imageId") or "")


def ports_of(document: Json) -> str:
    """What an agent says is published, else what was asked for."""
    fields = (document.get("data") or {}).get("fields") or {}
    published = document.get("dockerPorts") or fields.get("dockerPorts")
    if isinstance(published, dict) and published:
        return ", ".join(f"{public}->{private}" if public else str(private) for private, public in sorted(published.items()))
    return ", ".join(str(each) for each in fields.get("ports") or [])


def facts_of(document: Json) -> Json:
    """What is set, each once: the fields shown at the top, then what only `data` holds."""
    told = {name: value for name, value in document.items() if name not in UNTOLD and not name.endswith("TS")}
    data = dict(document.get("data") or {})
    fields = data.pop("fields", None) or {}
    hidden = {name: value for name, value in fields.items() if name not in document}
    ordered = {**dict(sorted(told.items())), **dict(sorted(hidden.items())), **{f"data.{name}": data[name] for name in sorted(data)}}
    return {name: value for name, value in ordered.items() if value not in (None, [], {})}


def readable(value: Any) -> str:
    """Text as it is, small structures as JSON, large ones by what they hold."""
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= LONG:
        return text
    if isinstance(value, dict):
        return f"holds {', '.join(sorted(value))} (-o json shows all)"
    return json.dumps(value, indent=2, ensure_ascii=False)


def _describe_then(client: Client, stream: str, position: int, output: Format) -> None:
    """As the log had it, without what a document adds (links, actions): masked as the log is."""
    resource = fold(stream, of_stream(client, stream, position))
    if not resource.exists:
        raise Failed(f"{stream} does not exist at position {position}: it comes later, if ever")
    show_then(resource, output)


def _describe(client: Client, found: Found, secrets: bool) -> None:
    """What is set, one a line; then where its links lead and what can be done. Who else is named is named by id and name."""
    console = out()
    document = found.document
    links, actions = sorted(document.get("links") or {}), sorted(document.get("actions") or {})
    console.print(Text.assemble((found.title, "bold"), f"  {found.document['type']}, {found.stream}, ", state_text(found.document)))
    facts, called = facts_of(document if secrets else masked(document, secret_names(catalogue()))), names_of(client, document)
    if found.type == "instance" and (hosts := client.all(f"{found.path}/hosts", include=["agent"])):
        facts["hosts"] = ", ".join(map(host_title, hosts))
    width = max((len(name) for name in (*facts, "actions")), default=0)
    for name, value in sorted(facts.items(), key=lambda each: each[0].startswith("data.")):
        text = f"{value} ({called[name]})" if name in called else readable(value)
        console.print(Text.assemble((f"  {name:<{width}}  ", "dim"), text.replace("\n", "\n" + " " * (width + 4))))
    console.print(Text.assemble((f"  {'links':<{width}}  ", "dim"), ", ".join(links)))
    console.print(Text.assemble((f"  {'actions':<{width}}  ", "dim"), ", ".join(actions) or "none now"))
    if found.type == "instance":
        hint(f"How it came to be: corral replay {found.stream}")
