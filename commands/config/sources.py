"""Where config items come from: a folder each, of Corral's own (items/ beside this) or of the operator's ($CORRAL_HOME/config-content).

An item's source version is a hash of its files, so that nobody has to count: whoever serves it says the same, and a change of one file
is another version.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OWN = Path(__file__).parent / "items"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,254}")


class Unreadable(Exception):
    """An item's files can't be read: they are just being changed, or somebody has to mend them."""


@dataclass(frozen=True, slots=True)
class File:
    """`runs`: whether it is a program."""

    content: bytes
    runs: bool


@dataclass(frozen=True, slots=True)
class Item:
    """`files`: path within the item -> file."""

    name: str
    files: Mapping[str, File]

    @property
    def source(self) -> str:
        """The version of what is in it."""
        summed = hashlib.sha1(usedforsecurity=False)
        for path, file in sorted(self.files.items()):
            summed.update(f"{len(path.encode())} {path} {int(file.runs)} {len(file.content)}\n".encode() + file.content)
        return summed.hexdigest()


class Sources:
    """The items of some folders; one that is in several is the first one's. They are read whenever they are asked for."""

    def __init__(self, *folders: Path) -> None:
        self._folders = (*folders, OWN)

    def item(self, name: str) -> Item | None:
        """None: there are no files of that name. Raises Unreadable."""
        if not _NAME.fullmatch(name):
            return None
        for folder in self._folders:
            if (folder / name).is_dir():
                return Item(name, _read(folder / name))
        return None

    def version(self, name: str) -> str | None:
        """Of what is in the item just now, as `item`."""
        found = self.item(name)
        return found.source if found is not None else None


def _read(folder: Path) -> dict[str, File]:
    files: dict[str, File] = {}
    try:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if not name.isprintable():
                raise Unreadable(f"config item {folder.name} has a file {name!r}, which no agent could write: name it otherwise")
            if path.is_file():
                files[name] = File(path.read_bytes(), bool(path.stat().st_mode & 0o100))
    except OSError as error:
        raise Unreadable(f"config item {folder.name} can't be read: {error}. Mend {folder}, unless it is just being changed") from error
    return files
