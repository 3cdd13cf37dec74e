"""The project's own files: what a newcomer or CI relies on in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def pins() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (CHECKOUT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            pin = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line)
            assert pin, f"not an exact version: {line}"
            found[pin[1]] = pin[2]
    return found


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=;\[ ]", name)[0]).lower()


def test_every_package_is_pinned_and_no_index_is_named() -> None:
    text = (CHECKOUT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--" not in text.replace("freeze --all", "")
    pinned = {canonical(name) for name in pins()}
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    assert {canonical(name) for name in wanted} <= pinned
    assert len(pinned) > len(wanted), "what they depend on is pinned too"


def test_make_alone_lists_every_target_with_one_line_of_help() -> None:
    makefile = (CHECKOUT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    listed = subprocess.run(["make", "--no-print-directory"], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=30).stdout
    told = dict(re.findall(r"^  make (\w+) +(.+)$", listed, re.MULTILINE))
    assert set(told) == {"run", "test", "check", "bench", "lab", "clean"} == set(phony[1].split()) - {"help"}
    assert all(len(line) <= 120 for line in listed.splitlines())


def test_decisions_are_numbered_without_gaps_and_each_says_context_decision_and_consequences() -> None:
    decisions = sorted((CHECKOUT / "docs" / "decisions").glob("*.md"))
    assert [decision.name[:5] for decision in decisions] == [f"{number:04}-" for number in range(1, len(decisions) + 1)]
    for number, decision in enumerate(decisions, 1):
        text = decision.read_text()
        assert text.startswith(f"# {number}. "), f"{decision.name} begins with its number"
        for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
            assert part in text, f"{decision.name} lacks {part}"
        assert len(text.splitlines()) <= 60, f"{decision.name} is longer than a page"


def test_every_lint_rule_that_is_ignored_has_its_reason_beside_it() -> None:
    text = (CHECKOUT / "pyproject.toml").read_text()
    for table in re.findall(r"^(?:ignore|\"tests/\S*\") = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL):
        for line in table.splitlines():
            assert re.search(r'",?\s+# \w', line), f"no reason: {line}"


def test_scripts_are_sound_bash() -> None:
    scripts = [CHECKOUT / ".ci" / "run", *sorted((CHECKOUT / "deploy").rglob("*.sh")), *sorted((CHECKOUT / "docs").rglob("*.sh"))]
    assert len(scripts) >= 5
    for script in scripts:
        assert script.stat().st_mode & 0o100, f"{script} is not executable"
        assert script.read_text().startswith("#!/bin/bash\n")
        subprocess.run(["bash", "-n", script], check=True, timeout=10)


def test_import_rules_are_broken_by_an_import_that_points_up(tmp_path: Path) -> None:
    """A contract that can't fail would hold nothing: the same rules are run over a tree with one wrong import."""
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    for package in PROJECT["tool"]["importlinter"]["root_packages"]:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    for module in ("agents/wire.py", "agents/drivers.py", "commands/engine.py", "commands/catalogue.py", "commands/events.py"):
        (tmp_path / module).touch()
    for module in ("commands/merge.py", "commands/resource.py", "eventstore/postgres.py", "gateway/app.py", "projections/views.py"):
        (tmp_path / module).touch()
    (tmp_path / "commands" / "engine.py").write_text("import agents.wire\nimport nats\nimport eventstore\n")
    assert lint_imports(tmp_path) == ""
    for module, line, contract in [
        ("eventstore/postgres.py", "import commands.events", "The log knows no resource"),
        ("commands/engine.py", "import agents.drivers", "Of the agents, commands and the gateway see only"),
        ("commands/engine.py", "import projections.views", "Imports point down"),
        ("gateway/app.py", "import deploy", "Imports point down"),
        ("gateway/app.py", "import eventstore.postgres", "The gateway uses the log by its public names"),
        ("agents/drivers.py", "import commands.events", "The agents import nothing else of ours"),
        ("projections/views.py", "import commands.engine", "Replay can't act"),
        ("commands/engine.py", "import docker", "Only the agents talk to container engines"),
    ]:
        file = tmp_path / module
        before = file.read_text()
        file.write_text(before + line + "\n")
        assert contract in lint_imports(tmp_path), f"{line} in {module} is allowed"
        file.write_text(before)


def lint_imports(folder: Path) -> str:
    """The broken contracts' lines; empty when all are kept."""
    linter = shutil.which("lint-imports") or str(CHECKOUT / ".venv" / "bin" / "lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode == 0:
        return ""
    broken = "\n".join(line for line in run.stdout.splitlines() if "BROKEN" in line)
    assert broken, run.stdout + run.stderr
    return broken


def test_the_licence_is_the_one_that_is_named() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (CHECKOUT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_environment_says_which_python_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit 0\nexit 1\n')
    old.chmod(0o755)
    copy = tmp_path / "checkout" / "deploy"
    copy.mkdir(parents=True)
    shutil.copy(CHECKOUT / "deploy" / "environment.sh", copy)
    environment = {"PYTHON": str(old), "PATH": "/usr/bin:/bin"}
    run = subprocess.run([copy / "environment.sh", "run"], env=environment, capture_output=True, text=True, check=False, timeout=30)
    assert run.returncode != 0
    assert "Corral needs Python 3.11 or later" in run.stderr
    assert "3.9.2" in run.stderr
