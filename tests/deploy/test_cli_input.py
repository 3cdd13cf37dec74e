"""What people type: names of things, addresses, options; and what the CLI makes of it, without a server."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agents.joining.registration import RegistrationRefused
from agents.run import keep_kind
from agents.wire import Message, Presence
from commands.catalogue.builtin import CATALOGUE
from deploy.cli import things
from deploy.cli.app import build
from deploy.cli.client import Client, base_url
from deploy.cli.errors import WrongUse
from deploy.cli.instances import facts_of, new_instance, ports_of, readable
from deploy.cli.servers import addresses, up_command
from deploy.cli.things import Ambiguous, Thing, ids_meant, resolve_host, root_types, stream_meant
from deploy.cli.watch import Heard, decoded, one_line
from deploy.embedded import hold
from deploy.settings import Settings, described

# --- names ---


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("instance-54", ("instance", 54)),
        ("container-54", ("instance", 54)),
        ("Containers-54", ("instance", 54)),
        ("storagePool-1", ("storagePool", 1)),
        ("web-1", None),
        ("instanceStop-1", None),
        ("instance", None),
    ],
)
def test_streams_are_known_by_their_type(text: str, meant: tuple[str, int] | None) -> None:
    assert stream_meant(text) == meant


def test_an_api_id_may_stand_for_several_types_and_the_instance_comes_first() -> None:
    assert ids_meant("1i54") == [("instance", 54), ("image", 54)]
    assert set(ids_meant("1a3")) == {("agent", 3), ("account", 3)}
    assert ids_meant("1IHM7") == [("instanceHostMap", 7)]
    assert ids_meant("54") == []
    assert ids_meant("1zz4") == []


def test_every_stored_type_can_be_named_by_its_id() -> None:
    for kind in root_types():
        assert (kind.name, 5) in ids_meant(f"{kind.prefix}5")
    assert {kind.name for kind in root_types()} <= set(CATALOGUE.types)


# --- addresses ---


def test_the_address_comes_from_the_option_else_from_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path))
    assert base_url(None) == "http://127.0.0.1:8080"
    with hold(tmp_path) as home:
        home.note(url="http://127.0.0.1:9123", nats="nats://127.0.0.1:4333")
    assert base_url(None) == "http://127.0.0.1:9123"
    assert base_url("example.org:80/v1") == "http://example.org:80"
    values = addresses(tmp_path)
    assert values == {
        "CORRAL_HOME": str(tmp_path), "CORRAL_URL": "http://127.0.0.1:9123", "CORRAL_NATS": "nats://127.0.0.1:4333",
        "NATS_URL": "nats://127.0.0.1:4333", "CATTLE_URL": "http://127.0.0.1:9123/v1",
    }  # fmt: skip


@pytest.mark.parametrize("given", ["foo:xx", "ftp://host", "http://"])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(WrongUse, match="is not an address"):
        base_url(given)


def test_an_agents_home_stays_that_of_its_kind(tmp_path: Path) -> None:
    keep_kind(tmp_path / "agent", "sim")
    keep_kind(tmp_path / "agent", "sim")
    with pytest.raises(RegistrationRefused, match="is the home of a sim agent"):
        keep_kind(tmp_path / "agent", "docker")


# --- run ---


@pytest.mark.parametrize(
    ("image", "uuid"),
    [("nginx", "docker:nginx"), ("nginx:1.25", "docker:nginx:1.25"), ("docker:nginx", "docker:nginx"), ("sim:x", "sim:x"),
     ("quay.io:5000/a/b", "docker:quay.io:5000/a/b")],
)  # fmt: skip
def test_a_bare_image_is_dockers(image: str, uuid: str) -> None:
    assert new_instance(image, [], None, [], []) == {"imageUuid": uuid}


def test_what_was_typed_becomes_fields() -> None:
    assert new_instance("sim:x", ["sh", "-c", "a=b"], "web", ["A=b=c", "D="], ["8080:80"]) == {
        "imageUuid": "sim:x", "name": "web", "command": "sh", "commandArgs": ["-c", "a=b"], "environment": {"A": "b=c", "D": ""},
        "ports": ["8080:80"],
    }  # fmt: skip
    with pytest.raises(WrongUse, match="--env A is not NAME=VALUE"):
        new_instance("sim:x", [], None, ["A"], [])


def test_published_ports_come_before_those_that_were_wanted() -> None:
    wanted: dict[str, Any] = {"data": {"fields": {"ports": ["8080:80/tcp"]}}}
    assert ports_of(wanted) == "8080:80/tcp"
    assert ports_of({**wanted, "dockerPorts": {"80/tcp": "8081", "81/tcp": None}}) == "8081->80/tcp, 81/tcp"
    assert ports_of({}) == ""


def test_an_inspection_shows_everything_once_and_no_long_dumps() -> None:
    document: dict[str, Any] = {
        "id": "1i1", "type": "container", "name": "web", "created": "x", "createdTS": 1, "description": None, "links": {"self": "x"},
        "environment": {"A": "b"},
        "data": {"fields": {"environment": {"A": "b"}, "ports": ["80"]}, "dockerContainer": {"Id": "abc", "State": "x" * 500}},
    }  # fmt: skip
    facts = facts_of(document)
    assert list(facts) == ["created", "environment", "name", "ports", "data.dockerContainer"]
    assert readable(facts["environment"]) == '{"A": "b"}'
    assert readable(facts["data.dockerContainer"]) == "holds Id, State (-o json shows all)"


# --- options and help ---


def test_up_has_an_option_for_every_setting_and_names_its_variable() -> None:
    shown = CliRunner().invoke(build(), ["up", "--help"], env={"COLUMNS": "200"}).output
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in shown
    for variable, sentence in described().items():
        assert f"env var: {variable}" in shown
        assert sentence.split()[0] in shown


@pytest.mark.parametrize("words", ["up --port many", "up --hosts moon", "ps --nonsense", "rm", "events --last 1 --after 2", "frobnicate"])
def test_wrong_use_is_told_with_status_2(words: str, tmp_path: Path) -> None:
    ended = corral(*words.split(), home=tmp_path)
    assert ended.returncode == 2, ended
    assert ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_setting_is_named_with_its_variable(tmp_path: Path) -> None:
    assert "CORRAL_PORT can't be 'many'" in corral("up", "--port", "many", home=tmp_path).stderr


def test_a_host_that_is_none_is_told_with_all_that_there_are(tmp_path: Path) -> None:
    said = corral("up", "--hosts", "mars", home=tmp_path).stderr
    assert "CORRAL_HOSTS can't be 'mars': there is no host 'mars': say docker, libvirt, sim" in said
    assert ", or none" in corral("up", "--hosts", "sim,mars", home=tmp_path).stderr
    assert "none stands alone" in corral("up", "--hosts", "sim,none", home=tmp_path).stderr


def test_without_a_server_every_command_says_how_to_get_one(tmp_path: Path) -> None:
    for words in (["ps"], ["hosts"], ["run", "sim:x"], ["inspect", "web"], ["events", "--follow"], ["why", "web"], ["trace", "x"]):
        ended = corral(*words, "--url", "http://127.0.0.1:1", home=tmp_path)
        assert ended.returncode == 1
        assert "Corral does not answer at http://127.0.0.1:1" in ended.stderr
        assert "corral up" in ended.stderr
    for words in (["rebuild"], ["watch"]):
        ended = corral(*words, home=tmp_path)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "CORRAL_HOME" in ended.stderr


def test_every_command_has_help_with_examples() -> None:
    app = build()
    names = [command.name for command in app.registered_commands]
    expected = ["up", "agent", "run", "ps", "hosts", "images", "inspect", "logs", "stop", "start", "migrate", "rm", "events", "replay",
                "why", "trace", "watch", "rebuild", "env", "dot", "archive", "diff", "retry", "cancel", "force-remove", "declare-dead",
                "machine-image", "sim", "exec", "stats", "top", "strays", "nats-key", "nats-config"]  # fmt: skip
    assert sorted(str(name) for name in names) == sorted(expected)
    for name in expected:
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert f"corral {name}" in shown.output.partition("Examples")[2], shown.output


def test_the_help_of_every_command_names_its_options_in_full_on_a_narrow_terminal() -> None:
    app = build()
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for name, command in group.commands.items():
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "80"}).output
        options = [each for each in command.params if isinstance(each, typer.core.TyperOption)]
        names = {name for each in options for name in (*each.opts, *each.secondary_opts)}
        assert {each for each in names if each not in shown} == set(), shown


def test_flags_are_shown_as_taking_no_value() -> None:
    for words in ([], ["ps"], ["diff"], ["run"]):
        shown = CliRunner().invoke(build(), [*words, "--help"], env={"COLUMNS": "200"}).output
        assert "--help" in shown
        assert "bool" not in shown.lower(), shown
    assert CliRunner().invoke(build(), ["ps", "--all=yes"]).exit_code == 2


def test_up_gives_what_was_typed_to_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import deploy.up

    seen: list[Settings] = []

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 3

    monkeypatch.setattr(deploy.up, "run", run)
    app = typer.Typer()
    app.command("up")(up_command())
    ended = CliRunner().invoke(app, ["--port", "9999", "--hosts", "none", "--home", str(tmp_path)], env={"CORRAL_LISTEN": "0.0.0.0"})
    assert ended.exit_code == 3
    assert (seen[0].port, seen[0].hosts, seen[0].home, seen[0].listen) == (9999, (), tmp_path, "0.0.0.0")


# --- watch ---


def heard(subject: str, data: Any) -> Heard:
    return Heard(subject, data, "", datetime.now(UTC))


def test_messages_are_told_in_a_line() -> None:
    command = Message(name="ping", replyTo="corral.reply.1.a1.x", resourceType="agent", resourceId="1a1")
    ask = heard("corral.agent.a1.ping", decoded(command.encode()))
    assert one_line(ask) == f"agent 1a1, command {command.id}"
    assert one_line(heard("corral.reply.1.a1.x", decoded(command.reply().encode()))) == "done: ping, agent 1a1"
    failed = command.reply(transitioning="error", message="no room", internal="disk")
    assert one_line(heard("corral.reply.1.a1.x", decoded(failed.encode()))) == "error: no room : disk"
    half = command.reply(transitioning="yes", message="pulling", progress=50)
    assert one_line(heard("corral.reply.1.a1.x", decoded(half.encode()))) == "under way: pulling (50%)"
    presence = Presence(agent=1, uuid="u", instances={"a": "running", "b": "stopped"})
    assert one_line(heard("corral.presence.a1", decoded(presence.encode()))) == "agent 1 lives, 1 of 2 instances run"


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[1,2]", b"17", b'{"position": 1, "stream": "x"}', b'{"a": {"b": 1}}'])
def test_whatever_goes_over_nats_can_be_watched(payload: bytes) -> None:
    message = heard("corral.x", decoded(payload))
    assert isinstance(one_line(message), str)
    assert json.dumps(message.document())


async def test_a_watcher_hears_what_is_published(nats_url: str) -> None:
    import nats

    from deploy.cli.watch import listen

    client = await nats.connect(nats_url)
    listening = listen(nats_url, "corral.test.watch.>")
    try:
        first = asyncio.ensure_future(anext(listening))
        async with asyncio.timeout(10):
            while not first.done():
                await client.publish("corral.test.watch.x", b'{"a": 1}')
                await asyncio.wait({first}, timeout=0.02)
        assert (first.result().subject, first.result().data) == ("corral.test.watch.x", {"a": 1})
    finally:
        await listening.aclose()
        await client.close()


def corral(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words], env={"PATH": "/usr/bin:/bin", "CORRAL_HOME": str(home), "COLUMNS": "200"},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


# --- moments ---


def test_a_moment_before_the_logs_begin_is_no_option() -> None:
    result = CliRunner().invoke(build(), ["diff", "-1", "4"])
    assert isinstance(result.exception, WrongUse)
    assert "'-1' is no moment: give a position (120), a time" in str(result.exception)


def test_of_a_machine_with_several_engines_the_host_of_the_wanted_kind_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = [Thing("host", {"id": f"1h{number}", "kind": kind, "name": "rack-2"}) for number, kind in ((2, "docker"), (3, "libvirt"))]

    def ambiguous(*given: object) -> Thing:
        raise Ambiguous("rack-2", hosts)

    monkeypatch.setattr(things, "resolve", ambiguous)
    with Client("http://127.0.0.1:1") as client:
        assert resolve_host(client, "rack-2", ["libvirt"]).id == "1h3"
        assert resolve_host(client, "rack-2", ["docker"]).id == "1h2"
        for kinds in (["docker", "libvirt"], ["sim"]):
            with pytest.raises(Ambiguous, match="host-2"):
                resolve_host(client, "rack-2", kinds)
