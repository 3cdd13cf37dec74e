"""An agent's own key for NATS, in its folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agents.joining import access
from agents.joining.access import SEED, Access, own_seed
from agents.joining.registration import RegistrationRefused
from tests.support.waiting import happens


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    made = own_seed(tmp_path)
    assert made.startswith("SU")
    assert own_seed(tmp_path) == made


@pytest.mark.parametrize("kept", [b"", b"SUAB", b"not a seed", b"\xff\xfe"])
def test_a_file_that_holds_no_key_is_told_with_what_to_do(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / SEED).write_bytes(kept)
    with pytest.raises(RegistrationRefused, match=f"{SEED}.*(remove the file|can't be read)"):
        own_seed(tmp_path)


async def test_a_key_is_registered_once_more_only_if_it_is_refused_for_longer_than_a_crowd_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[str] = []

    async def register() -> None:
        registered.append("once more")

    mine = Access("SU", register=register)
    mine.refused()
    mine.let_in()
    monkeypatch.setattr(access, "FIRST_SECONDS", (0.2, 0.3))
    mine.refused()
    assert not registered

    def refused_until_it_asks() -> bool:
        mine.refused()
        return bool(registered)

    await happens(refused_until_it_asks)
    for _ in range(10):
        await asyncio.sleep(0.01)
        mine.refused()
    assert len(registered) == 1
