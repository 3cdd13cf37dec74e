"""Images on a Docker engine: whether one is there or has to come (pulling.py).

Functions here block and take a docker.APIClient: the driver calls them in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import ImageNotFound, NotFound

from agents.docker.container import image_name
from agents.docker.pulling import credential_of, load, pull, split_name
from agents.driver import DriverError, Json, Report
from agents.instances import fields_of


def activate_image(client: docker.APIClient, image: Mapping[str, Any], folder: Path, report: Report) -> Json:
    """The reply's data once the image is on the engine. `folder`: the one whose files a file:// url may name."""
    name = image_name(image)
    if name is None:
        raise DriverError(f"image {image.get('uuid')!r} is not one of Docker's: its uuid must be of the form docker:<name>")
    ensure_image(client, image, name, folder, report)
    return {"+data": {"dockerImage": {**names_of(name), "id": inspect_image(client, name)["Id"]}}}


def ensure_image(client: docker.APIClient, image: Mapping[str, Any], name: str, folder: Path, report: Report) -> None:
    """`image`: its row, which says where it comes from."""
    url = image.get("url") or fields_of(image).get("url")
    if has_image(client, name):
        return
    if isinstance(url, str) and urlsplit(url).scheme == "file":
        load(client, name, url, folder, report)
    else:
        pull(client, name, credential_of(image), report)


def remove_image(client: docker.APIClient, name: str) -> None:
    """Absent: done. In use: Docker's error says by which container."""
    with suppress(NotFound):
        client.remove_image(name)


def has_image(client: docker.APIClient, name: str) -> bool:
    try:
        inspect_image(client, name)
    except ImageNotFound:
        return False
    return True


def inspect_image(client: docker.APIClient, name: str) -> Json:
    """By name or id. Raises ImageNotFound."""
    inspected: Json = client.inspect_image(name)
    return inspected


def names_of(name: str) -> Json:
    """The parts of an image's name, as Cattle's agents reported them."""
    qualified, tag = split_name(name)
    namespace, _, repository = qualified.rpartition("/")
    separator = "@" if tag.startswith("sha256:") else ":"
    return {
        "fullName": f"{qualified}{separator}{tag}",
        "qualifiedName": qualified,
        "repository": repository,
        "namespace": namespace or None,
        "tag": tag,
    }
