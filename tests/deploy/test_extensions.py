"""Extensions: the one in the documentation on a real server, and what is said of those that can't be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from commands.catalogue.builtin import CATALOGUE
from commands.catalogue.model import Decide
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
            5, "is of ghost, which is not a type",
        ),
        (
            "from commands.catalogue.model import Process\n\n\ndef extend(catalogue):\n"
            "    catalogue.add_processes([Process('image.fly', 'image', ('active',), 'flying', 'active')])\n",
            5, "names flying, no state of image.state",
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


WIDGET = """from commands.catalogue.model import *
from commands.catalogue.processes.common import lifecycle
from commands.catalogue.types.common import ACCOUNT, ALL, LIFE, actions, col, fields, fld, links


def widget(*own, prefix="1wi", verbs=LIFE, **more):
    return ResourceType("widget", "widgets", prefix, fields(*own), links(ACCOUNT), actions("widget", *verbs), ALL, ALL, **more)


def look(turn, resource):
    pass


async def later(turn, resource):
    pass


"""
AT = WIDGET.count("\n") + 2
"""The line of the first statement in `extend`."""


WITH = "add_processes(lifecycle('widget', create={0}))"
TYPE = "add_type(widget())"
UNDONE = "neither undoes it nor says why not: give `undo`"

SLIPS: dict[str, tuple[list[str], int, str]] = {
    # statement(s), which of them is at fault, what is said of it
    "a text for a step": ([TYPE, WITH.format("('x',)")], 1, "process widget.create: 'x' is no step. Steps are Decide, Child, Own"),
    "a function for a step": ([TYPE, WITH.format("(look,)")], 1, "is no step; a function is one as Decide(function)"),
    "a step for steps": ([TYPE, WITH.format("Decide(look)")], 1, "is not a tuple of steps; (step,) is one of one step"),
    "a function inside a logic": ([WITH.format("(Logic('mine', (look,)),)")], 0, "is no step; a function is one"),
    "a name for a function": ([WITH.format("(Decide('nope'),)")], 0, "'nope', is no function. It is called as decide(turn, resource)"),
    "too few parameters": ([WITH.format("(Decide(lambda turn: 1),)")], 0, "can't take 2 values (too many positional arguments)"),
    "an async function": ([WITH.format("(Decide(later),)")], 0, "later, is async or yields, so calling it does nothing"),
    "nothing to wait for": ([WITH.format("(Await(None),)")], 0, "its `until`, None, is no function"),
    "children by a number": ([WITH.format("(Child('nic', 7, 'nic.create'),)")], 0, "Child: its `via`, 7, is no function"),
    "a chain by its name": (
        ["add_processes([Process('widget.x', 'widget', ('active',), 'activating', 'active', chain='widget.y')])"],
        0, "its `chain`, 'widget.y', is no function",
    ),
    "a look by its name": (
        ["add_processes([Process('widget.x', 'widget', ('active',), 'activating', 'active', at_rest='widget.y')])"],
        0, "its `at_rest`, 'widget.y', is no function. It is called as at_rest(turn, resource)",
    ),
    "a text for a process": (["add_processes(['widget.x'])"], 0, "'widget.x' is no Process"),
    "an agent by its number": ([WITH.format("(Ask('w.do', 7, look),)")], 0, "Ask: its `agent`, 7, is no function"),
    "no undo": ([WITH.format("(Ask('w.do', look, look),)")], 0, f"process widget.create asks w.do, and {UNDONE}"),
    "no undo, added": (["add_step('image.create', 'pre', Ask('w.do', look, look))"], 0, f"image.create asks w.do, and {UNDONE}"),
    "an undo that nothing asks": (
        [TYPE, WITH.format("(Ask('w.do', look, look, undo='w.undo'),)")],
        1, "process widget.create undoes w.do by w.undo, which no process of widget asks",
    ),
    "an undo of what is gone that nothing asks": (
        [TYPE, WITH.format("(Ask('w.do', look, look, no_undo='-', undo_gone='w.sweep'),)")],
        1, "process widget.create undoes w.do by w.sweep, which no process of widget asks",
    ),
    "a reading of answers": (
        [WITH.format("(Ask('w.do', look, look, no_undo='-', misread=look),)")],
        0, "Ask: its `misread`, look, can't take 1 value (missing a required argument: 'resource'). It is called as misread(data)",
    ),
    "no timeout": (["add_step('image.create', 'pre', Ask('w.do', look, look, tries=0, seconds=0))"], 0, "asks w.do without a timeout"),
    "a number for a function": (["add_step('image.create', 'pre', Decide(7))"], 0, "add_step to image.create: Decide: its `decide`, 7,"),
    "a priority in words": (["add_step('image.create', 'pre', Decide(look), priority='high')"], 0, "is a whole number; 'high' is no int"),
    "a field's type": (
        ["add_type(widget(fld('size', 'integer', 'rcu')))"],
        0, "field size is of type 'integer': there is none of that name (int?); possible: string, int, boolean,",
    ),
    "an element's type": (["add_type(widget(fld('sizes', 'array[integer]', 'rcu')))"], 0, "field sizes is of type 'array[integer]'"),
    "a reference": (["add_type(widget(fld('h', 'reference[hosst]', 'rcu')))"], 0, "'reference[hosst]': there is no type 'hosst' (host?)"),
    "an access": (["add_type(widget(fld('size', 'int', 'rwx')))"], 0, "has the access 'wx'; possible: r(ead), c(reate) and u(pdate)"),
    "a store": (["add_type(widget(Field('size', 'int', 'column')))"], 0, "is kept in 'column'; possible: col, fld, calc, proto"),
    "a default": (
        ["add_type(widget(fld('size', 'enum', options=('s', 'm'), default='l')))"],
        0, "field size is 'l' by default, which is none of its options s, m",
    ),
    "a taken prefix": (["add_type(widget(prefix='1i'))"], 0, "its id prefix '1i' is that of"),
    "no prefix": (["add_type(widget(prefix='w'))"], 0, "its id prefix 'w' is not 1 and small letters"),
    "no processes": ([TYPE], 0, "type widget offers what nothing carries out: there is no process widget."),
    "no create": (["add_type(widget(verbs=()))"], 0, "there is no process widget.create. add_processes(lifecycle('widget')) adds"),
    "an action without": (["add_type(widget(verbs=(*LIFE, 'spin')))", WITH.format("()")], 0, "there is no process widget.spin. add_"),
    "a text for a type": (["add_type('widget')"], 0, "add_type takes a type; 'widget' is no ResourceType"),
    "a text for a link": (["add_link('host', 'widgets')"], 0, "add_link to host takes a link; 'widgets' is no Link"),
    "a link to nowhere": (["types", "add_link('host', Link('w', 'widgget', 'hostId'))"], 1, "host.w goes to widgget, which is not a type"),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "at", "why"), SLIPS.values(), ids=SLIPS)
def test_a_slip_in_a_type_or_a_process_is_found_at_the_start_and_not_by_the_first_that_runs(
    tmp_path: Path, lines: list[str], at: int, why: str
) -> None:
    text = f"{WIDGET}def extend(catalogue):\n" + "".join(f"    catalogue.{line}\n" for line in lines)
    with pytest.raises(ExtensionFailed) as failed:
        catalogue_of(with_extension(tmp_path, text))
    said = str(failed.value)
    assert said.startswith(f"the extension {tmp_path / 'extensions' / 'own.py'}, line {AT + at}: ")
    assert why in said


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("async def extend(catalogue):\n    raise ValueError\n", 1, "its extend is async or yields, so calling it does nothing"),
        ("\ndef extend(catalogue):\n    yield catalogue\n", 2, "its extend is async or yields, so calling it does nothing"),
        ("def extend():\n    pass\n", 1, "its extend can't take 1 value"),
        ("import sys\nsys.exit(3)\n", 2, "it raises SystemExit: 3"),
        ("def extend(catalogue):\n    raise SystemExit\n", 2, "it raises SystemExit"),
    ],
)
def test_a_file_that_would_do_nothing_or_end_corral_without_a_word_is_told(tmp_path: Path, text: str, line: int, why: str) -> None:
    with pytest.raises(ExtensionFailed) as failed:
        catalogue_of(with_extension(tmp_path, text))
    assert str(failed.value).startswith(f"the extension {tmp_path / 'extensions' / 'own.py'}, line {line}: {why}")


def test_a_kind_of_a_type_shares_its_id_prefix(tmp_path: Path) -> None:
    text = f"{WIDGET}def extend(catalogue):\n    catalogue.add_type(ResourceType('jail', 'jails', '1i', fields(), parent='instance'))\n"
    assert catalogue_of(with_extension(tmp_path, text)).type("instance").children[-1] == "jail"


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
    assert [step.decide.__name__ for step in (*extended[:2], extended[-1]) if isinstance(step, Decide)] == ["soon", "soon", "late"]
