"""What whole stories start from: homes for their servers (50 MB each, which pytest would keep for three sessions), and hosts of the lab."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import clear_networks
from tests.support.lab import LabHost
from tests.support.virtual_machines import clear


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home that doesn't exist yet, and goes with its test."""
    yield tmp_path / "home"
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for a module's tests together; a second server of that module uses a folder beside it."""
    folder = tmp_path_factory.mktemp("flow")
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def two(docker_hosts: dict[str, LabHost], tmp_path: Path) -> Iterator[list[LabHost]]:
    """Two hosts; what a test that failed has left there of networks and of virtual machines goes with it."""
    hosts = list(docker_hosts.values())[:2]
    yield hosts
    for host in hosts:
        clear(host, tmp_path)
        clear_networks(host)
