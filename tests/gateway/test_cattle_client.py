"""Cattle's own Python client over HTTP, against a whole cloud: gateway, engine, NATS and an agent that answers."""

from __future__ import annotations

from typing import Any

import cattle
import pytest

from eventstore.postgres import PostgresStore
from tests.support.cloud import a_running_cloud
from tests.support.http import Api, serving


async def test_a_container_lives_its_life(store: PostgresStore, database: str, nats_url: str) -> None:
    async with a_running_cloud(store, nats_url, hosts=2) as cloud, serving(store, database, commands=cloud.commands) as api:
        await api.with_client(_life)


def _life(client: Any) -> None:
    assert client.valid()
    hosts = client.list_host(state="active")
    assert len(hosts) == 2

    container = client.create_container(imageUuid="sim:nginx", name="web", environment={"A": "b"})
    assert (container.state, container.transitioning) == ("creating", "yes")
    container = client.wait_success(container)
    assert container.state == "running"
    assert container.transitioningMessage is None
    assert container.image().uuid == "sim:nginx"
    assert container.hosts()[0].id in [each.id for each in hosts]
    assert len(container.volumes()) == 1
    assert container.instanceHostMaps()[0].state == "active"
    host = client.by_id("host", container.hosts()[0].id)
    assert [each.id for each in host.instances()] == [container.id]
    assert len(client.list_container(name="web")) == 1
    assert len(client.list_container(name_like="no%")) == 0
    assert len(client.list_container(include="instanceHostMaps")[0].instanceHostMaps) == 1

    container = client.update(container, name="renamed")
    container = client.wait_success(container)
    assert (container.name, container.state) == ("renamed", "running")
    assert client.update(container, container).name == "renamed"

    container = client.wait_success(container.stop())
    assert container.state == "stopped"
    container = client.wait_success(container.start())
    container = client.wait_success(container.restart())
    assert container.state == "running"
    container = client.wait_success(container.stop())

    container = client.wait_success(client.delete(container))
    assert container.state == "removed"
    assert container.removed is not None
    container = client.wait_success(container.restore())
    assert container.state == "stopped"
    container = client.wait_success(client.delete(container))
    container = client.wait_success(container.purge())
    assert container.state == "purged"
    assert client.by_id_container(container.id).state == "purged"


async def test_what_the_client_is_told_when_something_is_wrong(api: Api) -> None:
    def ask(client: Any) -> None:
        assert client.by_id_container("1i999") is None
        with pytest.raises(cattle.ApiError) as refused:
            client.create_container(name="no image")
        assert (refused.value.error.code, refused.value.error.fieldName) == ("MissingRequired", "imageUuid")
        assert not hasattr(client, "create_volume")
        assert hasattr(client, "list_instance_host_map")

    await api.with_client(ask)


async def test_the_client_pages(api: Api) -> None:
    for number in range(5):
        await api.add("host", name=f"h{number}")
    await api.settled()

    def ask(client: Any) -> list[str]:
        page = client.list_host(limit=2)
        names: list[str] = []
        while True:
            names += [each.name for each in page]
            try:
                page = page.next()
            except AttributeError:
                return names

    assert await api.with_client(ask) == [f"h{number}" for number in range(5)]
