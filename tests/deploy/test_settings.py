"""Settings: variables, options, and errors that say which variable is wrong."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands.settings.settings import DEFAULTS, SETTINGS, TEN_YEARS, BadValue, Number, changed
from deploy.settings import BadSetting, LocalHost, LogLevel, Role, Settings, described, read_settings, unknown_variables, variable


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CORRAL_", "CATTLE_")):
            monkeypatch.delenv(name)


def test_without_any_variable_everything_runs_here_for_this_machine_alone() -> None:
    settings = read_settings()
    assert settings.home == Path.home() / ".corral"
    assert (settings.listen, settings.port) == ("127.0.0.1", 8080)
    assert settings.hosts == (LocalHost.DOCKER, LocalHost.SIM)
    assert settings.roles == tuple(Role)
    assert (settings.postgres, settings.nats, settings.nats_listen) == ("", "", "127.0.0.1")


def test_variables_are_read_and_options_win_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_PORT", "9000")
    monkeypatch.setenv("CORRAL_HOSTS", " sim , sim ")
    monkeypatch.setenv("CORRAL_ROLES", "Gateway,projector")
    monkeypatch.setenv("CORRAL_POSTGRES", "postgresql://elsewhere/corral")
    monkeypatch.setenv("CORRAL_NATS", "nats://elsewhere:4222")
    monkeypatch.setenv("CORRAL_LOG_LEVEL", "DEBUG")
    settings = read_settings(port=9001, listen=None)
    assert settings.port == 9001
    assert settings.hosts == (LocalHost.SIM,)
    assert settings.roles == (Role.GATEWAY, Role.PROJECTOR)
    assert settings.has(Role.GATEWAY)
    assert not settings.has(Role.ENGINE)
    assert settings.log_level == LogLevel.DEBUG


def test_no_local_host_is_said_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_HOSTS", "none")
    assert read_settings().hosts == ()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(variable(name), "")
    assert read_settings().port == 8080


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("CORRAL_PORT", "http", "CORRAL_PORT can't be 'http': input should be a valid integer"),
        ("CORRAL_PORT", "70000", "CORRAL_PORT can't be '70000': input should be less than or equal to 65535"),
        ("CORRAL_HOSTS", "docker,kvm", "CORRAL_HOSTS can't be 'docker,kvm': there is no host 'kvm': say docker, libvirt, sim"),
        ("CORRAL_HOSTS", "none,sim", "CORRAL_HOSTS can't be 'none,sim': none stands alone"),
        ("CORRAL_ROLES", ",", "CORRAL_ROLES can't be ',': a process needs at least one role"),
        ("CORRAL_ROLES", "engin", "CORRAL_ROLES can't be 'engin': input should be 'gateway', 'engine', 'projector' or 'agents'"),
        ("CORRAL_SET", "engine.turns", "CORRAL_SET can't be 'engine.turns': engine.turns has no value: write name=value"),
        ("CORRAL_SET", "engine.turns=0", "CORRAL_SET can't be 'engine.turns=0': engine.turns is a number from 1 to 10000, not '0'"),
        ("CORRAL_SET", "engine.turn=1", "there is no setting 'engine.turn': there are "),
        ("CORRAL_SET", "api.instance.require.image=no", "api.instance.require.image is true or false, not 'no'"),
        ("CORRAL_SET", "object.remove.time.delay.seconds=99999999999999", "delay.seconds is a number from 0 to 315360000, not"),
        ("CORRAL_SET", "mac.prefix.start=zz", "mac.prefix.start is three octets with an even first one, such as 02:00:01, not 'zz'"),
        ("CORRAL_SET", "mac.prefix.end=03:00:00", "mac.prefix.end is three octets with an even first one"),
        ("CORRAL_SET", "mac.prefix.start=04:00:00", "mac.prefix.start is '04:00:00', which is above mac.prefix.end, '02:ff:ff': set both"),
        ("CORRAL_SET", "mac.unassigned.prefix=04:", "mac.unassigned.prefix is one to three octets"),
        ("CORRAL_SET", "agent.instance.image.uuid=nginx", "agent.instance.image.uuid is an image's uuid, such as docker:NAME:TAG"),
        ("CORRAL_SET", "agent.config.items=", "agent.config.items is names of config items with commas between them, not ''"),
        ("CORRAL_SET", "process.account.create.create.credential.default.kind=key", "default.kind is apiKey or agentApiKey, not 'key'"),
        ("CORRAL_POSTGRES", "localhost:5432", "CORRAL_POSTGRES can't be 'localhost:5432': it is not an address such as postgresql://"),
        ("CORRAL_NATS", "nats://a:1,b", "CORRAL_NATS can't be 'nats://a:1,b': it is not an address such as nats://host:4222"),
        ("CORRAL_LOG_LEVEL", "loud", "CORRAL_LOG_LEVEL can't be 'loud'"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as refused:
        read_settings()
    assert complaint in str(refused.value)


def test_every_wrong_variable_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_PORT", "x")
    monkeypatch.setenv("CORRAL_NATS_PORT", "y")
    with pytest.raises(BadSetting) as refused:
        read_settings()
    assert "CORRAL_PORT" in str(refused.value)
    assert "CORRAL_NATS_PORT" in str(refused.value)


def test_an_option_that_would_have_no_effect_is_refused() -> None:
    with pytest.raises(BadSetting, match="CORRAL_NATS_LISTEN are for the embedded NATS"):
        read_settings(nats="nats://elsewhere:4222", nats_listen="0.0.0.0")
    with pytest.raises(BadSetting, match="CORRAL_POSTGRES_PORT is for the embedded Postgres"):
        read_settings(postgres="postgresql://elsewhere/corral", postgres_port=0)


def test_a_part_of_a_corral_must_be_told_which_servers_the_others_use() -> None:
    with pytest.raises(BadSetting, match=r"a process with gateway alone is a part .* set CORRAL_POSTGRES and CORRAL_NATS to theirs"):
        read_settings(roles="gateway")
    with pytest.raises(BadSetting, match="set CORRAL_NATS to theirs, or give this process gateway and projector, too"):
        read_settings(roles="engine,agents", postgres="postgresql://elsewhere/corral")
    assert read_settings(roles="projector", postgres="postgresql://elsewhere/corral").nats == "", "it speaks to nobody over NATS"
    assert not read_settings(roles="gateway,engine,projector").has(Role.AGENTS), "all but agents is whole"


def test_settings_of_the_orchestration_are_read_as_what_their_defaults_are() -> None:
    chosen = read_settings(set="engine.turns=3, simple.allocator.spread=FALSE").orchestration()
    assert (chosen["engine.turns"], chosen["simple.allocator.spread"]) == (3, False)
    assert chosen["engine.processes"] == 1000
    assert read_settings().orchestration()["engine.turns"] == 64


def test_every_default_is_allowed_and_nothing_absurd_is() -> None:
    written = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in DEFAULTS.items()}
    assert changed(written) == DEFAULTS
    for name in DEFAULTS:
        for absurd in ("", "\0", "-1" if isinstance(SETTINGS[name], Number) else "a\nb", "é"):
            if absurd == DEFAULTS[name]:
                continue  # of an address that need not be given
            with pytest.raises(BadValue, match=re.escape(name)):
                changed({name: absurd})


def test_no_number_is_beyond_what_time_can_be_told() -> None:
    for each in SETTINGS.values():
        if isinstance(each, Number):
            assert datetime.now(UTC) + timedelta(milliseconds=each.most) < datetime.max.replace(tzinfo=UTC)
    assert datetime.now(UTC) + timedelta(seconds=TEN_YEARS) < datetime.max.replace(tzinfo=UTC)


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_PROT", "9000")
    monkeypatch.setenv("CORRAL_PORT", "9000")
    monkeypatch.setenv("CORRAL_ENGINE_TURNS", "9")  # a setting of the orchestration
    monkeypatch.setenv("CORRAL_ENGINE_TURN", "9")
    assert unknown_variables() == ["CORRAL_ENGINE_TURN", "CORRAL_PROT"]


def test_every_setting_has_its_variable_and_a_sentence() -> None:
    for name, text in described().items():
        assert name.startswith("CORRAL_")
        assert text.endswith("."), f"{name} is not described"


def test_orchestration_is_set_by_the_environment_and_by_files_of_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "etc" / "cattle").mkdir(parents=True)
    (tmp_path / "etc" / "cattle" / "cattle.properties").write_text("engine.turns=2\nengine.processes=3")
    monkeypatch.setenv("CATTLE_ENGINE_TURNS", "4")
    chosen = read_settings(home=str(tmp_path), set="snapshot.every.events=5").orchestration()
    assert [chosen[name] for name in ("engine.turns", "engine.processes", "snapshot.every.events")] == [4, 3, 5]
    monkeypatch.setenv("CATTLE_ENGINE_TURNS", "0")
    with pytest.raises(BadSetting, match=r"Environment Variables: engine\.turns is a number"):
        read_settings(home=str(tmp_path)).orchestration()


def test_every_variable_stands_in_the_documents_with_its_meaning() -> None:
    text = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(CORRAL_\w+)` \| .* \| (.*) \|$", text, re.MULTILINE)
    assert rows == list(described().items())
