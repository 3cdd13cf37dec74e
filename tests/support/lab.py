"""Fixtures: real hosts with Docker and libvirt, from the lab of deploy/lab. In CI it is made, and a failure to make it fails the tests.

It is made between collecting and running, when a test that was chosen needs it: an installation takes longer than a test may.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, ImageNotFound, NotFound

LAB = Path(__file__).parents[2] / "deploy" / "lab"
IMAGE = "corral/busybox:latest"
SETUP = pytest.StashKey[str]()
HINT = 'no host stands in the lab: run "make lab" (once, as root), or LAB=1 make test'


@dataclass(frozen=True, slots=True)
class LabHost:
    """A host with a Docker engine and a libvirt of its own. What a container publishes is reached at `address`, its host's IPv4 address."""

    name: str
    address: str
    base_url: str
    image: str = IMAGE
    """busybox with all its applets, there already: no registry is asked."""

    @property
    def libvirt_url(self) -> str:
        """Its libvirt, for those on this machine."""
        return f"qemu+unix:///system?socket={lab_folder() / 'hosts' / self.name / 'libvirt' / 'libvirt-sock'}"

    @property
    def inside(self) -> list[str]:
        """What runs a program in the host's network: its beginning of a command line."""
        return ["nsenter", f"--net=/run/netns/corral-{self.name}"]

    def client(self) -> docker.DockerClient:
        """Close it after use."""
        return docker.DockerClient(base_url=self.base_url, timeout=30)


def names() -> list[str]:
    """Of the lab's hosts."""
    return [each.partition(":")[0] for each in os.environ.get("LAB_HOSTS", "alpha:1 beta:2").split()]


def lab_folder() -> Path:
    given = os.environ.get("LAB_DIR")
    return Path(given) if given else Path(os.environ.get("TMPDIR") or tempfile.gettempdir()) / "corral-lab"


def standing_hosts(folder: Path) -> dict[str, LabHost]:
    """The lab's hosts whose engines answer, by name."""
    return {host.name: host for place in sorted(folder.glob("hosts/*")) if (host := _standing(place))}


def pytest_collection_finish(session: pytest.Session) -> None:
    """pytest's hook; tests/conftest.py passes it on."""
    needed = any("docker_hosts" in getattr(item, "fixturenames", ()) for item in session.items)
    if needed and may_be_made() and not session.config.option.collectonly and not stands(standing_hosts(lab_folder())):
        session.config.stash[SETUP] = make_lab()


@pytest.fixture(scope="session")
def docker_hosts(pytestconfig: pytest.Config) -> Iterator[dict[str, LabHost]]:
    """Two hosts at least. Skips where there is no lab and none may be made; at the end removes the containers that tests made."""
    hosts = standing_hosts(lab_folder())
    if not stands(hosts):
        if not may_be_made():
            pytest.skip(HINT)
        pytest.fail(f"the lab could not be set up, {sorted(hosts)} answer:\n{pytestconfig.stash.get(SETUP, '')}", pytrace=False)
    with (lab_folder() / "busybox.tar").open("rb") as shared:
        fcntl.flock(shared, fcntl.LOCK_SH)
        before = {host.name: _containers(host) for host in hosts.values()}
        for host in hosts.values():
            _import_image(host)
        yield hosts
        with suppress(BlockingIOError):  # another test run uses the lab: what is left then is its to remove
            fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for host in hosts.values():
                _remove(host, _containers(host) - before[host.name])


@pytest.fixture(scope="session")
def docker_host(docker_hosts: dict[str, LabHost]) -> str:
    """The base URL of one real engine, that of the first host."""
    return docker_hosts[names()[0]].base_url


def stands(hosts: dict[str, LabHost]) -> bool:
    return set(names()) <= hosts.keys()


def may_be_made() -> bool:
    """Only where somebody said so: it installs packages and needs root."""
    return sys.platform == "linux" and any(os.environ.get(name, "").lower() in ("1", "true", "yes") for name in ("CI", "LAB"))


def make_lab() -> str:
    """Whether it worked is seen by what stands then; returns what was said."""
    try:
        run = subprocess.run([LAB / "lab.sh", "up"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return run.stdout + run.stderr


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
