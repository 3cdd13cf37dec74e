"""Homes for the servers of whole stories: 50 MB each, which pytest would keep for three sessions, so they go with their test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home that doesn't exist yet."""
    yield tmp_path / "home"
    shutil.rmtree(tmp_path / "home", ignore_errors=True)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for a module's tests together; a second server of that module uses a folder beside it."""
    folder = tmp_path_factory.mktemp("flow")
    yield folder / "home"
    shutil.rmtree(folder, ignore_errors=True)
