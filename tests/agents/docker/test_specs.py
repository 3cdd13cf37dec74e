"""What a container is to be, read from an instance: the pure half of the Docker driver."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.docker.container import create_body, image_name, image_of, names_for
from agents.docker.images import names_of
from agents.docker.ports import Port, bindings, parse_port, published, wanted_ports
from agents.driver import DriverError
from agents.instances import stop_seconds
from tests.agents.orders import instance


def body(**fields: Any) -> dict[str, Any]:
    return create_body(instance(**fields), 12, "img:1")


def test_labels_carry_uuid_epoch_and_name() -> None:
    web = instance("web")
    assert create_body(web, 12, "img:1")["Labels"] == {
        "corral.instance.uuid": web["uuid"],
        "corral.instance.epoch": "12",
        "corral.instance.name": "web",
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"command": "sleep 'a b' 3"}, ["sleep", "a b", "3"]),
        ({"command": "/bin/a b", "commandArgs": ["x y"]}, ["/bin/a b", "x y"]),
        ({"commandArgs": ["x"]}, ["x"]),
    ],
)
def test_a_command_is_split_unless_arguments_are_given(fields: dict[str, Any], expected: list[str]) -> None:
    assert body(**fields)["Cmd"] == expected


def test_what_is_not_asked_for_is_left_to_the_image() -> None:
    assert {"Cmd", "Entrypoint", "User", "WorkingDir", "Hostname"}.isdisjoint(body())


def test_all_that_can_be_asked_for_arrives() -> None:
    spec = body(
        environment={"A": "1", "B": None}, user="nobody", directory="/tmp", entryPoint=["/sh"], privileged=True, publishAllPorts=True,
        dockerVolumes=["/a:/b:ro", "/c"], ports=["8080:80", "53/udp"], memory=1 << 26,
    )  # fmt: skip
    assert (spec["Env"], spec["User"], spec["WorkingDir"], spec["Entrypoint"]) == (["A=1", "B="], "nobody", "/tmp", ["/sh"])
    assert spec["Volumes"] == {"/c": {}}
    assert spec["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert spec["HostConfig"] == {
        "Binds": ["/a:/b:ro"],
        "PortBindings": {"80/tcp": [{"HostPort": "8080"}], "53/udp": [{"HostPort": ""}]},
        "PublishAllPorts": True,
        "Privileged": True,
        "Memory": 1 << 26,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "sleep 'oops"},
        {"commandArgs": "x"},
        {"environment": ["A=1"]},
        {"dockerVolumes": ["relative"]},
        {"dockerVolumes": ["/a:/b:ro:x"]},
        {"ports": ["80:"]},
        {"ports": ["70000"]},
        {"ports": ["80/icmp"]},
        {"memory": "64m"},
        {"user": 7},
    ],
)
def test_what_can_not_be_understood_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DriverError):
        body(**fields)


@given(st.integers(1, 65535), st.none() | st.integers(1, 65535), st.sampled_from(["tcp", "udp", "sctp"]))
def test_ports_are_read_as_they_are_written(private: int, public: int | None, protocol: str) -> None:
    text = f"{private}/{protocol}" if public is None else f"{public}:{private}/{protocol}"
    assert parse_port(text) == Port(private, public, protocol)


def test_a_port_resource_speaks_for_its_private_port() -> None:
    rows: list[dict[str, object]] = [{"publicPort": 9090, "privatePort": 80, "protocol": "tcp"}]
    rows.append({"publicPort": None, "privatePort": 53, "protocol": "udp"})
    assert wanted_ports(rows, ["8080:80", "81"]) == [Port(80, 9090), Port(53, None, "udp"), Port(81)]


def test_one_private_port_can_be_published_twice() -> None:
    assert bindings([Port(80, 1), Port(80, 2)]) == {"80/tcp": [{"HostPort": "1"}, {"HostPort": "2"}]}


def test_exposed_ports_are_not_published_ports() -> None:
    assert published({"NetworkSettings": {"Ports": {"80/tcp": None, "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "49153"}]}}}) == {
        "81/tcp": "49153"
    }


@pytest.mark.parametrize(("name", "first"), [("web", "web"), ("my web/1", "my-web-1"), ("-.web", "web"), ("a", "instance-a-")])
def test_container_names_follow_the_instances_name(name: str, first: str) -> None:
    web = instance(name)
    names = names_for(web)
    assert names[0].startswith(first)
    assert names[-1].endswith(web["uuid"])


@given(st.text(max_size=200))
def test_every_name_is_one_that_docker_takes(name: str) -> None:
    import re

    assert all(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", each) for each in names_for(instance(name)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("busybox", {"fullName": "busybox:latest", "repository": "busybox", "namespace": None, "tag": "latest"}),
        ("a/b:1", {"fullName": "a/b:1", "qualifiedName": "a/b", "repository": "b", "namespace": "a", "tag": "1"}),
        ("reg.example:5000/a/b", {"fullName": "reg.example:5000/a/b:latest", "namespace": "reg.example:5000/a", "repository": "b"}),
        ("b@sha256:0f", {"fullName": "b@sha256:0f", "tag": "sha256:0f"}),
    ],
)
def test_image_names_are_taken_apart(name: str, expected: dict[str, str | None]) -> None:
    assert names_of(name).items() >= expected.items()


def test_the_image_is_what_its_activation_told_or_its_uuid() -> None:
    assert image_name({"uuid": "docker:a", "data": {"dockerImage": {"fullName": "a:latest"}}}) == "a:latest"
    assert image_name({"uuid": "docker:a:1", "data": {}}) == "a:1"
    assert image_of({**instance(imageUuid="docker:b"), "image": None}) == "b"
    with pytest.raises(DriverError, match="docker:<name>"):
        image_of(instance())


def test_the_stop_timeout_is_bounded() -> None:
    assert (stop_seconds(instance()), stop_seconds(instance(stopTimeout=0))) == (10, 0)
    with pytest.raises(DriverError, match="stopTimeout"):
        stop_seconds(instance(stopTimeout=10_000))
