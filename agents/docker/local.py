"""For a first start: is there an engine on this machine, and what could run on it at once?"""

from __future__ import annotations

from dataclasses import dataclass

from agents.docker.driver import DockerDriver
from agents.docker.engine import engine_url
from agents.docker.images import default_command, ensure_default_image
from agents.docker.tls import engine_tls
from agents.driver import Driver


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
    return None if name is None else DefaultImage(name, default_command())
