"""JSON without orjson, as agents in one file have it: the same bytes and values."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import orjson
import pytest

from agents import jsons


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "orjson", None)
    yield importlib.reload(jsons)
    monkeypatch.undo()
    importlib.reload(jsons)


def test_it_writes_and_reads_the_same_as_orjson(plain: Any) -> None:
    value = {"é": [1, 2.5, None, True, {"a": "\n\u2028"}], "big": 2**53}
    assert plain.dumps(value) == orjson.dumps(value)
    assert plain.loads(plain.dumps(value)) == value


@pytest.mark.parametrize("payload", [b"NaN", b"[Infinity]", b"{", b"", b"\xff"])
def test_it_refuses_what_orjson_refuses(plain: Any, payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        plain.loads(payload)
