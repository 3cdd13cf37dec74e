"""How an image comes to a Docker engine: pulled from a registry, perhaps with a credential, or from a file. Both tell how far they are.

Functions here block and take a docker.APIClient: the driver calls them in a thread.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound
from docker.utils import parse_repository_tag

from agents.docker.engine import said
from agents.driver import DriverError, Json, Report
from agents.image_files import image_file

CREDENTIAL = "registryCredential"
"""In the row of an image that a command is about: who pulls it, as {publicValue, secretValue, registry}."""

_DENIED = ("unauthorized", "denied", "authentication required", "no basic auth credentials", "401", "403")


@dataclass(slots=True)
class Layers:
    """How far a pull is, from the lines that the engine tells of it."""

    sizes: dict[str, int] = field(default_factory=dict)
    here: dict[str, int] = field(default_factory=dict)
    """Layer -> bytes that were downloaded."""

    def note(self, line: Json) -> None:
        layer, detail = line.get("id"), line.get("progressDetail") or {}
        if not isinstance(layer, str):
            return
        match line.get("status"):
            case "Downloading" if detail.get("total"):
                self.sizes[layer], self.here[layer] = int(detail["total"]), int(detail.get("current", 0))
            case "Download complete" | "Pull complete" | "Verifying Checksum" if layer in self.sizes:
                self.here[layer] = self.sizes[layer]

    @property
    def percent(self) -> int | None:
        """Of the bytes whose number is known: that of a layer is when it begins."""
        total = sum(self.sizes.values())
        return 100 * sum(self.here.values()) // total if total else None

    def __str__(self) -> str:
        total, here = sum(self.sizes.values()), sum(self.here.values())
        return f"{here / 1e6:.1f} of {total / 1e6:.1f} MB" if total else "asking its registry"


def credential_of(image: Mapping[str, Any]) -> Json | None:
    """In docker's words."""
    given = image.get(CREDENTIAL)
    if not isinstance(given, Mapping):
        return None
    return {"username": given.get("publicValue"), "password": given.get("secretValue"), "serveraddress": given.get("registry")}


def split_name(name: str) -> tuple[str, str]:
    """-> repository, and tag or digest. A digest says all; a tag beside it is left out."""
    repository, tag = parse_repository_tag(name)
    if str(tag or "").startswith("sha256:"):
        repository, _ = parse_repository_tag(repository)
    return str(repository), str(tag or "latest")


def pull(client: docker.APIClient, name: str, credential: Json | None, report: Report) -> None:
    repository, tag = split_name(name)
    layers = Layers()
    report(f"Pulling {name}: {layers}", None)
    try:
        # Without a credential of ours, those of the agent's own user (~/.docker/config.json) count.
        for line in client.pull(repository, tag=tag, stream=True, decode=True, auth_config=credential):
            if line.get("error"):
                raise DriverError(_why(name, str(line["error"]), credential))
            layers.note(line)
            report(f"Pulling {name}: {layers}", layers.percent)
    except APIError as error:
        raise DriverError(_why(name, said(error), credential)) from error


def _why(name: str, reason: str, credential: Json | None) -> str:
    told = f"Docker could not pull {name}: {reason}"
    if not any(each in reason.lower() for each in _DENIED):
        return told
    if credential is None:
        return f"{told}. If it is private, its registry needs a credential of kind registryCredential (docs/docker.md)"
    return f"{told}. The registry was told the user {credential['username']!r} of the credential for {credential['serveraddress']}"


def load(client: docker.APIClient, name: str, url: str, folder: Path, report: Report) -> None:
    """A file made by `docker save`, or a tar of a root file system."""
    path = image_file(url, folder, name)
    report(f"Importing {name} from {path.name}", None)
    repository, tag = split_name(name)
    try:
        with tarfile.open(path) as tar:
            saved = "manifest.json" in tar.getnames()
    except tarfile.TarError as error:
        raise DriverError(f"image {name} can't be imported: {path} is no tar file ({error})") from None
    except OSError as error:
        raise DriverError(f"image {name} can't be imported: the agent's user must be able to read {path} ({error.strerror})") from None
    if not saved:
        client.import_image_from_file(str(path), repository=repository, tag=tag)
        return
    with path.open("rb") as file:
        for line in client.load_image(file):
            if line.get("error"):
                raise DriverError(f"Docker could not load {path}: {line['error']}")
    try:
        client.inspect_image(name)
    except ImageNotFound:
        raise DriverError(f"{path} was loaded, but holds no image called {name}") from None
