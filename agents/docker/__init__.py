"""The Docker driver: containers on a Docker engine, through its HTTP API."""

from agents.docker.driver import DockerDriver
from agents.docker.engine import DEFAULT_URL, EngineAway, engine_url
from agents.docker.images import ensure_default_image

__all__ = ["DEFAULT_URL", "DockerDriver", "EngineAway", "engine_url", "ensure_default_image"]
