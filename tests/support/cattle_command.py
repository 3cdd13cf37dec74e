"""Cattle's own `cattle` command on Python 3, for which it was not written: python -m tests.support.cattle_command list-host

It draws tables with Python 2's map(None, ...) and reduce, and hashes text for the name of its schemas' cache.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cattle
import gdapi

from tests.support.cattle_client import patch


def _map(function: Callable[..., Any] | None, *rows: Iterable[Any]) -> Iterator[Any]:
    """Without a function the longest row counts, and None stands for what others lack."""
    return itertools.zip_longest(*rows) if function is None else map(function, *rows)


def _schema_hash(self: Any) -> str:
    return hashlib.sha1(f"{self._url}{self._access_key or ''}".encode(), usedforsecurity=False).hexdigest()


if __name__ == "__main__":
    patch()
    gdapi.map, gdapi.reduce = _map, functools.reduce
    gdapi.Client._get_schema_hash = _schema_hash
    sys.argv[0] = "cattle"  # its variables begin with this name
    cattle._main()
