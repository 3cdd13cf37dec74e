"""An item as the archive that its agent unpacks. Pure: the same item in the same version is the same bytes.

    <item>-<version>/           version: <requested version>-<hash of what is in it>
        ...                     the item's files
        version                 the version, to be said when it is applied
        uptodate                only where the agent has this version already
        SHA1SUMS, SHA1SUMSSUM   of all these, as sha1sum -c reads them; and of SHA1SUMS itself
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass

from commands.config.sources import File, Item

_VERSION = re.compile(r"([0-9]{1,9})-([0-9a-f]{1,64})")

LATEST = "latest"
"""Said instead of a version: whatever is requested."""


@dataclass(frozen=True, slots=True)
class Version:
    """`number`: the requested one. `source`: what is in it."""

    number: int
    source: str

    def __str__(self) -> str:
        return f"{self.number}-{self.source}"


def read_version(text: str) -> Version | None:
    match = _VERSION.fullmatch(text)
    return Version(int(match[1]), match[2]) if match else None


def archive(item: Item, version: Version, current: str | None = None) -> bytes:
    """A tar.gz. `current`: the version that the agent says it has."""
    files = {**item.files, "version": File(str(version).encode(), False)}
    files.pop("uptodate", None)  # a word of ours, and no file of an item's
    if current == str(version):
        files["uptodate"] = File(b"", False)
    files["SHA1SUMS"] = _sums(files)
    files["SHA1SUMSSUM"] = _sums({"SHA1SUMS": files["SHA1SUMS"]})
    root = f"{item.name}-{version}"
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_folder(root))
        for folder in sorted({parent for path in files for parent in _parents(path)}):
            tar.addfile(_folder(f"{root}/{folder}"))
        for path, file in files.items():
            entry = tarfile.TarInfo(f"{root}/{path}")
            entry.size, entry.mode = len(file.content), 0o755 if file.runs else 0o644
            tar.addfile(entry, io.BytesIO(file.content))
    return gzip.compress(unpacked.getvalue(), mtime=0)


def _sums(files: dict[str, File]) -> File:
    lines = (f"{hashlib.sha1(each.content, usedforsecurity=False).hexdigest()}  {path}\n" for path, each in sorted(files.items()))
    return File("".join(lines).encode(), False)


def _folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]
