"""config.update: the agent fetches the items it is told of, checks them, puts them into force, and says so to the server.

    GET <configUrl>/configcontent/<item>?current= -> SHA1SUMS -> <folder>/<item>, its apply.sh is run -> PUT ...?version=

Every item may be told of again at any time: what is there already is only acknowledged. Functions here block.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agents.driver import DriverError
from agents.joining.api import Answered, Api, BadAddress, NoAnswer
from agents.joining.credentials import Credentials

COMMAND = "config.update"

APPLY_SECONDS = 300
TOLD = 4000
"""Characters of what apply.sh says that are passed on."""

Keys = Callable[[int], Awaitable[Credentials | None]]
"""The keys of an agent; None: it has none (with security off it then says who it is)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An archive that was checked."""

    root: str
    """The folder that all its files are in."""
    version: str
    uptodate: bool
    archive: bytes


class Configuration:
    """Of one agent. `folder`: where items are put into force; None: they are only fetched and acknowledged, as a simulator does.

    `url`: of the API, where the server does not say it; or, `through` a tunnel, the one under which alone it is reached.
    """

    def __init__(
        self, keys: Keys, folder: Path | None = None, url: str = "", tls: ssl.SSLContext | None = None, *, through: bool = False
    ) -> None:
        self._through = through
        self._keys, self._folder, self._url, self._tls = keys, folder, url, tls
        self._one = asyncio.Lock()
        """One update after the other: two commands may tell of the same item."""

    async def update(self, agent: int, data: Mapping[str, Any]) -> dict[str, Any]:
        """-> the answer's data. Raises DriverError, having tried each item."""
        url = (None if self._through else data.get("configUrl")) or self._url
        if not isinstance(url, str) or not url:
            raise DriverError(f"{COMMAND} says no configUrl: set cattle.config.url on the server")
        items = [each.get("name") for each in data.get("items") or () if isinstance(each, Mapping)]
        keys = await self._keys(agent)
        try:
            api = Api(url, keys, self._tls)
        except BadAddress as error:
            raise DriverError(f"the configUrl of {COMMAND}, {error}") from None
        told: list[str] = []
        wrong: list[str] = []
        for name in items:
            if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
                wrong.append(f"{name!r} is no item's name")
                continue
            try:
                async with self._one:
                    told.append(await asyncio.to_thread(self._bring, api, agent, keys, name))
            except (DriverError, Answered, NoAnswer, OSError, tarfile.TarError) as error:  # a full disk, say: the other items may be small
                wrong.append(f"{name}: {error}")
        if wrong:
            raise DriverError("; ".join(wrong))
        return {"exitCode": 0, "output": "\n".join(told)}

    def _bring(self, api: Api, agent: int, keys: Credentials | None, name: str) -> str:
        path = f"configcontent/{quote(name)}"
        who = {} if keys is not None else {"agentId": f"1a{agent}"}
        current = self._version(name)
        fetched = read_archive(name, api.ask("GET", path, {**who, **({"current": current} if current else {})}))
        output = "it is there already"
        if self._folder is not None and not fetched.uptodate:
            output = self._put_in_force(self._folder, name, fetched, api.base, keys)
        api.ask("PUT", path, {**who, "version": fetched.version})
        return f"{name} {fetched.version}: {output}"

    def _version(self, name: str) -> str:
        path = self._folder / name / "version" if self._folder is not None else None
        return path.read_text().strip() if path is not None and path.exists() else ""

    def _put_in_force(self, folder: Path, name: str, fetched: Fetched, url: str, keys: Credentials | None) -> str:
        """Beside what is in force, which stays until the new one was applied."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new, old = folder / f".{name}.new", folder / name
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        _unpack(fetched.archive, new)
        root = new / fetched.root
        output = _apply(root, url, keys) if (root / "apply.sh").exists() else "it is there now"
        shutil.rmtree(old, ignore_errors=True)
        root.rename(old)
        shutil.rmtree(new, ignore_errors=True)
        return output


def read_archive(name: str, archive: bytes) -> Fetched:
    """Raises DriverError for what is not whole."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            files = {each.name: file.read() for each in tar if each.isfile() and (file := tar.extractfile(each)) is not None}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DriverError(f"the archive can't be read: {error}") from None
    roots = {path.partition("/")[0] for path in files}
    root = next(iter(roots), "")
    version = files.get(f"{root}/version", b"").decode("utf-8", "replace").strip()
    if len(roots) != 1 or not version or not root.startswith(f"{name}-"):
        raise DriverError(f"the archive is none of an item: it holds {', '.join(sorted(roots)) or 'nothing'}, in version {version!r}")
    for sums in ("SHA1SUMSSUM", "SHA1SUMS"):
        for line in files.get(f"{root}/{sums}", b"-  -").decode("utf-8", "replace").splitlines():
            expected, _, path = line.partition("  ")
            content = files.get(f"{root}/{path}")
            if content is None or hashlib.sha1(content, usedforsecurity=False).hexdigest() != expected:
                raise DriverError(f"{path} of the archive is not what {sums} says")
    return Fetched(root, version, f"{root}/uptodate" in files, archive)


def _unpack(archive: bytes, folder: Path) -> None:
    """Its files alone, below the folder. (Of tarfile's own filters Python 3.11 as Debian 12 has it knows nothing.)"""
    folder = folder.resolve()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for each in tar:
            file = tar.extractfile(each) if each.isfile() else None
            if file is None:
                continue
            path = (folder / each.name).resolve()
            if not path.is_relative_to(folder):
                raise DriverError(f"{each.name} of the archive would lie outside of it")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read())
            path.chmod(0o600 | (each.mode & 0o755))


def _apply(root: Path, url: str, keys: Credentials | None) -> str:
    """Its apply.sh, as the operator's own program: it finds the API and the agent's keys in its environment."""
    known = {"CATTLE_ACCESS_KEY": keys.access_key, "CATTLE_SECRET_KEY": keys.secret_key} if keys is not None else {}
    environment = {**os.environ, "CATTLE_CONFIG_URL": url, "CORRAL_AGENT": str(os.getpid()), "CORRAL_PYTHON": sys.executable, **known}
    try:
        done = subprocess.run(
            ["sh", "./apply.sh"], cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=APPLY_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise DriverError(f"its apply.sh did not end within {APPLY_SECONDS} seconds") from None
    except OSError as error:
        raise DriverError(f"its apply.sh can't be run: {error}") from None
    output = done.stdout.decode("utf-8", "replace")[-TOLD:].strip()
    if done.returncode:
        raise DriverError(f"its apply.sh ended with {done.returncode}: {output}")
    return output or "it is in force now"
