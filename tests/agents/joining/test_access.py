"""An agent's own key for NATS, in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.joining.access import SEED, own_seed
from agents.joining.registration import RegistrationRefused


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    made = own_seed(tmp_path)
    assert made.startswith("SU")
    assert own_seed(tmp_path) == made


@pytest.mark.parametrize("kept", [b"", b"SUAB", b"not a seed", b"\xff\xfe"])
def test_a_file_that_holds_no_key_is_told_with_what_to_do(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / SEED).write_bytes(kept)
    with pytest.raises(RegistrationRefused, match=f"{SEED}.*(remove the file|can't be read)"):
        own_seed(tmp_path)
