"""The agent in one file: it needs a Python and nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import agents
from agents.main import options
from agents.unpack import unpacked
from deploy.cli.app import build
from gateway.joining.agent_file import LEFT_OUT, LIBRARIES, agent_file
from tests.support.http import Api

OPTIONAL = {"_typeshed", "libvirt", "nkeys", "orjson"}
"""What agents do without, where it is not there."""

PACKAGES = {"nats-py": "nats", "charset-normalizer": "charset_normalizer", "dnspython": "dns"}


def test_it_is_the_same_every_time() -> None:
    assert agent_file().sha256 == agent_file().sha256


def test_whatever_agents_import_is_in_it() -> None:
    carried = {PACKAGES.get(library, library) for library in LIBRARIES} | {"agents"} | OPTIONAL | set(sys.stdlib_module_names)
    folder = Path(str(agents.__file__)).parent
    for path in folder.rglob("*.py"):
        if path.relative_to(folder).parts[0] in LEFT_OUT:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            missing = {name.partition(".")[0] for name in names} - carried
            assert not missing, f"{path} imports {missing}: add it to LIBRARIES, if it is plain Python"


def test_it_runs_where_nothing_is_installed(tmp_path: Path) -> None:
    file = tmp_path / "agent.pyz"
    file.write_bytes(agent_file().content)
    modules = "agents.main, agents.run, agents.docker, agents.libvirt, agents.several, agents.simulated"
    program = f"import sys; sys.path[:] = [{str(file)!r}, *(p for p in sys.path if 'site-packages' not in p)]; import {modules}"
    bare = [sys.executable, "-I", "-S"]
    subprocess.run([*bare, "-c", program], check=True, timeout=60)
    said = subprocess.run(
        [*bare, str(file), "--sim"], env={"CORRAL_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (said.returncode, said.stdout) == (2, "")
    assert "give --join or --url" in said.stderr
    assert len(list((tmp_path / "agent-code").iterdir())) == 1


def test_what_a_start_left_that_died_while_it_unpacked_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path))
    (tmp_path / "agent.pyz").write_bytes(agent_file().content)
    folder = Path(unpacked(str(tmp_path / "agent.pyz")))
    half = folder.rename(f"{folder}.{os.getpid()}")
    (half / "agents" / "main.py").unlink()
    assert Path(unpacked(str(tmp_path / "agent.pyz"))) == folder
    assert (folder / "agents" / "main.py").exists()
    assert list(folder.parent.iterdir()) == [folder]


async def test_who_has_it_is_not_sent_it_again(api: Api) -> None:
    first = await api.http.get("/v1/scripts/agent.pyz")
    assert (first.status_code, first.headers["content-type"]) == (200, "application/zip")
    assert first.content == agent_file().content
    again = await api.http.get("/v1/scripts/agent.pyz", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_it_takes_the_options_of_corral_agent() -> None:
    command = typer.main.get_command(build())
    context = typer.Context(command)
    assert isinstance(command, typer.core.TyperGroup)
    agent = command.get_command(context, "agent")
    assert agent is not None
    theirs = {name for each in agent.params for name in each.opts if name.startswith("--")}
    assert "--libvirt-type" in theirs
    assert {name for name in theirs if name not in options().format_help()} == {"--log-format", "--nats-ca"}, (
        "it logs JSON, and has --cacert"
    )
