"""Fixtures: real Docker engines, from the lab of deploy/lab. In CI the lab is made, and a failure to make it fails the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, ImageNotFound, NotFound

LAB = Path(__file__).parents[2] / "deploy" / "lab"
IMAGE = "corral/busybox:latest"
HINT = 'no Docker host stands in the lab: run "make lab" (once, as root), or LAB=1 make test'


@dataclass(frozen=True, slots=True)
class LabHost:
    """A host with a Docker engine of its own. What a container publishes is reached at `address`, its host's IPv4 address."""

    name: str
    address: str
    base_url: str
    image: str = IMAGE
    """busybox with all its applets, there already: no registry is asked."""

    def client(self) -> docker.DockerClient:
        """Close it after use."""
        return docker.DockerClient(base_url=self.base_url, timeout=30)


def lab_folder() -> Path:
    given = os.environ.get("LAB_DIR")
    return Path(given) if given else Path(os.environ.get("TMPDIR") or tempfile.gettempdir()) / "corral-lab"


def standing_hosts(folder: Path) -> dict[str, LabHost]:
    """The lab's hosts whose engines answer, by name."""
    return {host.name: host for place in sorted(folder.glob("hosts/*")) if (host := _standing(place))}


@pytest.fixture(scope="session")
def docker_hosts() -> Iterator[dict[str, LabHost]]:
    """The hosts alpha and beta. Skips where there is no lab and none may be made; at the end removes the containers that tests made."""
    hosts = standing_hosts(lab_folder())
    wanted = _flag("CI") or _flag("LAB")
    if not {"alpha", "beta"} <= hosts.keys():
        if not wanted:
            pytest.skip(HINT)
        make_lab()
        hosts = standing_hosts(lab_folder())
        assert {"alpha", "beta"} <= hosts.keys(), f"the lab was set up, but only {sorted(hosts)} answer"
    before = {host.name: _containers(host) for host in hosts.values()}
    for host in hosts.values():
        _import_image(host)
    yield hosts
    for host in hosts.values():
        _remove(host, _containers(host) - before[host.name])


@pytest.fixture(scope="session")
def docker_host(docker_hosts: dict[str, LabHost]) -> str:
    """The base URL of one real engine, that of alpha."""
    return docker_hosts["alpha"].base_url


def make_lab() -> None:
    made = subprocess.run([LAB / "lab.sh", "up"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    if made.returncode != 0:
        pytest.fail(f"the lab could not be set up:\n{made.stdout}{made.stderr}", pytrace=False)


def _standing(place: Path) -> LabHost | None:
    try:
        address = (place / "address").read_text().strip()
        with socket.create_connection((address, 2375), timeout=2):
            pass
    except OSError:
        return None
    path = place / "docker.sock"
    # A lab that root made is reached by others over its address.
    base_url = f"unix://{path}" if os.access(path, os.R_OK | os.W_OK) else f"tcp://{address}:2375"
    return LabHost(place.name, address, base_url)


def _flag(name: str) -> bool:
    return sys.platform == "linux" and os.environ.get(name, "").lower() in ("1", "true", "yes")


def _import_image(host: LabHost) -> None:
    client = host.client()
    try:
        client.images.get(IMAGE)
    except ImageNotFound:
        repository, tag = IMAGE.split(":")
        client.api.import_image_from_file(str(lab_folder() / "busybox.tar"), repository=repository, tag=tag)
    finally:
        client.close()


def _containers(host: LabHost) -> set[str]:
    client = host.client()
    try:
        return {container.id for container in client.containers.list(all=True, ignore_removed=True) if container.id}
    finally:
        client.close()


def _remove(host: LabHost, containers: set[str]) -> None:
    client = host.client()
    try:
        for container in containers:
            try:
                client.api.remove_container(container, force=True, v=True)
            except (NotFound, APIError):
                continue  # it is gone, or is being removed just now
    finally:
        client.close()
