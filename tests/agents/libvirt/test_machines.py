"""What a virtual machine is to be, before any libvirt: its XML by templates, its networks, its config drive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agents.config_drive import files, write_config_drive
from agents.driver import DriverError
from agents.libvirt.disks import Disks
from agents.libvirt.machine import NAMESPACE, Identity, Place, described, domain_uuid, domain_xml, identity_in, interfaces
from agents.libvirt.migration import rewritten
from agents.libvirt.xml import parsed
from tests.support.config_drives import read_config_drive
from tests.support.virtual_machines import machine

PLACE = Place("qemu", "x86_64", "127.0.0.1")
OWN = "0d9a1a3c-9a57-4ad5-8d4c-1f1f3e2b7a10"

SHARE = """<%inherit file="base.mako"/>
<%block name="more_devices">
  <filesystem type="mount" accessmode="mapped"><source dir="/srv/share"/><target dir="share"/></filesystem>
</%block>
"""


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    made = Disks(tmp_path / "disks")
    made.prepare()
    made.make_volume(f"volume-of-{OWN}", None, 1024 * 1024)
    return made


def written(disks: Disks, templates: Path | None = None, **more: Any) -> Any:
    return parsed(domain_xml(described(machine(OWN, {}, **more), disks, PLACE, "secret12"), Identity(OWN, 12, "cloud1"), templates))


def test_a_domain_is_what_the_instance_says(disks: Disks) -> None:
    domain = written(disks, name='a <b> & "c"', memoryMb=512, fields={"vcpu": 3})
    assert domain.findtext("title") == 'a <b> & "c"'
    assert (domain.findtext("memory"), domain.findtext("vcpu")) == ("512", "3")
    assert (domain.findtext("uuid"), domain.findtext("name")) == (OWN, f"corral-{OWN}")
    graphics = domain.find("devices/graphics")
    assert (graphics.get("passwd"), graphics.find("listen").get("address")) == ("secret12", "127.0.0.1")
    assert domain.find("devices/disk[@device='disk']/source").get("file") == str(disks.volume_path(f"volume-of-{OWN}"))
    known = domain.find(f"metadata/{{{NAMESPACE}}}instance")
    assert (known.get("uuid"), known.get("epoch"), known.get("cloud")) == (OWN, "12", "cloud1")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"memoryMb": 0}, "memoryMb must be a number from 1"),
        ({"memoryMb": "many"}, "memoryMb must be"),
        ({"fields": {"vcpu": True}}, "vcpu must be"),
        ({"volumes": []}, "no volume to start from"),
        ({"volumes": [{"uuid": "unknown"}]}, "volume unknown is not on this host"),
        ({"nics": [{"macAddress": "none"}]}, "macAddress 'none'"),
        ({"nics": [{"network": {"data": {"libvirt": {"network": {"type": "ethernet"}}}}}]}, "bridge, network, direct, user"),
        ({"nics": [{"network": {"data": {"libvirt": {"network": {"type": "bridge", "source": [{"a b": "x"}]}}}}}]}, "no text at a b"),
    ],
)
def test_what_can_not_be_understood_is_named(disks: Disks, more: dict[str, Any], why: str) -> None:
    with pytest.raises(DriverError, match=why):
        written(disks, **more)


def test_nics_are_on_what_their_networks_name_and_otherwise_on_qemus_own() -> None:
    bridge = {"data": {"libvirt": {"network": {"source": [{"bridge": "docker0"}], "type": "bridge"}}}}
    nat = {"data": {"libvirt": {"network": {"source": {"network": "default"}, "type": "network"}}}}
    nics = [
        {"deviceNumber": 1, "macAddress": "02:00:00:00:00:02", "network": nat},
        {"deviceNumber": 0, "macAddress": "02:00:00:00:00:01", "network": bridge},
        {"deviceNumber": 2, "macAddress": "02:00:00:00:00:03", "network": {"data": {}}},
    ]
    found = [(each.type, dict(each.source), each.mac[-1]) for each in interfaces({"nics": nics}, {})]
    assert found == [("bridge", {"bridge": "docker0"}, "1"), ("network", {"network": "default"}, "2"), ("user", {}, "3")]
    assert [each.type for each in interfaces({}, {})] == ["user"]


def test_a_template_of_the_users_own_overrides_blocks_and_keeps_the_identity(disks: Disks, tmp_path: Path) -> None:
    (tmp_path / "domain.mako").write_text(SHARE)
    domain = written(disks, tmp_path)
    assert domain.find("devices/filesystem/source").get("dir") == "/srv/share"
    assert domain.find("devices/disk") is not None, "and all else is as it was"
    (tmp_path / "domain.mako").write_text("<domain type='qemu'><uuid>x</uuid><name>y</name><metadata/></domain>")
    own = written(disks, tmp_path)
    assert (own.findtext("uuid"), own.findtext("name"), len(own.findall("uuid"))) == (OWN, f"corral-{OWN}", 1)
    assert own.find(f"metadata/{{{NAMESPACE}}}instance").get("uuid") == OWN


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<domain>", "no well-formed XML"),
        ("<machine/>", "gives a <machine>"),
        ("${1/0}", "fails for box: ZeroDivisionError"),
        ("<domain>${nobody}</domain>", "fails for box|can't be read"),
        ("<%inherit file='other.mako'/>", "can't be read"),
        ("% if", "can't be read"),
    ],
)
def test_a_template_that_fails_is_named_with_the_reason(disks: Disks, tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "domain.mako").write_text(text)
    with pytest.raises(DriverError, match=why) as refused:
        written(disks, tmp_path)
    assert str(tmp_path / "domain.mako") in str(refused.value)


def test_an_instances_domain_is_known_wherever_it_is() -> None:
    assert str(domain_uuid(OWN)) == OWN
    assert domain_uuid("any text") == domain_uuid("any text") != domain_uuid("another")
    assert identity_in(f'<instance xmlns="{NAMESPACE}" uuid="u" epoch="7" cloud="c"/>') == Identity("u", 7, "c")
    assert identity_in('<instance uuid="u" epoch="soon"/>') == Identity("u", 0, None), "one of an older version"
    assert identity_in("<instance/>") is None
    assert identity_in("not XML") is None


def test_the_config_drive_tells_cloud_init_who_the_machine_is(tmp_path: Path) -> None:
    nic = {
        "macAddress": "02:00:00:00:00:01",
        "ipAddresses": [{"address": "10.42.0.7", "subnet": {"cidrSize": 16, "gateway": "10.42.0.1"}}],
    }
    keys = {"0": {"openssh-key": "ssh-rsa AAAA one"}, "1": {"openssh-key": "ssh-rsa AAAA two"}}
    data = {"metadata": {"10.42.0.7": {"meta-data": {"hostname": "web1", "public-keys": keys}, "user-data": "#!/bin/sh\n"}}}
    tree = {"uuid": OWN, "name": "web", "userdata": "#!/bin/sh\necho é\n", "nics": [nic], "data": data}
    write_config_drive(tmp_path / "seed.iso", tree)
    read = read_config_drive(tmp_path / "seed.iso")
    assert json.loads(read["meta-data"]) == {
        "instance-id": OWN, "local-hostname": "web1", "public-keys": ["ssh-rsa AAAA one", "ssh-rsa AAAA two"],
    }  # fmt: skip
    assert read["user-data"] == "#!/bin/sh\necho é\n"
    [ethernet] = json.loads(read["network-config"])["ethernets"].values()
    assert ethernet == {
        "match": {"macaddress": "02:00:00:00:00:01"}, "addresses": ["10.42.0.7/16"], "routes": [{"to": "0.0.0.0/0", "via": "10.42.0.1"}],
    }  # fmt: skip
    assert (tmp_path / "seed.iso").read_bytes()[0x8028:0x8030].decode().strip() == "cidata"


def test_a_machine_without_anything_of_its_own_has_a_name_at_least() -> None:
    found = files({"uuid": OWN, "name": "box"})
    assert json.loads(found["meta-data"]) == {"instance-id": OWN, "local-hostname": "box", "public-keys": []}
    assert found["user-data"].startswith("#cloud-config")
    assert "network-config" not in found


def test_a_description_for_another_host_names_that_hosts_files_and_address(disks: Disks) -> None:
    domain = written(disks)
    there = parsed(rewritten(ElementTree.tostring(domain, encoding="unicode"), disks.folder, Path("/there"), "10.0.0.9"))
    disk = there.find("devices/disk[@device='disk']/source")
    drive = there.find("devices/disk[@device='cdrom']")
    log, listen = there.find("devices/serial/log"), there.find("devices/graphics/listen")
    assert disk is not None
    assert disk.get("file") == f"/there/volume-volume-of-{OWN}.qcow2"
    assert drive is not None
    assert drive.find("source") is None
    assert log is not None
    assert log.get("file") == f"/there/serial-{OWN}.log"
    assert listen is not None
    assert listen.get("address") == "10.0.0.9"
