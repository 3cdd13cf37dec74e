"""Extensions: the one in the documentation on a real server, and what is said of those that can't be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.catalogue.builtin import CATALOGUE
from deploy.extensions import ExtensionFailed, catalogue_of
from tests.support.server import CHECKOUT, DidNotServe, Server
from tests.support.waiting import until

DOCUMENTED = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "extensions.md").read_text(), re.DOTALL)


def with_extension(home: Path, text: str, name: str = "own.py") -> Path:
    folder = home / "extensions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return home


@pytest.mark.timeout(180)
def test_the_documented_extension_works_as_it_is_written(tmp_path: Path) -> None:
    [text] = DOCUMENTED
    home = with_extension(tmp_path / "home", text)
    home.chmod(0o700)
    with Server(home) as server, server.http() as http:
        made = http.post("/v1/databases", data={"name": "shop"})
        assert made.status_code == 201, made.text
        database = settled(http, made.json()["links"]["self"], "active")
        assert (database["id"], database["type"], database["sizeMb"]) == ("1db1", "database", 100)
        first = database["password"]
        assert len(first) == 32
        assert http.post("/v1/databases", json={"sizeMb": 1}).json()["code"] == "MinLimitExceeded"

        assert set(database["actions"]) >= {"rotate", "deactivate"}
        assert http.post(f"{database['links']['self']}/?action=rotate").status_code == 202
        rotated = until(lambda: settled(http, database["links"]["self"], "active"), lambda seen: seen["password"] != first)
        assert len(rotated["password"]) == 32

        schema = http.get("/v1/schemas/database").json()
        assert schema["resourceFields"]["sizeMb"]["default"] == 100
        assert [each["name"] for each in http.get("/v1/databases", params={"name": "shop"}).json()["data"]] == ["shop"]
        history = http.get("/v1/events", params={"stream": "database-1"}).text
        assert first not in history
        assert rotated["password"] not in history

        container = http.post("/v1/containers", json={"imageUuid": "sim:x", "name": "web"}).json()
        assert settled(http, container["links"]["self"], "running")["hostname"] == "web.example.org"
        server.restart()
        with server.http() as again:
            assert again.get("/v1/databases/1db1").json()["password"] == rotated["password"]


@pytest.mark.timeout(120)
def test_a_server_with_an_extension_that_is_wrong_does_not_start_and_says_where(tmp_path: Path) -> None:
    home = with_extension(tmp_path / "home", "def extend(catalogue):\n    catalogue.add_step('instance.fly', 'pre', None)\n", "wings.py")
    home.chmod(0o700)
    with pytest.raises(DidNotServe) as failed, Server(home):
        pass
    said = " ".join(str(failed.value).split())
    assert "wings.py, line 2: add_step: there is no process 'instance.fly'; there are instance.create" in said
    assert "Traceback" not in said


def settled(http: httpx.Client, link: str, state: str) -> dict[str, Any]:
    found: dict[str, Any] = until(lambda: http.get(link).json(), lambda seen: bool(seen["state"] == state))
    return found


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("def extend(catalogue)\n", 1, "it is no Python"),
        ("import no_such_module\n", 1, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1\n", None, "no function extend"),
        ("def extend(catalogue):\n    pass\n    raise ValueError('what is this')\n", 3, "it raises ValueError: what is this"),
        ("def extend(catalogue):\n    catalogue.add_step('instance.start', 'during', None)\n", 2, "there is no phase 'during'"),
        ("def extend(catalogue):\n    catalogue.add_step('instance.start', 'pre', print)\n", 2, "is no step"),
        (
            "from commands.catalogue.model import ResourceType\n\n"
            "def extend(catalogue):\n    catalogue.add_type(ResourceType('instance', 'things', '1x', {}))\n",
            4, "there is a type called instance already",
        ),
        (
            "from commands.catalogue.model import Field, ResourceType\n\n"
            "def extend(catalogue):\n    catalogue.add_type(\n"
            "        ResourceType('tie', 'ties', '1t', {'a': Field('a', 'int')}, single=(('a',),)))\n",
            4, "`single` is for types with an owner",
        ),
        (
            "from commands.catalogue.processes.common import lifecycle\n\n\ndef extend(catalogue):\n"
            "    catalogue.add_processes(lifecycle('ghost'))\n",
            4, "is of ghost, which is not a type",
        ),
        (
            "from commands.catalogue.model import Process\n\n\ndef extend(catalogue):\n"
            "    catalogue.add_processes([Process('image.fly', 'image', ('active',), 'flying', 'active')])\n",
            4, "names flying, no state of image.state",
        ),
    ],
    ids=["syntax", "import", "entry", "raises", "phase", "step", "type", "single", "process", "state"],
)  # fmt: skip
def test_an_extension_that_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, line: int | None, why: str) -> None:
    with pytest.raises(ExtensionFailed) as failed:
        catalogue_of(with_extension(tmp_path, text))
    said = str(failed.value)
    assert why in said
    place = str(tmp_path / "extensions" / "own.py") + (f", line {line}: " if line else ": ")
    assert said.startswith(f"the extension {place}")
    assert said.endswith(f"Mend it, or take the file out of {tmp_path / 'extensions'}")


def test_without_extensions_the_catalogue_is_the_built_in_one(tmp_path: Path) -> None:
    assert catalogue_of(tmp_path) is CATALOGUE
    assert catalogue_of(with_extension(tmp_path, "this is no Python", "_helper.py")) is CATALOGUE


def test_files_extend_each_other_in_the_order_of_their_names(tmp_path: Path) -> None:
    header = "from commands.catalogue.model import Decide\n\n\ndef {0}(turn, instance):\n    pass\n\n\ndef extend(catalogue):\n"
    step = "    catalogue.add_step('instance.stop', 'handlers', Decide({0}), priority={1})\n"
    with_extension(tmp_path, header.format("late") + step.format("late", 3000), "a.py")
    with_extension(tmp_path, header.format("soon") + step.format("soon", 500) + step.format("soon", 1500), "b.py")
    extended = [step for logic in catalogue_of(tmp_path).process("instance.stop").logic["handlers"] for step in logic.steps]
    own = list(CATALOGUE.process("instance.stop").handlers)
    assert extended[2:-1] == own
    assert [getattr(step, "decide").__name__ for step in (*extended[:2], extended[-1])] == ["soon", "soon", "late"]  # noqa: B009
