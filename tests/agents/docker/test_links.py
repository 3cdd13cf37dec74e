"""Links of a Docker container: Docker's own, and the variables of those that a link service leads on."""

from __future__ import annotations

from typing import Any

import pytest

from agents.docker.container import create_body, linked_instances
from agents.docker.links import environment, targets
from agents.driver import DriverError
from tests.agents.orders import instance

PORTS = [
    {"ipAddress": "10.42.0.2", "publicPort": 20001, "privatePort": 5432, "protocol": "tcp"},
    {"ipAddress": "10.42.0.2", "publicPort": 20007, "privatePort": 53, "protocol": "udp"},
]


def link(name: str | None = "db", target: str | None = "uuid-7", ports: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    fields = {} if ports is None else {"ports": ports}
    return {"id": 1, "linkName": name, "targetInstance": {"uuid": target} if target else None, "data": {"fields": fields}}


def test_a_link_without_ports_is_dockers() -> None:
    web = {**instance("web"), "instanceLinks": [link(), link("none", None)]}
    assert linked_instances(web) == {"db": "uuid-7"}
    body = create_body(web, 3, "img:1", {"db": "0123abc"})
    assert body["HostConfig"]["Links"] == ["0123abc:db"]
    assert "Env" not in body


def test_a_container_without_links_is_told_of_none() -> None:
    assert "Links" not in create_body(instance("web"), 3, "img:1")["HostConfig"]


def test_a_link_services_ports_become_variables_and_no_link_of_dockers() -> None:
    assert targets([link(ports=PORTS)]) == {}
    assert environment([link(ports=PORTS)]) == {
        "DB_NAME": "/cattle/db",
        "DB_PORT": "tcp://10.42.0.2:20001",
        "DB_PORT_5432_TCP": "tcp://10.42.0.2:20001",
        "DB_PORT_5432_TCP_ADDR": "10.42.0.2",
        "DB_PORT_5432_TCP_PORT": "20001",
        "DB_PORT_5432_TCP_PROTO": "tcp",
        "DB_PORT_53_UDP": "udp://10.42.0.2:20007",
        "DB_PORT_53_UDP_ADDR": "10.42.0.2",
        "DB_PORT_53_UDP_PORT": "20007",
        "DB_PORT_53_UDP_PROTO": "udp",
    }


def test_a_target_on_a_shared_network_is_told_at_its_own_address_and_is_no_link_of_dockers() -> None:
    target = {
        "uuid": "uuid-7", "address": "10.83.0.7", "environment": {"USER": "me", "EMPTY": None, "PATH": "/bin", "HOME": "/root"},
        "ports": [{"privatePort": 80, "protocol": "tcp"}, {"privatePort": 53, "protocol": "udp"}],
    }  # fmt: skip
    rows = [{**link("the-site"), "targetInstance": target}]
    assert targets(rows) == {}
    assert environment(rows) == {
        "THE_SITE_NAME": "/cattle/the-site",
        "THE_SITE_ENV_USER": "me",
        "THE_SITE_ENV_EMPTY": "",
        "THE_SITE_PORT": "tcp://10.83.0.7:80",
        "THE_SITE_PORT_80_TCP": "tcp://10.83.0.7:80",
        "THE_SITE_PORT_80_TCP_ADDR": "10.83.0.7",
        "THE_SITE_PORT_80_TCP_PORT": "80",
        "THE_SITE_PORT_80_TCP_PROTO": "tcp",
        "THE_SITE_PORT_53_UDP": "udp://10.83.0.7:53",
        "THE_SITE_PORT_53_UDP_ADDR": "10.83.0.7",
        "THE_SITE_PORT_53_UDP_PORT": "53",
        "THE_SITE_PORT_53_UDP_PROTO": "udp",
    }


def test_what_the_user_says_wins_over_a_links_variables() -> None:
    web = instance("web", environment={"DB_PORT": "mine"})
    env = create_body({**web, "instanceLinks": [link(ports=PORTS)]}, 3, "img:1")["Env"]
    assert "DB_PORT=mine" in env
    assert "DB_NAME=/cattle/db" in env


def test_a_link_without_a_name_is_refused() -> None:
    with pytest.raises(DriverError, match="link 1 has no name"):
        targets([link(None)])
