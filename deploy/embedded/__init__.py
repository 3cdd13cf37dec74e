"""Postgres and NATS from their wheels, for a Corral that brings its own: started, watched and stopped with it."""

from deploy.embedded.home import Home, HomeInUse, HomeUnusable, hold, noted
from deploy.embedded.nats import EmbeddedNats
from deploy.embedded.postgres import EmbeddedPostgres
from deploy.embedded.server import ServerFailed

__all__ = ["EmbeddedNats", "EmbeddedPostgres", "Home", "HomeInUse", "HomeUnusable", "ServerFailed", "hold", "noted"]
