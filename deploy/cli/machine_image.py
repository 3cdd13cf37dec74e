"""corral machine-image: a virtual machine's disk as an image that a Docker host can run. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from deploy.cli.errors import Failed
from deploy.cli.options import SERVER, command
from deploy.cli.show import err, out


def register(app: typer.Typer) -> None:
    """Adds the command to the CLI."""

    @command(app, "machine-image", SERVER, [
        "corral machine-image debian.qcow2 my/debian-vm           (the disk and this machine's QEMU, as an image on its Docker engine)",
        "corral machine-image --docker tcp://10.0.0.2:2375 debian.qcow2 my/debian-vm:12",
    ])  # fmt: skip
    def machine_image(
        disk: Annotated[Path, typer.Argument(metavar="DISK", help="A qcow2 or raw disk, whole.", show_default=False)],
        name: Annotated[str, typer.Argument(metavar="NAME", help="Of the image, as Docker names images.", show_default=False)],
        docker: Annotated[
            str | None,
            typer.Option(
                "--docker", metavar="URL", envvar="CORRAL_DOCKER", help="The Docker engine.", show_default="DOCKER_HOST, or the socket"
            ),
        ] = None,
    ) -> None:
        """Make an image of a virtual machine's disk, so that the machine runs in a container (docs/machines.md)."""
        if not disk.is_file():
            raise Failed(f"there is no file {disk}")
        err().print(Text(f"Making {name} of {disk} and this machine's QEMU"))
        made = _made(disk, name, docker)
        out().print(Text(f"{name} is on the engine ({made.removeprefix('sha256:')[:12]}). To run it:", style="green"))
        out().print(Text(
            f"  curl -s $CORRAL_URL/v1/images -F uuid=docker:{name} -F kind=docker -F instanceKind=virtualMachine -F isPublic=true\n"
            f"  curl -s $CORRAL_URL/v1/virtualmachines -F imageUuid=docker:{name} -F memoryMb=512 -F name=first"
        ))  # fmt: skip


def _made(disk: Path, name: str, url: str | None) -> str:
    import asyncio

    from agents.docker import machine_image, reach
    from agents.driver import DriverError

    async def make() -> str:
        driver = await reach(url)
        try:
            return await driver.engine.work(lambda client: machine_image(client, disk, name))
        finally:
            await driver.close()

    try:
        return asyncio.run(make())
    except DriverError as error:
        raise Failed(str(error)) from None
