"""The SQL statements, one a file in eventstore/sql, by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "sql"


@cache
def sql(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
