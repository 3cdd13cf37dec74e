"""What goes wrong, where and when: profiles of faults, and the dice. Pure: a seed decides, not the clock.

    profile -> rules: command x hosts x clusters -> a fault, with a chance
    the n-th activation on host 17: its dice are those of (seed, rule, host 17, compute.instance.activate, n), whatever else goes on
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Kind = Literal["delay", "fail", "lose", "duplicate", "forget", "die"]

Scope = Literal["command", "host", "cluster"]


class Rule(BaseModel):
    """One kind of fault. Times are seconds; a pair is a range from which the dice choose."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Kind
    """delay: the work takes longer. fail: an error is the answer. lose: it is done, and the answer is lost. duplicate: answers come twice.
    forget: what the command started ends soon after, without a word. die: the agent is gone for a while, what runs on its host goes on."""
    command: str = "*"
    """A pattern of command names: compute.instance.*"""
    hosts: str = "*"
    """A pattern of host numbers: 17, 1?, *"""
    clusters: str = "*"
    chance: float = Field(default=1.0, ge=0, le=1)
    per: Scope = "command"
    """What the dice are thrown for: each command, or once for a host or a cluster, which then has the fault with every command."""
    seconds: tuple[float, float] = (0.0, 0.0)
    """Of the delay, until what was started ends, or of being gone."""
    every: float | None = Field(default=None, gt=0)
    """Of `die` alone: not with a command, but by the clock: the dice are thrown each time so many seconds are over, for each host or for
    each cluster as a whole."""
    message: str = "the dice say so"
    """Of a failure."""

    @model_validator(mode="before")
    @classmethod
    def _one_number(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(given.get("seconds"), int | float):
            return {**given, "seconds": (given["seconds"], given["seconds"])}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        low, high = self.seconds
        if not 0 <= low <= high:
            raise ValueError(f"seconds {low} to {high} is no range")
        if self.every is not None and self.fault != "die":
            raise ValueError("only die goes by the clock (every)")
        if self.every is not None and self.per == "command":
            raise ValueError("what goes by the clock is thrown for hosts or clusters: say per = \"host\" or \"cluster\"")
        return self


class Profile(BaseModel):
    """Rules under a name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = ""
    rules: tuple[Rule, ...] = ()


class BadProfile(Exception):
    """The text says what is wrong with it."""


PROFILES = {
    "calm": Profile(about="nothing goes wrong"),
    "slow": Profile(about="everything takes its time", rules=(
        Rule(fault="delay", seconds=(0.2, 2.0)),
        Rule(fault="delay", command="storage.image.*", seconds=(5.0, 20.0)),
    )),
    "flaky": Profile(about="a little of everything", rules=(
        Rule(fault="delay", seconds=(0.0, 0.5)),
        Rule(fault="fail", command="compute.instance.activate", chance=0.05, message="the engine is out of sorts"),
        Rule(fault="lose", chance=0.05),
        Rule(fault="duplicate", chance=0.05),
        Rule(fault="forget", command="compute.instance.activate", chance=0.02, seconds=(5.0, 30.0)),
        Rule(fault="die", command="compute.instance.*", chance=0.01, seconds=(2.0, 20.0)),
        Rule(fault="die", per="host", every=60.0, chance=0.01, seconds=(5.0, 40.0)),
    )),
    "stormy": Profile(about="whole clusters vanish, and some hosts never do anything right", rules=(
        Rule(fault="fail", per="host", chance=0.05, command="compute.instance.activate", message="this host never does it"),
        Rule(fault="lose", per="cluster", chance=0.2),
        Rule(fault="die", per="cluster", every=45.0, chance=0.2, seconds=(10.0, 45.0)),
        Rule(fault="die", command="compute.instance.*", chance=0.05, seconds=(1.0, 10.0)),
    )),
}  # fmt: skip


def profile(name: str) -> Profile:
    """One of PROFILES, or that of a TOML file. Raises BadProfile."""
    if name in PROFILES:
        return PROFILES[name]
    path = Path(name)
    if not path.is_file():
        raise BadProfile(f"there is no profile {name}: there are {', '.join(PROFILES)}, and files of your own (docs/simulator.md)")
    try:
        return Profile.model_validate(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadProfile(f"{path} is no TOML: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise BadProfile(f"{path} is no profile: {wrong}") from None


@dataclass(frozen=True, slots=True)
class Place:
    """A simulated host's, as rules name it."""

    host: int
    cluster: int


@dataclass(frozen=True, slots=True)
class Fate:
    """What befalls one command."""

    delay: float = 0.0
    fail: str | None = None
    copies: int = 1
    """Of the answer; 0: it is lost."""
    forget: float | None = None
    """So many seconds later what was started is gone."""
    die: float | None = None
    """The agent is gone for so long, before it answers."""
    dies_first: bool = False
    """Before the work; else after it."""
    faults: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class Dice:
    """One seed's. Each throw is named, and falls the same whenever it is thrown."""

    seed: int
    rules: tuple[Rule, ...] = field(default=())

    def fate(self, place: Place, command: str, count: int) -> Fate:
        """Of the `count`-th such command on a host."""
        found: dict[Kind, float] = {}
        messages: list[str] = []
        for number, rule in enumerate(self.rules):
            if rule.every is None and fnmatchcase(command, rule.command) and _holds(rule, place):
                what = (place.host, command, count) if rule.per == "command" else _whole(rule, place)
                if self.throw(number, *what) < rule.chance:
                    low, high = rule.seconds
                    seconds = low + (high - low) * self.throw(number, "seconds", place.host, command, count)
                    found[rule.fault] = found.get(rule.fault, 0.0) + seconds
                    if rule.fault == "fail":
                        messages.append(rule.message)
        return Fate(
            delay=found.get("delay", 0.0), fail="; ".join(messages) or None, forget=found.get("forget"), die=found.get("die"),
            copies=0 if "lose" in found else 2 if "duplicate" in found else 1,
            dies_first=self.throw("first", place.host, command, count) < 0.5, faults=tuple(found),
        )  # fmt: skip

    def deaths(self, place: Place, after: float, until: float) -> Iterable[tuple[float, float]]:
        """(when, for so many seconds) of a host, by the clock alone, in order: those that begin later than `after`, and not later than
        `until`. Seconds since the beginning."""
        found = []
        for number, rule in enumerate(self.rules):
            if rule.every is None or not _holds(rule, place):
                continue
            whole = _whole(rule, place)
            for turn in range(int(after / rule.every) + 1, int(until / rule.every) + 1):
                if self.throw(number, *whole, turn) < rule.chance:
                    low, high = rule.seconds
                    found.append((turn * rule.every, low + (high - low) * self.throw(number, "seconds", *whole, turn)))
        return sorted(found)

    def throw(self, *what: object) -> float:
        """From 0 up to, and never, 1."""
        named = repr((self.seed, *what)).encode()
        return int.from_bytes(hashlib.blake2b(named, digest_size=8).digest()) / 2**64


def _holds(rule: Rule, place: Place) -> bool:
    return fnmatchcase(str(place.host), rule.hosts) and fnmatchcase(str(place.cluster), rule.clusters)


def _whole(rule: Rule, place: Place) -> tuple[str, int]:
    return ("cluster", place.cluster) if rule.per == "cluster" else ("host", place.host)
