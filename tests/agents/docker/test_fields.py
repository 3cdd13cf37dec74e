"""Every field of a container in the engine's words, and a raw document under them: pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.docker.container import create_body
from agents.docker.fields import FIELDS, body_of, devices
from agents.docker.raw import under
from agents.driver import DriverError
from tests.agents.orders import instance

SAID: dict[str, tuple[Any, Any]] = {
    "entryPoint": (["/bin/sh", "-c"], ["/bin/sh", "-c"]),
    "user": ("1000:1000", "1000:1000"),
    "directory": ("/srv", "/srv"),
    "domainName": ("example.org", "example.org"),
    "tty": (True, True),
    "stdinOpen": (True, True),
    "stopSignal": ("SIGINT", "SIGINT"),
    "labels": ({"tier": "web", "n": 1, "empty": None}, {"tier": "web", "n": "1", "empty": ""}),
    "privileged": (True, True),
    "publishAllPorts": (True, True),
    "readOnly": (True, True),
    "init": (True, True),
    "capAdd": (["NET_ADMIN"], ["NET_ADMIN"]),
    "capDrop": (["CHOWN"], ["CHOWN"]),
    "securityOpt": (["no-new-privileges"], ["no-new-privileges"]),
    "groupAdd": (["audio", 7], ["audio", "7"]),
    "dns": (["10.0.0.53"], ["10.0.0.53"]),
    "dnsSearch": (["example.org"], ["example.org"]),
    "extraHosts": (["db:10.0.0.5"], ["db:10.0.0.5"]),
    "devices": (["/dev/null:/dev/nothing:r"], [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "r"}]),
    "tmpfs": ({"/run": "size=1m", "/tmp": None}, {"/run": "size=1m", "/tmp": ""}),
    "memory": (1 << 26, 1 << 26),
    "memorySwap": (-1, -1),
    "memoryReservation": (1 << 25, 1 << 25),
    "shmSize": (1 << 20, 1 << 20),
    "cpuShares": (512, 512),
    "cpuPeriod": (100_000, 100_000),
    "cpuQuota": (50_000, 50_000),
    "cpuSet": ("0,1", "0,1"),
    "pidsLimit": (64, 64),
    "restartPolicy": ({"name": "on-failure", "maximumRetryCount": 3}, {"Name": "on-failure", "MaximumRetryCount": 3}),
}


def at(body: dict[str, Any], place: tuple[str, ...]) -> Any:
    for key in place:
        body = body[key]
    return body


def test_every_field_says_its_word_and_is_tried_here() -> None:
    assert {each.name for each in FIELDS} == set(SAID)
    body = body_of({name: value for name, (value, _) in SAID.items()})
    assert {each.name: at(body, each.place) for each in FIELDS} == {name: expected for name, (_, expected) in SAID.items()}


def test_docs_tell_of_every_field() -> None:
    page = (Path(__file__).parents[3] / "docs" / "docker.md").read_text()
    assert {each.name for each in FIELDS} <= set(re.findall(r"`(\w+)`", page))


@pytest.mark.parametrize("name", sorted(SAID))
def test_a_value_of_another_type_is_refused_by_the_fields_name(name: str) -> None:
    wrong: Any = 7.5 if not isinstance(SAID[name][0], list | dict) else "sometimes"
    with pytest.raises(DriverError, match=name):
        body_of({name: wrong})


def test_nothing_is_said_for_what_was_not_given() -> None:
    assert body_of({}) == {}
    assert body_of({each.name: None for each in FIELDS}) == {}


def test_what_no_engine_can_do_says_what_can_be_done_instead() -> None:
    with pytest.raises(DriverError, match=r"no LXC driver since version 1\.10.*dockerCreate"):
        body_of({"lxcConf": {"lxc.cgroup.cpuset.cpus": "0"}})


@pytest.mark.parametrize("wrong", ["null", "/dev/null:relative", "/dev/null:/dev/x:q"])
def test_a_device_needs_whole_paths_and_known_rights(wrong: str) -> None:
    with pytest.raises(DriverError, match="/dev/on-host"):
        devices({"devices": [wrong]}, "devices")


@pytest.mark.parametrize(("name", "engines"), [("always", "unless-stopped"), ("unless-stopped", "unless-stopped"), ("no", "no")])
def test_an_engine_that_starts_leaves_stopped_what_was_stopped(name: str, engines: str) -> None:
    assert body_of({"restartPolicy": {"name": name}}) == {"HostConfig": {"RestartPolicy": {"Name": engines}}}


def test_tries_belong_to_a_restart_on_failure() -> None:
    with pytest.raises(DriverError, match="on-failure alone"):
        body_of({"restartPolicy": {"name": "always", "maximumRetryCount": 3}})


# --- the raw document ---


def raw(document: Any, nics: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    tree = instance("web", **fields)
    tree["data"]["dockerCreate"] = document
    tree["nics"] = [{"id": number, "macAddress": mac} for number, mac in enumerate(nics)]
    return create_body(tree, 12, "img:1")


def test_a_raw_document_is_passed_on() -> None:
    body = raw({"Image": "other", "Healthcheck": {"Test": ["CMD", "true"]}, "HostConfig": {"NetworkMode": "host", "OomScoreAdj": 5}})
    assert body["Image"] == "img:1"
    assert body["Healthcheck"] == {"Test": ["CMD", "true"]}
    assert body["HostConfig"] == {"NetworkMode": "host", "OomScoreAdj": 5}


def test_the_instances_own_words_win_over_a_raw_document() -> None:
    body = raw(
        {
            "User": "root", "Tty": True, "Env": ["A=raw", "B=raw", "C"], "Labels": {"corral.instance.uuid": "another", "tier": "raw"},
            "ExposedPorts": {"53/udp": {}},
            "HostConfig": {
                "Privileged": True, "Binds": ["/a:/a"],
                "PortBindings": {"80/tcp": [{"HostPort": "1"}], "53/udp": [{"HostPort": "2"}]},
            },
        },
        user="nobody", environment={"B": "mine"}, privileged=False, dockerVolumes=["/b:/b"], ports=["8080:80"], labels={"tier": "web"},
    )  # fmt: skip
    assert (body["User"], body["Tty"], body["Env"]) == ("nobody", True, ["A=raw", "B=mine", "C"])
    assert body["Labels"]["corral.instance.uuid"] != "another"
    assert body["Labels"]["tier"] == "web"
    assert body["ExposedPorts"] == {"53/udp": {}, "80/tcp": {}}
    assert body["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostPort": "8080"}], "53/udp": [{"HostPort": "2"}]}
    assert (body["HostConfig"]["Privileged"], body["HostConfig"]["Binds"]) == (True, ["/a:/a", "/b:/b"])


def test_the_network_of_an_instance_with_nics_is_not_a_raw_documents_to_say() -> None:
    theirs = {"MacAddress": "02:00:00:00:00:01", "NetworkingConfig": {"EndpointsConfig": {}}}
    body = raw({**theirs, "HostConfig": {"NetworkMode": "host", "Init": True}}, nics=("02:00:00:00:00:02",))
    assert "MacAddress" not in body
    assert "NetworkingConfig" not in body
    assert body["HostConfig"] == {"Init": True}


@pytest.mark.parametrize("document", ["text", [], {"HostConfig": []}, {"Labels": "x"}])
def test_a_raw_document_is_a_map_of_the_engines_form(document: Any) -> None:
    with pytest.raises(DriverError, match=r"data\.dockerCreate.* must be a map"):
        raw(document)


@given(st.dictionaries(st.sampled_from(["User", "Tty", "HostConfig"]), st.none() | st.dictionaries(st.text(max_size=3), st.integers())))
def test_under_nothing_a_document_is_itself(document: dict[str, Any]) -> None:
    assert under(document, {}) == document
    assert under({}, document) == document
