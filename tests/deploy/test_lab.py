"""The lab: real Docker engines side by side."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.lab import HINT, LAB, LabHost, lab_folder, names, standing_hosts


def test_each_host_is_a_real_engine_of_its_own(docker_hosts: dict[str, LabHost]) -> None:
    identities = set()
    for host in docker_hosts.values():
        with closing(host.client()) as client:
            identities.add(client.info()["ID"])
            assert client.info()["Name"] == host.name
            said = client.containers.run(host.image, ["hostname"], hostname="inside", remove=True)
            assert said == b"inside\n"
    assert len(identities) == len(docker_hosts) >= 2


def test_a_published_port_is_reached_at_the_hosts_address(docker_hosts: dict[str, LabHost]) -> None:
    for host in docker_hosts.values():
        with closing(host.client()) as client:
            container = client.containers.run(
                host.image, ["httpd", "-f", "-p", "80", "-h", "/www"], detach=True, init=True, ports={"80/tcp": None}
            )
            try:
                container.reload()
                published = container.ports["80/tcp"]
                assert published
                port = published[0]["HostPort"]
                assert read(f"http://{host.address}:{port}/index.html") == b"hello-from-busybox\n"
            finally:
                container.remove(force=True)


def test_a_host_whose_engine_was_killed_is_made_anew(docker_hosts: dict[str, LabHost]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes lab hosts")
    up = [str(LAB / "up.sh"), "gamma", "77"]
    place = lab_folder() / "hosts" / "gamma"
    try:
        subprocess.run(up, check=True, timeout=60)
        started = (place / "dockerd.pid").read_text()
        subprocess.run(up, check=True, timeout=60)
        assert (place / "dockerd.pid").read_text() == started, "a host that stands is left as it is"
        gamma = standing_hosts(lab_folder())["gamma"]
        with closing(gamma.client()) as client:
            client.api.import_image_from_file(str(lab_folder() / "busybox.tar"), repository="corral/busybox", tag="latest")
            left = client.containers.run(gamma.image, ["sleep", "300"], detach=True)
            left.reload()
            pid = left.attrs["State"]["Pid"]
        os.kill(int(started), 9)
        subprocess.run(up, check=True, timeout=60)
        assert standing_hosts(lab_folder()).keys() >= {"gamma"}
        assert not alive(pid), "a container of the killed engine is still there"
    finally:
        subprocess.run([LAB / "down.sh", "gamma"], check=True, timeout=60)
    assert not place.exists()
    assert not Path("/run/netns/corral-gamma").exists()
    assert all((lab_folder() / "hosts" / name).exists() for name in names())


def test_a_folder_without_a_lab_has_no_hosts_and_the_hint_says_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "hosts" / "dead").mkdir(parents=True)
    with closing(socket.create_server(("127.0.0.1", 0))):
        (tmp_path / "hosts" / "dead" / "address").write_text("127.0.0.1\n")
        assert standing_hosts(tmp_path) == {}
    assert "make lab" in HINT
    assert "LAB=1 make test" in HINT


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def read(url: str) -> bytes:
    """Tries for a moment: a server in a container that has just started may not listen yet."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} never answered")


def test_taking_down_a_host_that_left_nothing_ends_nobody_elses_process(tmp_path: Path) -> None:
    ghost = tmp_path / "hosts" / "ghost"
    (ghost / "data" / "containers").mkdir(parents=True)  # as an engine leaves it that ran nothing: no id to name a process by
    down = LAB / "down.sh"
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            subprocess.run([down, "ghost"], env={**os.environ, "LAB_DIR": str(tmp_path)}, timeout=30, check=True)
            assert bystander.poll() is None
        finally:
            bystander.kill()
    assert not ghost.exists()


def test_a_name_that_is_no_host_is_refused(tmp_path: Path) -> None:
    down = LAB / "down.sh"
    for name in ("*", "../other", "", "alpha beta"):
        run = subprocess.run(
            [down, name], env={**os.environ, "LAB_DIR": str(tmp_path)}, timeout=30, check=False, capture_output=True, text=True
        )
        assert run.returncode == 2
        assert "small letters and digits" in run.stderr
