"""Which settings are in force, by strength and as the log changes; and how every process learns of a change."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from commands.accepting.service import Actor, Commands
from commands.catalogue.builtin import CATALOGUE
from commands.settings.in_force import COMMAND_LINE, DATABASE, PACKAGED, Active, Row, Settings, Source
from commands.settings.setting_rows import SETTING, as_stored
from commands.settings.settings import DEFAULTS, BadValue
from commands.watching.settings_watch import SettingsWatch
from eventstore import Store, Unavailable
from tests.support.http import background
from tests.support.waiting import happens

TURNS, PROCESSES = "engine.turns", "engine.processes"


def active(settings: Settings, name: str) -> Active:
    return next(each for each in settings.active() if each.name == name)


def test_a_row_is_stronger_than_the_default_and_weaker_than_what_a_server_was_given() -> None:
    settings = Settings([Source(COMMAND_LINE, {PROCESSES: "5"})])
    assert settings.take([Row(1, TURNS, "7"), Row(2, PROCESSES, "9")])
    assert (settings[TURNS], settings[PROCESSES]) == (7, 5)
    assert (active(settings, TURNS).source, active(settings, PROCESSES).source) == (DATABASE, COMMAND_LINE)
    assert active(settings, PROCESSES).rows == (Row(2, PROCESSES, "9"),)
    assert settings.take([])
    assert settings[TURNS] == DEFAULTS[TURNS]
    assert active(settings, TURNS) == Active(TURNS, DEFAULTS[TURNS], PACKAGED)


def test_the_newest_row_of_a_name_counts_and_one_without_a_value_is_none() -> None:
    settings = Settings()
    settings.take([Row(9, TURNS, None), Row(3, TURNS, "3"), Row(2, TURNS, "2")])
    assert settings[TURNS] == 3


def test_the_same_rows_again_are_no_change() -> None:
    settings = Settings()
    assert settings.take([Row(1, TURNS, "7")])
    assert not settings.take([Row(1, TURNS, "7")])
    assert not settings.take([Row(1, TURNS, "7"), Row(2, PROCESSES, str(DEFAULTS[PROCESSES]))]), "what is in force is as it was"


def test_a_row_that_is_no_use_any_more_is_passed_over_and_told() -> None:
    settings = Settings()
    with capture_logs() as logs:
        settings.take([Row(1, TURNS, "a lot"), Row(2, "mac.prefix.start", "02:ff:ff"), Row(3, "mac.prefix.end", "02:00:01")])
    assert {name: settings[name] for name in (TURNS, "mac.prefix.start", "mac.prefix.end")} == {
        name: DEFAULTS[name] for name in (TURNS, "mac.prefix.start", "mac.prefix.end")
    }
    assert [each["action"] for each in logs] == ["setting-unusable"] * 2


def test_names_that_are_none_of_corrals_are_text() -> None:
    settings = Settings()
    settings.take([Row(1, "mine", "5")])
    assert settings["mine"] == "5"
    assert "mine" not in Settings()


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        (TURNS, "x", "InvalidFormat"), (TURNS, "0", "MinLimitExceeded"), (TURNS, "-3", "MinLimitExceeded"),
        (TURNS, "9" * 30, "MaxLimitExceeded"), ("simple.allocator.spread", "maybe", "InvalidOption"),
        ("mac.unassigned.prefix", "0x", "InvalidFormat"), ("mac.prefix.start", "fe:00:00", "InvalidFormat"),
    ],
)  # fmt: skip
def test_what_a_setting_can_not_have_is_refused_with_the_apis_code(name: str, text: str, code: str) -> None:
    with pytest.raises(BadValue) as refused:
        Settings().check(name, text)
    assert refused.value.code == code


# --- the log's, in every process ---


async def stored(commands: Commands, name: str, text: str | None) -> int:
    outcome = await commands.create(SETTING, as_stored(Settings(), {"name": name, "value": text}), Actor(1))
    return outcome.resource.id


async def test_a_change_is_seen_everywhere_and_whoever_listens_is_told_once(store: Store) -> None:
    commands = Commands(store, CATALOGUE, DEFAULTS)
    watches = [SettingsWatch(store, commands.vault, Settings(), pause=0.05) for _ in range(2)]
    told: list[Any] = []
    for watch in watches:
        watch.on_change(partial(lambda settings: told.append(settings[TURNS]), watch.settings))
    async with background(watches[0].run()), background(watches[1].run()):
        number = await stored(commands, TURNS, "5")
        await happens(lambda: told == [5, 5])
        await commands.update(SETTING, number, {"value": "6"}, Actor(1))
        await happens(lambda: told == [5, 5, 6, 6])
        await commands.create("data", {"name": "other"}, Actor(1))  # the log grows, and nothing changes
        await commands.delete(SETTING, number, Actor(1))
        await happens(lambda: told[4:] == [DEFAULTS[TURNS]] * 2)
    again = SettingsWatch(store, commands.vault, Settings())
    await again.look()
    assert dict(again.settings) == DEFAULTS, "what was deleted stays deleted"


async def test_a_secret_is_sealed_in_the_log_and_open_in_force(store: Store) -> None:
    commands = Commands(store, CATALOGUE, DEFAULTS)
    number = await stored(commands, "my.password", "hunter2")
    assert "hunter2" not in str(await store.read(f"setting-{number}"))
    watch = SettingsWatch(store, commands.vault, Settings())
    await watch.look()
    assert watch.settings["my.password"] == "hunter2"


async def test_while_the_database_is_away_what_was_in_force_stays(store: Store) -> None:
    commands = Commands(store, CATALOGUE, DEFAULTS)
    await stored(commands, TURNS, "5")
    database = Away(store)
    watch = SettingsWatch(cast(Store, database), commands.vault, Settings(), pause=0.01)
    await watch.look()
    database.away = True
    with capture_logs() as logs:
        async with background(watch.run()):
            await happens(lambda: any(each.get("action") == "settings-wait" for each in logs))
            assert watch.settings[TURNS] == 5
            await stored(commands, TURNS, "6")
            database.away = False
            await happens(lambda: watch.settings[TURNS] == 6)


class Away:
    """A store that can't be reached while `away`."""

    def __init__(self, store: Store) -> None:
        self._inner, self.away = store, False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise Unavailable("the database is away")
        return getattr(self._inner, name)
