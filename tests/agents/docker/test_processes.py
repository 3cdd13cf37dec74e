"""What a container's process sees of each field that was asked for, on a real engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.agents.docker.box import SECONDS, DockerBox

NET_ADMIN = 1 << 12
MB = 1 << 20


async def test_names_users_and_folders_are_the_process_own(box: DockerBox) -> None:
    web = box.container(
        'echo "$(hostname) $(hostname -f) $(id -u):$(id -g) $(pwd) $GREETING"', user="1000:1001", directory="/tmp",
        domainName="example.org", environment={"GREETING": "it's \"me\""},
    )  # fmt: skip
    web["hostname"] = "inside"
    assert await box.printed(web) == "inside inside.example.org 1000:1001 /tmp it's \"me\"\n"


async def test_an_entry_point_takes_the_command_as_its_arguments(box: DockerBox) -> None:
    assert await box.printed(box.container(entryPoint=["echo", "-n"], command="one two", commandArgs=None)) == "one two"


async def test_capabilities_are_those_that_were_added_and_not_dropped(box: DockerBox) -> None:
    show = "grep CapEff /proc/self/status | cut -f 2"
    usual = int(await box.printed(box.container(show)), 16)
    more = int(await box.printed(box.container(show, capAdd=["NET_ADMIN"], capDrop=["CHOWN"])), 16)
    assert (usual & NET_ADMIN, more & NET_ADMIN) == (0, NET_ADMIN)
    assert (usual & 1, more & 1) == (1, 0)


async def test_names_are_looked_up_where_it_was_said(box: DockerBox) -> None:
    web = box.container("cat /etc/resolv.conf /etc/hosts", dns=["192.0.2.53"], dnsSearch=["example.org"], extraHosts=["db:192.0.2.7"])
    said = await box.printed(web)
    assert "nameserver 192.0.2.53" in said
    assert "search example.org" in said
    assert "192.0.2.7\tdb" in said


async def test_a_terminal_and_open_input_are_there_when_asked_for(box: DockerBox) -> None:
    show = "test -t 0 && echo a terminal || echo none"
    assert (await box.printed(box.container(show, tty=True, stdinOpen=True))).strip() == "a terminal"
    assert (await box.printed(box.container(show))).strip() == "none"
    assert (await box.started(box.container("cat", stdinOpen=True)))["State"]["Running"], "its input stays open"


async def test_limits_are_in_force(box: DockerBox) -> None:
    show = """cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null
              grep Cpus_allowed_list /proc/self/status | cut -f 2; sleep 600"""
    fields: dict[str, Any] = {"memory": 64 * MB, "memorySwap": 128 * MB, "memoryReservation": 32 * MB, "shmSize": 8 * MB}
    web = box.container(show, cpuShares=512, cpuSet="0", pidsLimit=64, **fields)
    settings = (await box.started(web))["HostConfig"]
    assert [settings[name] for name in ("Memory", "MemorySwap", "MemoryReservation", "ShmSize")] == list(fields.values())
    assert (settings["CpuShares"], settings["CpusetCpus"], settings["PidsLimit"]) == (512, "0", 64)
    said = await box.said(web, lines=2)
    assert str(64 * MB) in said
    assert said[-1] == "0"


async def test_devices_are_there_under_the_name_that_was_given(box: DockerBox) -> None:
    web = box.container("echo gone > /dev/nothing && wc -c < /dev/nothing", devices=["/dev/null:/dev/nothing:rwm"])
    assert await box.printed(web) == "0\n"


async def test_a_root_that_is_read_only_leaves_what_is_mounted_writable(box: DockerBox) -> None:
    show = "touch /x 2>/dev/null || echo read-only; touch /run/x && df -k /run | tail -1 | awk '{print $2}'"
    assert await box.printed(box.container(show, readOnly=True, tmpfs={"/run": "size=1m"})) == "read-only\n1024\n"


async def test_volumes_are_bound_kept_and_shared(box: DockerBox) -> None:
    keeper = box.container("echo kept > /data/x; exec sleep 600", dockerVolumes=["/data"], dataVolumes=["/etc:/host-etc:ro"])
    inspected = await box.started(keeper)
    assert {each["Destination"]: each["RW"] for each in inspected["Mounts"]} == {"/data": True, "/host-etc": False}
    show = "while ! [ -s /data/x ]; do sleep 0.1; done; cat /data/x; ls -d /host-etc"
    for keeper_s_name in (keeper["uuid"], inspected["Id"][:12], inspected["Name"].lstrip("/")):
        assert await box.printed(box.container(show, dataVolumesFrom=[keeper_s_name])) == "kept\n/host-etc\n"
    nobody = await box.start(box.container(dataVolumesFrom=["nobody-there"]))
    assert "nobody-there" in str(nobody.transitioningMessage)


async def test_exposed_ports_and_those_of_the_image_are_published_where_all_are_asked_for(box: DockerBox) -> None:
    web = box.container(expose=["81", "53/udp"], publishAllPorts=True)
    inspected = await box.started(web)
    assert set(inspected["Config"]["ExposedPorts"]) == {"81/tcp", "53/udp"}
    assert all(inspected["NetworkSettings"]["Ports"][port] for port in ("81/tcp", "53/udp"))
    quiet = await box.started(box.container(expose=["81"]))
    assert quiet["NetworkSettings"]["Ports"] == {"81/tcp": None}


async def test_what_fails_is_restarted_by_the_engine_as_often_as_was_said(box: DockerBox) -> None:
    web = box.container("echo again; exit 1", restartPolicy={"name": "on-failure", "maximumRetryCount": 2})
    await box.started(web)
    async with asyncio.timeout(SECONDS):
        while box.inspected(web)["RestartCount"] < 2 or box.inspected(web)["State"]["Status"] != "exited":
            await asyncio.sleep(0.1)
    assert await box.said(web, lines=3) == ["again"] * 3


async def test_labels_of_ones_own_are_beside_corrals(box: DockerBox) -> None:
    web = box.container(labels={"tier": "web", "corral.instance.uuid": "another"})
    labels = (await box.started(web))["Config"]["Labels"]
    assert (labels["tier"], labels["corral.instance.uuid"]) == ("web", web["uuid"])


async def test_a_raw_document_is_passed_on_to_the_engine(box: DockerBox) -> None:
    web = box.container("echo $A $B; cat /etc/hostname; ls /sys/class/net; ulimit -n", environment={"B": "mine"})
    web["data"]["dockerCreate"] = {
        "Hostname": "raw", "Env": ["A=raw", "B=raw"], "Labels": {"raw": "yes"}, "StopTimeout": 3,
        "HostConfig": {"NetworkMode": "none", "Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 512}]},
    }  # fmt: skip
    assert (await box.printed(web)).split() == ["raw", "mine", "raw", "lo", "512"]
    config = box.inspected(web)["Config"]
    assert (config["Labels"]["raw"], config["Labels"]["corral.instance.uuid"], config["StopTimeout"]) == ("yes", web["uuid"], 3)


async def test_a_raw_document_that_the_engine_refuses_is_an_error_in_its_words(box: DockerBox) -> None:
    web = box.container()
    web["data"]["dockerCreate"] = {"HostConfig": {"NetworkMode": "no-such-network"}}
    answer = await box.start(web)
    assert answer.transitioning == "error"
    assert "Docker says" in str(answer.transitioningMessage)
    assert "no-such-network" in str(answer.transitioningMessage)
    assert box.of(web) == []


@pytest.mark.parametrize("wrong", [{"capAdd": ["FLY"]}, {"cpuSet": "999"}, {"memory": 1}])
async def test_a_value_that_no_engine_takes_is_an_error_that_leaves_nothing(box: DockerBox, wrong: dict[str, Any]) -> None:
    web = box.container(**wrong)
    answer = await box.start(web)
    assert "Docker says" in str(answer.transitioningMessage)
    assert box.of(web) == []
