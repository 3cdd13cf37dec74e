"""Which files of an agent's machine may be named as images: those of one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.driver import DriverError
from agents.image_files import image_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "images"
    made.mkdir()
    (made / "a b").write_text("image")
    (made / "link").symlink_to(tmp_path / "secret")
    return made


def test_a_file_of_the_folder_is_found(folder: Path) -> None:
    assert image_file((folder / "a b").as_uri(), folder, "one") == folder / "a b"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/hostname", "only files in the agent's folder"),
        ("{}/../secret", "only files in the agent's folder"),
        ("{}/%2e%2e/secret", "only files in the agent's folder"),
        ("{}/link", "only files in the agent's folder"),
        ("{}/none", "there is no file"),
        ("{}", "there is no file"),
        ("{}/a%00b", "null byte"),
    ],
)
def test_whoever_names_another_is_refused_with_the_reason(folder: Path, path: str, why: str) -> None:
    with pytest.raises(DriverError, match=f"image one can't be taken.*{why}"):
        image_file(f"file://{path.format(folder)}", folder, "one")
