"""What a machine said: lines from the end, across files that were put aside, while more is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.libvirt.serial import PIECE, Console


def read(console: Console) -> str:
    """All that there is just now, as a reader of the log sees it."""
    text = ""
    while lines := console.read():
        text += "".join(f"{each['text']}{'' if each.get('partial') else chr(10)}" for each in lines)
    return text


def begun(path: Path, tail: int | None) -> str:
    with Console(path) as console:
        console.begin(tail)
        return read(console)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Six lines in three files; the last line has no end yet."""
    (tmp_path / "serial.log.1").write_text("1\n2\n")
    (tmp_path / "serial.log.0").write_text("3\r\n4\n")
    (tmp_path / "serial.log").write_text("5\nlogin: ")
    return tmp_path / "serial.log"


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (None, "1\n2\n3\n4\n5\nlogin: "), (0, ""), (1, "login: "), (2, "5\nlogin: "), (3, "4\n5\nlogin: "), (5, "2\n3\n4\n5\nlogin: "),
        (6, "1\n2\n3\n4\n5\nlogin: "), (99, "1\n2\n3\n4\n5\nlogin: "),
    ],
)  # fmt: skip
def test_as_many_lines_as_are_asked_for_come_from_the_end(path: Path, tail: int | None, said: str) -> None:
    assert begun(path, tail) == said


def test_lines_longer_than_a_piece_are_counted_once(tmp_path: Path) -> None:
    long = "ü" * PIECE
    (tmp_path / "serial.log").write_text(f"first\n{long}\nlast\n")
    assert begun(tmp_path / "serial.log", 2) == f"{long}\nlast\n"


def test_a_reader_follows_a_file_that_is_put_aside_emptied_or_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    with Console(path) as console:
        console.begin(None)
        assert read(console) == ""
        path.write_text("one\ntw")
        assert read(console) == "one\ntw"
        with path.open("a") as file:
            file.write("o\n")
        path.rename(tmp_path / "serial.log.0")
        assert read(console) == "o\n"
        path.write_text("three\n")
        assert read(console) == "three\n"
        path.write_text("4\n")
        assert read(console) == "4\n"


def test_a_machine_that_never_said_anything_says_nothing(tmp_path: Path) -> None:
    assert begun(tmp_path / "serial.log", 10) == ""
