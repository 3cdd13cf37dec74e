"""Fixtures for all tests; they are told in tests/support."""

import signal

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
