"""Profiles of faults and their dice: the same seed brings the same faults, whatever else goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.crowd.crowd import CrowdOptions
from agents.crowd.faults import PROFILES, BadProfile, Dice, Fate, Place, Rule, profile

ACTIVATE, REMOVE = "compute.instance.activate", "storage.volume.remove"


def fates(dice: Dice, hosts: int = 20, times: int = 20, command: str = ACTIVATE) -> list[Fate]:
    return [dice.fate(Place(host, host // 5), command, count) for host in range(hosts) for count in range(1, times + 1)]


@pytest.mark.parametrize("name", PROFILES)
def test_a_seed_decides_and_not_the_order_in_which_it_is_asked(name: str) -> None:
    rules = PROFILES[name].rules
    forwards = fates(Dice(7, rules))
    assert fates(Dice(7, rules)) == forwards
    backwards = [
        Dice(7, rules).fate(Place(host, host // 5), ACTIVATE, count) for host in reversed(range(20)) for count in reversed(range(1, 21))
    ]
    assert backwards[::-1] == forwards
    if name != "calm":
        assert fates(Dice(8, rules)) != forwards


def test_nothing_goes_wrong_where_nothing_is_said() -> None:
    assert set(fates(Dice(1))) == {Fate(dies_first=True), Fate()}
    assert list(Dice(1).deaths(Place(0, 0), 0, 1e6)) == []


def test_a_chance_is_about_kept() -> None:
    failed = [each for each in fates(Dice(3, (Rule(fault="fail", chance=0.25),)), 50, 40) if each.fail]
    assert 400 < len(failed) < 600


@pytest.mark.parametrize(
    ("rule", "fate"),
    [
        (Rule(fault="delay", seconds=(2, 2)), Fate(delay=2.0, faults=("delay",))),
        (Rule(fault="fail", message="no"), Fate(fail="no", faults=("fail",))),
        (Rule(fault="lose"), Fate(copies=0, faults=("lose",))),
        (Rule(fault="duplicate"), Fate(copies=2, faults=("duplicate",))),
        (Rule(fault="forget", seconds=(3, 3)), Fate(forget=3.0, faults=("forget",))),
        (Rule(fault="die", seconds=(4, 4)), Fate(die=4.0, faults=("die",))),
    ],
)
def test_each_fault_is_what_it_says(rule: Rule, fate: Fate) -> None:
    found = Dice(1, (rule,)).fate(Place(0, 0), ACTIVATE, 1)
    assert (found.delay, found.fail, found.copies, found.forget, found.die, found.faults) == (
        fate.delay, fate.fail, fate.copies, fate.forget, fate.die, fate.faults
    )  # fmt: skip


def test_a_rule_holds_for_its_commands_hosts_and_clusters_alone() -> None:
    dice = Dice(1, (Rule(fault="fail", command="compute.*", hosts="1?", clusters="2"),))
    assert dice.fate(Place(12, 2), ACTIVATE, 1).fail
    assert not dice.fate(Place(12, 2), REMOVE, 1).fail
    assert not dice.fate(Place(2, 2), ACTIVATE, 1).fail
    assert not dice.fate(Place(12, 1), ACTIVATE, 1).fail


def test_what_is_thrown_for_a_host_or_a_cluster_holds_for_all_that_it_does() -> None:
    by_host = Dice(5, (Rule(fault="fail", chance=0.5, per="host"),))
    asked = [(command, count) for command in (ACTIVATE, REMOVE) for count in (1, 2, 3)]
    each = [{bool(by_host.fate(Place(host, 0), *what).fail) for what in asked} for host in range(40)]
    assert all(len(answers) == 1 for answers in each)
    assert len(set.union(*each)) == 2, "some hosts have it, and some not"
    by_cluster = Dice(5, (Rule(fault="fail", chance=0.5, per="cluster"),))
    both = [{bool(by_cluster.fate(Place(host, cluster), ACTIVATE, 1).fail) for host in range(9)} for cluster in range(40)]
    assert all(len(answers) == 1 for answers in both)
    assert len(set.union(*both)) == 2


def test_a_cluster_dies_as_a_whole_and_at_its_times() -> None:
    dice = Dice(5, (Rule(fault="die", per="cluster", every=10, chance=0.5, seconds=(3, 4)),))
    first = list(dice.deaths(Place(0, 1), 0, 1000))
    assert first == list(dice.deaths(Place(7, 1), 0, 1000)) != list(dice.deaths(Place(0, 2), 0, 1000))
    assert all(at % 10 == 0 and 3 <= seconds <= 4 for at, seconds in first)
    assert 25 < len(first) < 75
    parts = [death for after in range(0, 1000, 7) for death in dice.deaths(Place(0, 1), after, min(after + 7, 1000))]
    assert parts == first, "looked up piece by piece none is missed, and none comes twice"


def test_a_profile_of_ones_own_is_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    rules = ('fault = "delay"\nseconds = 3', 'fault = "die"\nper = "cluster"\nevery = 60\nseconds = [5, 9]')
    path.write_text("\n".join(['about = "mine"', *(f"[[rules]]\n{rule}" for rule in rules)]))
    read = profile(str(path))
    assert read.about == "mine"
    assert [(each.fault, each.seconds) for each in read.rules] == [("delay", (3.0, 3.0)), ("die", (5.0, 9.0))]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules = 3", "rules"),
        ("= 3", "is no TOML"),
        ('[[rules]]\nfault = "explode"', "rules.0.fault"),
        ('[[rules]]\nfault = "fail"\nchance = 2', "rules.0.chance"),
        ('[[rules]]\nfault = "fail"\nodds = 2', "rules.0.odds"),
        ('[[rules]]\nfault = "delay"\nseconds = [4, 1]', "is no range"),
        ('[[rules]]\nfault = "lose"\nper = "host"\nevery = 4', "only die goes by the clock"),
        ('[[rules]]\nfault = "die"\nevery = 4', "say per"),
    ],
)
def test_a_profile_that_is_none_says_what_is_wrong(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BadProfile, match=why):
        profile(str(path))


def test_a_profile_that_there_is_not_names_those_there_are() -> None:
    with pytest.raises(BadProfile, match="calm, slow, flaky, stormy"):
        profile("wild")


def test_clusters_are_of_one_size_and_side_by_side() -> None:
    options = CrowdOptions("", Path(), 10, clusters=3)
    assert [options.place(host).cluster for host in range(10)] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
