"""Fixtures for all tests; they are told in tests/support."""

from tests.support.lab import docker_host, docker_hosts, pytest_collection_finish
from tests.support.servers import database, database_factory, databases, nats_url, postgres_dsn
from tests.support.stores import either_store, store

__all__ = [
    "database", "database_factory", "databases", "docker_host", "docker_hosts", "either_store", "nats_url", "postgres_dsn",
    "pytest_collection_finish", "store",
]  # fmt: skip
