"""The Docker driver: containers on a Docker engine, through its HTTP API."""

from agents.docker.driver import DockerDriver
from agents.docker.engine import DEFAULT_URL, NoEngine, engine_url
from agents.docker.local import DefaultImage, default_image, ensure_default_image, reach
from agents.docker.machine_image import machine_image
from agents.docker.tls import EngineTls, engine_tls

__all__ = [
    "DEFAULT_URL", "DefaultImage", "DockerDriver", "EngineTls", "NoEngine", "default_image", "engine_tls", "engine_url",
    "ensure_default_image", "machine_image", "reach",
]  # fmt: skip
