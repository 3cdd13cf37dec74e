"""Fixtures for all tests; they are told in tests/support."""

import signal

from hypothesis import HealthCheck, settings

from tests.support.lab import docker_host, docker_hosts, pytest_collection_finish
from tests.support.servers import database, database_factory, databases, nats_url, postgres_dsn
from tests.support.stores import either_store, store

__all__ = [
    "database", "database_factory", "databases", "docker_host", "docker_hosts", "either_store", "nats_url", "postgres_dsn",
    "pytest_collection_finish", "store",
]  # fmt: skip


def pytest_configure() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and so would every process that a test starts and means to interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # How fast an example is made or tested depends on what else the machine does; a test that takes too long is ended by its timeout.
    settings.register_profile("corral", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("corral")
