"""Where settings come from at the start, which is stronger, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.catalogue.tasks import BY_NAME, TASKS
from commands.settings.in_force import Settings
from commands.settings.settings import AT_THE_START, SETTINGS, shown
from deploy.sources import BadSource, setting_of, settings_of, variable_of

TURNS = "engine.turns"


def files(home: Path, **content: str) -> None:
    """local, usual: the two files' content."""
    folder = home / "etc" / "cattle"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        (folder / {"local": "cattle-local.properties", "usual": "cattle.properties"}[name]).write_text(text, encoding="utf-8")


def in_force(settings: Settings, name: str) -> tuple[object, str | None]:
    [found] = [each for each in settings.active() if each.name == name]
    return found.value, found.source


def test_the_environment_is_stronger_than_the_command_line_and_that_than_the_files(tmp_path: Path) -> None:
    files(tmp_path, local=f"{TURNS}=30", usual=f"{TURNS}=20\nengine.processes=7")
    environment = {"CORRAL_ENGINE_TURNS": "60", "CATTLE_ENGINE_TURNS": "50"}
    given = {TURNS: "40"}
    assert in_force(settings_of(environment, given, tmp_path), TURNS) == (60, "Environment Variables")
    del environment["CORRAL_ENGINE_TURNS"]
    assert in_force(settings_of(environment, given, tmp_path), TURNS) == (50, "Environment Variables")
    assert in_force(settings_of({}, given, tmp_path), TURNS) == (40, "System Properties")
    settings = settings_of({}, {}, tmp_path)
    assert in_force(settings, TURNS) == (30, "cattle-local.properties")
    assert in_force(settings, "engine.processes") == (7, "cattle.properties")
    assert in_force(settings, "snapshot.every.events") == (200, "Code Packaged Defaults")


def test_without_files_and_variables_all_is_as_it_comes(tmp_path: Path) -> None:
    assert dict(settings_of({}, {}, tmp_path)) == {name: each.default for name, each in SETTINGS.items()}


def test_variables_of_the_clients_are_no_settings_and_never_shown(tmp_path: Path) -> None:
    environment = {"CATTLE_SECRET_KEY": "s3cret", "CATTLE_URL": "http://x/v1", "CORRAL_HOME": "/x", "CATTLE_ENGINE_TURNS": ""}
    settings = settings_of(environment, {}, tmp_path)
    assert dict(settings) == dict(settings_of({}, {}, tmp_path))


def test_a_files_settings_of_which_corral_knows_nothing_are_text(tmp_path: Path) -> None:
    files(tmp_path, usual="db.cattle.database = mysql")
    assert in_force(settings_of({}, {}, tmp_path), "db.cattle.database") == ("mysql", "cattle.properties")


def test_there_may_be_one_for_each_type(tmp_path: Path) -> None:
    name = "object.instance.remove.time.delay.seconds"
    assert settings_of({}, {name: "5"}, tmp_path)[name] == 5
    assert settings_of({"CATTLE_OBJECT_INSTANCE_REMOVE_TIME_DELAY_SECONDS": "6"}, {}, tmp_path)[name] == 6
    assert name not in settings_of({}, {}, tmp_path)


@pytest.mark.parametrize(
    ("environment", "given", "usual", "complaint"),
    [
        ({"CATTLE_ENGINE_TURNS": "many"}, {}, "", "Environment Variables: engine.turns is a number from 1 to 10000, not 'many'"),
        ({}, {TURNS: "0"}, "", "System Properties: engine.turns is a number"),
        ({}, {"engine.turn": "1"}, "", "there is no setting 'engine.turn': there are "),
        ({}, {}, "engine.turns=-1", "cattle.properties: engine.turns is a number"),
        ({}, {}, "a=1\nengine.turns=\\u1", "cattle.properties, line 2: "),
        ({}, {"mac.prefix.start": "02:00:09"}, "mac.prefix.end=02:00:08", "mac.prefix.start is '02:00:09', which is above mac.prefix.end"),
    ],
)
def test_what_nobody_can_have_meant_is_refused_with_its_place(
    environment: dict[str, str], given: dict[str, str], usual: str, complaint: str, tmp_path: Path
) -> None:
    files(tmp_path, usual=usual)
    with pytest.raises(BadSource) as refused:
        settings_of(environment, given, tmp_path)
    assert complaint in str(refused.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc" / "cattle" / "cattle.properties").mkdir(parents=True)
    with pytest.raises(BadSource, match=r"cattle\.properties can't be read"):
        settings_of({}, {}, tmp_path)


def test_every_setting_stands_in_the_documents_with_what_it_is_and_may_be() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    told = {row[0].strip("`"): row[1:3] for row in rows if len(row) == 4}
    assert len(told) == sum(len(row) == 4 for row in rows), "each once"
    assert told == {name: [shown(each.default), each.expected] for name, each in SETTINGS.items()}
    assert {row[0].strip("`"): row[1] for row in rows if row[0].strip("`") in BY_NAME} == {task.name: task.job for task in TASKS}
    assert {name for name, *_ in (row for row in rows if "Read when a server starts" in row[-1])} == {f"`{name}`" for name in AT_THE_START}


def test_every_setting_has_a_variable() -> None:
    assert variable_of(TURNS) == "CORRAL_ENGINE_TURNS"
    assert [setting_of(variable_of(name).removeprefix("CORRAL_")) for name in SETTINGS] == list(SETTINGS)
