"""What a container wrote, from the engine's frames to lines and text."""

from __future__ import annotations

import pytest

from agents.docker.live import Mark, sampled
from agents.docker.output import Characters, Frames, Lines
from agents.driver import Json


def frame(number: int, output: bytes) -> bytes:
    return bytes([number, 0, 0, 0]) + len(output).to_bytes(4, "big") + output


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_frames_are_told_apart_however_they_are_cut(size: int) -> None:
    whole = frame(1, b"out") + frame(2, b"err") + frame(1, b"")
    frames = Frames(terminal=False)
    found = [each for begin in range(0, len(whole), size) for each in frames.feed(whole[begin : begin + size])]
    assert found == [("stdout", b"out"), ("stderr", b"err"), ("stdout", b"")]


def test_a_terminal_s_output_has_no_frames() -> None:
    assert Frames(terminal=True).feed(b"\x01\x00\x00") == [("stdout", b"\x01\x00\x00")]


def test_a_log_s_lines_have_their_time_and_say_when_they_are_only_parts() -> None:
    lines = Lines(terminal=False)
    assert lines.feed("stderr", b"2026-11-20T01:02:03.4Z two words\n") == [
        {"stream": "stderr", "time": "2026-11-20T01:02:03.4Z", "text": "two words"}
    ]
    assert lines.feed("stdout", b"2026-11-20T01:02:03.4Z part") == [
        {"stream": "stdout", "time": "2026-11-20T01:02:03.4Z", "text": "part", "partial": True}
    ]
    assert lines.feed("stdout", b"2026-11-20T01:02:03.4Z \xff\n")[0]["text"] == "\ufffd"


def test_a_terminal_s_lines_are_found_by_their_ends() -> None:
    lines = Lines(terminal=True)
    assert lines.feed("stdout", b"T1 on") == []
    assert [each["text"] for each in lines.feed("stdout", b"e\r\nT2 two\r\nT3 thr")] == ["one", "two"]
    assert lines.end() == [{"stream": "stdout", "time": "T3", "text": "thr", "partial": True}]


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    lines = Lines(terminal=True)
    told = [each for _ in range(20) for each in lines.feed("stdout", b"x" * 16_384)]
    assert len(told) >= 6


def test_text_is_cut_between_characters_and_what_is_no_text_is_kept_as_it_is() -> None:
    characters, text = Characters(), "grün €".encode()
    cut = [characters.feed("stdout", text[at : at + 1]) for at in range(len(text))]
    assert b"".join(cut) == text
    assert all(each.decode() is not None for each in cut)
    assert characters.feed("stdout", b"\xff\xe2") == b"\xff"
    assert characters.feed("stderr", b"a") == b"a", "streams are apart"
    assert characters.end() == [("stdout", b"\xe2")]


def test_a_sample_is_told_in_plain_figures() -> None:
    cpu = {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2}
    before = {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000}
    sample = {
        "read": "T", "cpu_stats": cpu, "precpu_stats": before, "memory_stats": {"usage": 50, "limit": 100, "stats": {"inactive_file": 10}},
        "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 3, "tx_bytes": 4}}, "pids_stats": {"current": 5},
        "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 6}, {"op": "write", "value": 7}]},
    }  # fmt: skip
    assert sampled(sample) == {
        "time": "T", "cpuPercent": 40.0, "cpus": 2, "memoryBytes": 40, "memoryLimitBytes": 100, "receivedBytes": 4, "sentBytes": 6,
        "readBytes": 6, "writtenBytes": 7, "processes": 5,
    }  # fmt: skip


def test_what_an_engine_does_not_tell_is_null() -> None:
    assert {"cpuPercent": None, "memoryBytes": None, "processes": None}.items() <= sampled({"blkio_stats": None}).items()


def test_a_log_read_again_from_its_mark_goes_on_where_it_was() -> None:
    def line(time: str, text: str) -> Json:
        return {"stream": "stdout", "time": time, "text": text}

    early, same, late = "2026-01-01T00:00:01.000000001Z", "2026-01-01T00:00:02.500000000Z", "2026-01-01T00:00:03.000000000Z"
    mark = Mark()
    mark.note([line(early, "a"), line(same, "b")])
    mark.note([line(same, "c")])
    assert mark.since == "1767225602.500000000"
    rest = [*mark.beyond([line(same, "b"), line(same, "c")]), *mark.beyond([line(same, "d"), line(late, "e")])]
    assert [each["text"] for each in rest] == ["d", "e"]
