"""corral logs --container: what a container wrote, from the Docker engine of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from deploy.cli.errors import Failed

TIMEOUT = 20
"""Seconds for each answer of the engine."""


def container_output(container: str, tail: int | None = None) -> Iterator[str]:
    """Its lines so far, both streams in the engine's order. $CORRAL_DOCKER names the engine, else DOCKER_HOST or the usual socket."""
    import docker  # takes long to import, and only this command needs it
    from docker.errors import DockerException, NotFound

    where = os.environ.get("CORRAL_DOCKER", "")
    try:
        client = docker.DockerClient(base_url=where, timeout=TIMEOUT) if where else docker.from_env(timeout=TIMEOUT)
    except DockerException as error:
        tried = where or os.environ.get("DOCKER_HOST") or "the usual socket"
        raise Failed(f"no Docker engine answers at {tried}: ask on its host's machine, or set CORRAL_DOCKER") from error
    try:
        text = client.containers.get(container).logs(stdout=True, stderr=True, tail=tail or "all")
    except NotFound:
        where = "ask on the machine where the instance's host is"
        raise Failed(f"this machine's Docker engine has no container {container[:12]}: {where}") from None
    except DockerException as error:
        raise Failed(f"Docker can't tell what container {container[:12]} wrote: {error}") from None
    finally:
        client.close()
    yield from text.decode(errors="replace").splitlines()
