"""What is kept is there whole, and nobody else's to read."""

from __future__ import annotations

from pathlib import Path

from agents.joining.files import keep


def test_a_file_is_kept_for_its_owner_alone_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "agent" / "keys.json"
    for content in ("one", "other"):
        keep(path, content)
        assert path.read_text() == content
    assert [each.name for each in path.parent.iterdir()] == ["keys.json"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_a_death_in_the_middle_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "key.new").write_text("half a k")
    (tmp_path / "key.new").chmod(0o644)
    keep(tmp_path / "key", "key")
    assert (tmp_path / "key").read_text() == "key"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
