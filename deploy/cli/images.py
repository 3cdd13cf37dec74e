"""corral images: which images are on which host, as the hosts' engines say just now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deploy.cli.options import INSTANCES, Output, Url, command, connect
from deploy.cli.show import Format, age, hint, print_json, table, waiting
from deploy.cli.things import resolve_host

Json = dict[str, Any]

LISTING = ("docker",)
"""The kinds of hosts whose engines list their images."""

UNNAMED = "<none>"


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "images", INSTANCES, [
        "corral images                (of all Docker hosts)",
        "corral images nginx          (where it is: names and digests that hold the word)",
        "corral images --host rack-3",
    ])  # fmt: skip
    def images(
        word: Annotated[str | None, typer.Argument(help="Only those whose names or digests hold it.", show_default="all")] = None,
        host: Annotated[str | None, typer.Option("--host", "-H", help="Only those of this host.", show_default="of all")] = None,
        url: Url = None,
        output: Output = Format.TEXT,
    ) -> None:
        """List the images on the hosts, also those that Corral did not bring there."""
        with connect(url) as client:
            path = f"{resolve_host(client, host, LISTING).path}/images" if host else "/v1/hosts/images"
            with waiting("asking the hosts for their images"):
                found = client.get(path)
        fitting = [each for each in found["data"] if word is None or any(word in name for name in (*each["names"], *each["digests"]))]
        if output is Format.JSON:
            print_json({**found, "data": fitting})
            return
        table(("HOST", "IMAGE", "ID", "SIZE", "AGE"), [row for each in fitting for row in _rows(each)])
        for each in found["unanswered"]:
            hint(f"{each['hostName'] or each['hostId']}: {each['reason']}")


def _rows(image: Json) -> list[tuple[str, ...]]:
    """One for each name, as `docker images` has it."""
    host, short = image["hostName"] or image["hostId"], image["id"].removeprefix("sha256:")[:12]
    names = image["names"] or image["digests"] or [UNNAMED]
    return [(host, name, short, f"{image['size'] / 1e6:.1f} MB", age(image["createdTS"])) for name in names]
