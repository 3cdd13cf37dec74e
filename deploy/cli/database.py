"""Commands that work on the database itself (rebuild, archive, replay --to, diff): where it is, and the log in it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from commands import upcast
from deploy.cli.client import home, remembered
from deploy.cli.errors import Failed
from deploy.cli.show import err
from eventstore import StoreError
from eventstore.postgres import PostgresStore

Home = Annotated[Path | None, typer.Option("--home", envvar="CORRAL_HOME", help="Corral's home.", show_default="~/.corral")]

Postgres = Annotated[
    str | None, typer.Option("--postgres", envvar="CORRAL_POSTGRES", help="The database.", show_default="what Corral's home remembers")
]


def database_of(home_folder: Path | None, postgres: str | None) -> str:
    """Its address; Failed where nobody knows it."""
    where = postgres or remembered("postgres", (home_folder or home()).expanduser())
    if not where:
        raise Failed(f"which database? {home_folder or home()} has no Corral yet: start one, or set CORRAL_HOME or --postgres")
    return where


def archive_folder(home_folder: Path | None) -> Path:
    """$CORRAL_ARCHIVE, or the home's own."""
    given = os.environ.get("CORRAL_ARCHIVE")
    return Path(given).expanduser().absolute() if given else (home_folder or home()).expanduser().absolute() / "archive"


@asynccontextmanager
async def opened(where: str, archive: Path | None = None) -> AsyncIterator[PostgresStore]:
    """The log; whatever it can't do is Failed, in its own words."""
    try:
        store = await PostgresStore.open(where, archive=archive, upcast=upcast.reader())
    except (StoreError, OSError) as error:
        raise Failed(f"the database does not answer ({error}): start Corral, or say --postgres") from None
    try:
        yield store
    except StoreError as error:
        raise Failed(str(error)) from None
    finally:
        await store.close()


@contextmanager
def progress(what: str, unit: str = "events") -> Iterator[Progress]:
    """A bar on stderr, and only on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True, disable=not err().is_terminal) as bar:
        bar.add_task(what, total=None)
        yield bar


def advance(bar: Progress, done: int, all: int, what: str | None = None) -> None:
    """The bar's only task stands at `done` of `all`."""
    [task] = bar.tasks
    bar.update(task.id, completed=done, total=all, description=what or task.description)
