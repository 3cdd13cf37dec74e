"""corral archive: what has ended leaves the log for compressed files, which all that looks back still reads."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from commands.failpoints import reach
from commands.turns.fleet import LOADED
from deploy.cli import moments
from deploy.cli.database import Home, Postgres, advance, archive_folder, database_of, opened, progress
from deploy.cli.errors import REFUSED, Failed, WrongUse
from deploy.cli.options import SERVER, Output, command
from deploy.cli.show import Format, hint, out, print_json
from eventstore import Store
from eventstore.archive import Archive
from eventstore.archiving import Archived, archive_before, verify
from eventstore.errors import StoreError
from projections.errors import DATABASE_ERRORS
from projections.history import position_of


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "archive", SERVER, [
        "corral archive --before 30d --dry-run   (what would leave the log)",
        "corral archive --before 30d",
        "corral archive --before 120000 --to /mnt/archive",
        "corral archive --check                  (reads the whole archive, and says what is missing or damaged)",
    ])  # fmt: skip
    def archive(
        before: Annotated[
            str | None, typer.Option("--before", metavar="MOMENT", help=f"What ended before this: {moments.HELP}.", show_default=False)
        ] = None,
        to: Annotated[
            Path | None, typer.Option("--to", metavar="FOLDER", help="Where to.", show_default="$CORRAL_ARCHIVE, or archive in the home")
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would leave.")] = False,
        check: Annotated[bool, typer.Option("--check", help="Only read what is archived, and say what is wrong with it.")] = False,
        home_folder: Home = None,
        postgres: Postgres = None,
        output: Output = Format.TEXT,
    ) -> None:
        """Move what is purged for long out of the log, into files that history still reads. Safe at any time; killed, it is run again."""
        if check == (before is not None):
            raise WrongUse("say --before what, or --check: one of them")
        folder = (to or archive_folder(home_folder)).expanduser().absolute()
        where = database_of(home_folder, postgres)
        if check:
            asyncio.run(_check(where, folder, output))
        else:
            assert before is not None
            _print(asyncio.run(_archive(where, folder, before, dry_run)), output)


async def _archive(where: str, folder: Path, before: str, dry: bool) -> Archived:
    async with opened(where, folder) as store:  # which also brings the database up to this version
        position = await limit_of(store, before)
    with progress("archiving", "") as bar:

        def told(what: str, done: int, all: int) -> None:
            if all:
                advance(bar, done, all, what)
            else:
                reach(f"archive-{what}")

        try:
            return await archive_before(where, folder, position, keep=LOADED, dry=dry, told=told)
        except StoreError as error:
            raise Failed(str(error)) from None
        except DATABASE_ERRORS as error:
            raise Failed(f"the database went away ({error}): the log is as it was. Run it again") from None


async def limit_of(store: Store, before: str) -> int:
    """The first position that is not before it."""
    moment = moments.read_moment(before)
    if isinstance(moment, int):
        return moment
    return min(await position_of(store, moment) + 1, await store.head())


async def _check(where: str, folder: Path, output: Format) -> None:
    with progress("reading", "files") as bar:
        try:
            files, wrong = await verify(where, Archive(folder), lambda what, done, all: advance(bar, done, all))
        except DATABASE_ERRORS as error:
            raise Failed(f"the database does not answer ({error}): start Corral, or say --postgres") from None
    if output is Format.JSON:
        print_json({"files": [asdict(file) for file in files], "wrong": wrong})
    else:
        for sentence in wrong:
            out().print(sentence)
        events = sum(file.events for file in files)
        result = f"{len(wrong)} can't be used" if wrong else "all are as they were written"
        out().print(f"{len(files)} files with {events} events were read: {result}.")
    if wrong:
        raise typer.Exit(REFUSED)


def _print(done: Archived, output: Format) -> None:
    if output is Format.JSON:
        print_json(asdict(done))
        return
    what = f"{done.streams} streams with {done.events} events ended before position {done.before}"
    if not done.events:
        out().print(f"Nothing to archive: nothing that is purged, with all that belonged to it, ended before position {done.before}.")
    elif done.dry:
        out().print(f"{what}: they would leave the log, and {done.partitions} of its partitions be written anew. Nothing was done.")
    else:
        out().print(f"{what}: they are in {done.folder} now ({len(done.files)} files), read back and compared.")
        hint(f"{done.partitions} partitions were written anew. Keep copies of that folder: history is no longer whole without it.")
    if done.kept_back:
        hint(f"{done.kept_back} events of before stay in the log: of what still lives, or belongs to what still lives.")
