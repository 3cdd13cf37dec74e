"""For a first start: is there an engine on this machine, and what could run on it at once?"""

from __future__ import annotations

import platform
from dataclasses import dataclass

import docker

from agents.docker.busybox import MACHINES, image_from_busybox, static_busybox
from agents.docker.driver import DockerDriver
from agents.docker.engine import engine_url
from agents.docker.images import has_image
from agents.docker.tls import engine_tls
from agents.driver import Driver

DEFAULT_IMAGE = "corral/busybox:latest"
_GOOD_ENOUGH = (DEFAULT_IMAGE, "busybox:latest", "alpine:latest")
"""Images that may be on an engine already, small ones with a shell."""
_COMMAND = ("sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done")
"""Runs until it is stopped, and stops at once (a first process ignores what it does not trap)."""


@dataclass(frozen=True, slots=True)
class DefaultImage:
    """An image on the engine, and a command that runs in it until it is stopped."""

    name: str
    command: list[str]


async def reach(url: str | None = None, *, name: str | None = None, host_ip: str | None = None) -> DockerDriver:
    """The driver of the engine at `url` (DOCKER_HOST, else the usual socket). Raises NoEngine, saying why, when none answers."""
    driver = DockerDriver(engine_url(url), name=name, host_ip=host_ip, tls=engine_tls())
    try:
        await driver.engine.look(lambda client: client.ping())
    except BaseException:
        await driver.close()
        raise
    return driver


async def default_image(driver: Driver) -> DefaultImage | None:
    """An image for a first instance, imported if need be; no registry is asked. None: not Docker's, or there is nothing to make one of."""
    if not isinstance(driver, DockerDriver):
        return None
    name = await driver.engine.work(ensure_default_image)
    return None if name is None else DefaultImage(name, [*_COMMAND])


def ensure_default_image(client: docker.APIClient) -> str | None:
    """The name of a small image with a shell: one that is there, or one made of this machine's static busybox. None: there is neither."""
    for name in _GOOD_ENOUGH:
        if has_image(client, name):
            return name
    program = static_busybox()
    if program is None or client.version().get("Arch") != MACHINES.get(platform.machine()):
        return None
    image_from_busybox(client, program, DEFAULT_IMAGE)
    return DEFAULT_IMAGE
