"""Where settings of the orchestration come from beside the log, strongest first: environment, command line, local file, file.

Read once at the start. What nobody can have meant (a misspelt name on the command line, a value that the setting can't have) is
refused there, with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from commands.settings.in_force import COMMAND_LINE, ENVIRONMENT, Settings, Source
from commands.settings.settings import BadValue, check_known, definition
from deploy.properties import BadProperties, decoded, parse

FOLDER = Path("etc") / "cattle"
FILES = ("cattle-local.properties", "cattle.properties")
"""In the home; the first is stronger."""

PREFIXES = ("CATTLE_", "CORRAL_")
"""The last is stronger."""

LARGEST = 1024 * 1024


class BadSource(Exception):
    """A setting can't be used; the message says where it stands, and why."""


def settings_of(
    environment: Mapping[str, str], given: Mapping[str, str], home: Path, defaults: Mapping[str, Any] = MappingProxyType({})
) -> Settings:
    """`given`: the command line's. `defaults`: this process' own. Raises BadSource."""
    try:
        check_known(given)
        files = [_file(home / FOLDER / name) for name in FILES]
        return Settings([from_environment(environment), Source(COMMAND_LINE, given), *files], defaults)
    except BadValue as bad:
        raise BadSource(str(bad)) from None


def from_environment(environment: Mapping[str, str]) -> Source:
    """CATTLE_ENGINE_TURNS is engine.turns. What names no setting is others': CATTLE_SECRET_KEY is the clients'."""
    texts: dict[str, str] = {}
    for prefix in PREFIXES:
        for variable, text in environment.items():
            name = setting_of(variable.removeprefix(prefix)) if variable.startswith(prefix) else None
            if name is not None and text:
                texts[name] = text
    return Source(ENVIRONMENT, texts)


def setting_of(words: str) -> str | None:
    """ENGINE_TURNS -> engine.turns, if there is such a setting."""
    name = words.lower().replace("_", ".")
    return name if definition(name) is not None else None


def variable_of(name: str) -> str:
    """engine.turns -> CORRAL_ENGINE_TURNS"""
    return PREFIXES[-1] + name.upper().replace(".", "_")


def _file(path: Path) -> Source:
    """One that is not there says nothing."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Source(path.name, {})
    except OSError as error:
        raise BadSource(f"{path} can't be read: {error.strerror or error}") from None
    if len(content) > LARGEST:
        raise BadSource(f"{path} is larger than {LARGEST} bytes: is it a file of settings?")
    try:
        return Source(path.name, parse(decoded(content)))
    except BadProperties as bad:
        raise BadSource(f"{path}, {bad}") from None
