"""The libvirt driver on real domains: the lab's libvirt, and a guest that tells on its serial console how often it was booted."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from agents.driver import DriverError, Held
from agents.libvirt import LibvirtDriver
from agents.libvirt.driver import LibvirtOptions
from agents.libvirt.machine import domain_uuid
from agents.run import AgentOptions, run_agent
from tests.agents.libvirt.host import Host, Open, vm
from tests.agents.orders import command, in_pool, on_host
from tests.support.guests import boot_image
from tests.support.virtual_machines import domains_of


@pytest.fixture
def host(libvirt_host: Host) -> Host:
    return libvirt_host


async def test_a_machine_starts_from_its_image_and_says_so(host: Host) -> None:
    tree = vm(await host.image())
    told = await host.do("storage.image.activate", in_pool(tree["image"]["uuid"], url=tree["image"]["url"]))
    assert (told["format"], told["virtualSizeMb"]) == ("raw", 1)
    assert told["image"]["format"] == "raw"
    assert Path(told["+data"]["libvirt"]["path"]).is_file()
    [volume] = await host.make_volumes(tree)
    assert (volume["volume"]["format"], volume["volume"]["virtualSizeMb"]) == ("qcow2", 1)
    reply = await host.do("compute.instance.activate", on_host(tree))
    await host.says(tree, "corral boot 1")
    fields = reply["instance"]["+data"]["+fields"]
    assert fields["capabilities"] == ["console"]
    assert fields["libvirtVncAddress"].startswith(f"{host.lab.address}:59")
    assert len(fields["libvirtVncPassword"]) == 8
    assert await host.instances() == {tree["uuid"]: "running"}
    assert await host.epochs() == {tree["uuid"]: 10}


async def test_a_domain_says_whose_it_is(host: Host) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 0})
    await host.start(tree)
    assert (await host.driver.held())[tree["uuid"]] == Held("running", 10, None, "libvirt"), "an older server does not say its cloud"
    again = replace(command("compute.instance.activate", on_host(tree)), context={"epoch": 30, "cloud": "cloud1"})
    await host.driver.carry_out(again, lambda text, percent: None)
    assert (await host.driver.held())[tree["uuid"]] == Held("running", 30, "cloud1", "libvirt")
    await host.stop(tree)
    assert (await host.driver.held())[tree["uuid"]] == Held("stopped", 30, "cloud1", "libvirt")


async def test_a_machine_heeds_its_power_button_and_keeps_what_it_wrote(host: Host) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 40})
    await host.start(tree)
    await host.says(tree, "corral boot 1\n.")
    began = time.monotonic()
    await host.stop(tree)
    assert time.monotonic() - began < 35, "it ended by itself"
    assert await host.instances() == {tree["uuid"]: "stopped"}
    await host.start(tree, epoch=30)
    await host.says(tree, "corral boot 2")
    assert await host.epochs() == {tree["uuid"]: 30}
    assert (host.images / f"{tree['image']['uuid']}.img").read_bytes()[512] == 0, "the image is as it was"


async def test_what_does_not_heed_its_power_button_is_ended_after_the_stop_time(host: Host) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 1})
    path = host.images / f"{tree['image']['uuid']}.img"
    path.write_bytes((b"\xf4\xeb\xfd").ljust(510, b"\0") + b"\x55\xaa" + bytes(1024 * 1024 - 512))  # sleeps for ever
    await host.start(tree)
    await host.stop(tree)
    assert await host.instances() == {tree["uuid"]: "stopped"}


async def test_everything_may_be_asked_twice(host: Host) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 0})
    first = await host.start(tree)
    again = await host.start(tree)
    assert first == again
    await host.says(tree, "corral boot 1")
    await host.stop(tree)
    await host.stop(tree)
    for _ in range(2):
        await host.volume("remove", tree["volumes"][0], tree)
        await host.do("compute.instance.remove", on_host(tree))
        await host.do("storage.image.remove", in_pool(tree["image"]["uuid"]))
    assert await host.instances() == {}
    assert list(host.storage.iterdir()) == [], "nothing of it is left"
    await host.stop(tree)


async def test_removing_the_root_volume_ends_what_runs_on_it(host: Host) -> None:
    tree = vm(await host.image())
    await host.start(tree)
    await host.volume("remove", tree["volumes"][0], tree)
    assert await host.instances() == {}
    assert not [each for each in await asyncio.to_thread(domains_of, host.lab) if str(domain_uuid(tree["uuid"])) in each]


async def test_an_image_that_volumes_stand_on_stays(host: Host) -> None:
    tree = vm(await host.image())
    await host.make_volumes(tree)
    with pytest.raises(DriverError, match=f"volume-volume-of-{tree['uuid']}.qcow2"):
        await host.do("storage.image.remove", in_pool(tree["image"]["uuid"]))
    assert await host.make_volumes(tree)


async def test_two_activations_at_once_make_one_domain(host: Host) -> None:
    tree = vm(await host.image())
    await host.make_volumes(tree)
    results = await asyncio.gather(*(host.do("compute.instance.activate", on_host(tree)) for _ in range(4)), return_exceptions=True)
    assert any(isinstance(each, dict) for each in results)
    assert await host.instances() == {tree["uuid"]: "running"}
    await host.says(tree, "corral boot 1")
    assert "boot 2" not in await host.says(tree, ".")


async def test_a_paused_machine_goes_on(host: Host) -> None:
    tree = vm(await host.image())
    await host.start(tree)
    await host.driver.hypervisor.work(lambda connection: connection.lookupByUUID(domain_uuid(tree["uuid"]).bytes).suspend())
    assert await host.instances() == {tree["uuid"]: "running"}
    await host.do("compute.instance.activate", on_host(tree))
    await host.says(tree, "corral boot 1\n.")


async def test_further_volumes_are_further_disks(host: Host) -> None:
    tree = vm(await host.image())
    tree["volumes"].append({"id": 8, "uuid": str(uuid.uuid4()), "deviceNumber": 1, "virtualSizeMb": 3})
    await host.start(tree)
    disks = [each.find("target") for each in (await host.domain(tree)).findall("devices/disk[@device='disk']")]
    assert [each.get("dev") for each in disks if each is not None] == ["vda", "vdb"]
    await host.volume("remove", tree["volumes"][1], tree)
    with pytest.raises(DriverError, match="neither an image nor a size"):
        await host.volume("activate", {"uuid": "empty", "deviceNumber": 1}, tree)


async def test_what_others_run_on_the_libvirt_is_none_of_ours(host: Host) -> None:
    what = f"<name>others-{uuid.uuid4()}</name><description>{host.storage}</description><memory>8192</memory><os><type>hvm</type></os>"
    await host.driver.hypervisor.work(lambda connection: connection.createXML(f"<domain type='qemu'>{what}</domain>"))
    assert await host.instances() == {}


async def test_it_is_a_host_with_a_pool_and_stays_the_same_one(host: Host, open_host: Open) -> None:
    physical, own, pool = await host.driver.resources({})
    assert [each["kind"] for each in (physical, own, pool)] == ["physicalHost", "libvirt", "libvirt"]
    assert own["physicalHostUuid"] == physical["uuid"]
    assert pool["hostUuid"] == own["uuid"]
    other = await open_host(1)
    assert (await other.driver.resources({}))[1]["uuid"] != own["uuid"]
    again = await open_host()
    assert await again.driver.resources({}) == [physical, own, pool]


async def test_a_libvirt_that_is_away_is_said_so_and_waited_for(open_host: Open, tmp_path: Path) -> None:
    here = await open_host()
    known = await here.driver.resources({})
    away = LibvirtDriver(f"qemu+unix:///system?socket={tmp_path}/none", LibvirtOptions(storage=here.storage, patience=1))
    await away.open(tmp_path / here.lab.name)
    with pytest.raises(DriverError, match="nothing answers there"):
        await away.instances()
    assert [each["uuid"] for each in await away.resources({})] == [each["uuid"] for each in known], "it is still the host that it was"
    told: list[str] = []
    with pytest.raises(DriverError, match="can't be reached"):
        await away.carry_out(command("compute.instance.deactivate", on_host({"uuid": "x"}), 1), lambda text, _: told.append(text))
    assert told[0] == "Waiting for libvirt"
    await away.close()


async def test_a_connection_that_broke_is_made_anew(host: Host) -> None:
    assert await host.instances() == {}
    await host.driver.hypervisor.work(lambda connection: connection.close())
    assert await host.instances() == {}


async def test_its_files_are_seen_as_a_pool(host: Host) -> None:
    tree = vm(await host.image())
    await host.make_volumes(tree)

    def seen(connection: Any) -> list[str]:
        pool = next(each for each in connection.listAllStoragePools() if str(host.storage) in each.XMLDesc())
        return sorted(each.name().partition("-")[0] for each in pool.listAllVolumes())

    assert await host.driver.hypervisor.work(seen) == ["image", "volume"]


async def test_unknown_commands_are_refused(host: Host) -> None:
    with pytest.raises(DriverError, match="agents of kind libvirt do not know"):
        await host.do("compute.instance.levitate", {})


async def test_a_domain_that_can_not_start_does_not_stay_behind(host: Host) -> None:
    network = {"data": {"libvirt": {"network": {"type": "bridge", "source": [{"bridge": "nobridge"}]}}}}
    tree = vm(await host.image(), nics=[{"deviceNumber": 0, "macAddress": "02:00:00:00:00:01", "network": network}])
    with pytest.raises(DriverError, match="nobridge"):
        await host.start(tree)
    assert await host.instances() == {}


async def test_a_running_machine_moves_to_another_host(open_host: Open) -> None:
    here = await open_host(0)
    there = await open_host(1)
    uri = f"qemu+tcp://{there.lab.name}/system"
    there = await open_host(1, migration_uri=uri)
    tree = vm(await here.image())
    target = (await there.driver.resources({}))[1]
    before = await here.start(tree)
    await here.says(tree, "corral boot 1\n.")
    given = {**tree, "image": {**tree["image"], "url": (there.images / "counter.img").as_uri()}}
    await asyncio.to_thread(boot_image, there.images / "counter.img")
    given["volumes"] = [{**tree["volumes"][0], "image": given["image"]}]
    await there.make_volumes(given)
    for _ in range(2):
        await here.do("compute.instance.migrate", {**on_host(tree), "target": {"host": target}}, 20)
    assert await here.instances() == {}
    assert await there.instances() == {tree["uuid"]: "running"}
    after = await there.do("compute.instance.activate", on_host(given), 30)
    told = [each["instance"]["+data"]["+fields"] for each in (before, after)]
    assert told[0]["libvirtVncPassword"] == told[1]["libvirtVncPassword"]
    assert told[1]["libvirtVncAddress"].startswith(there.lab.address)
    assert await there.epochs() == {tree["uuid"]: 30}
    assert "boot" not in await there.says(tree, "..."), "it went on, and did not begin again"
    drive = (await there.domain(tree)).find("devices/disk[@device='cdrom']/source")
    assert drive is not None
    assert drive.get("file") == str(there.storage / f"seed-{tree['uuid']}.iso")
    await here.volume("remove", tree["volumes"][0], tree)
    await there.stop(given)
    await there.start(given, epoch=40)
    await there.says(tree, "corral boot 2")


async def test_a_host_that_does_not_say_where_it_is_reached_takes_no_running_machine(open_host: Open) -> None:
    here, there = await open_host(0), await open_host(1)
    tree = vm(await here.image())
    await here.start(tree)
    target = (await there.driver.resources({}))[1]
    with pytest.raises(DriverError, match="--libvirt-migration"):
        await here.do("compute.instance.migrate", {**on_host(tree), "target": {"host": target}}, 20)
    assert await here.instances() == {tree["uuid"]: "running"}


async def test_a_users_template_shares_a_folder_of_the_host_with_the_guest(open_host: Open, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "share").mkdir()
    example = (Path(__file__).parents[3] / "docs" / "examples" / "libvirt" / "share-a-folder.mako").read_text()
    (tmp_path / "templates" / "domain.mako").write_text(example.replace("/srv/share", str(tmp_path / "share")))
    host = await open_host(templates=tmp_path / "templates")
    tree = vm(await host.image())
    await host.start(tree)
    shared = (await host.domain(tree)).find("devices/filesystem")
    assert shared is not None
    assert [(each.tag, each.get("dir")) for each in shared if each.get("dir")] == [("source", str(tmp_path / "share")), ("target", "share")]
    await host.says(tree, "corral boot 1")


async def test_a_console_leads_to_the_screen_of_the_machine(host: Host) -> None:
    tree = vm(await host.image())
    await host.start(tree)
    told = await host.do("console.access", {"host": {"kind": "libvirt"}, "instance": {"uuid": tree["uuid"]}, "kind": None})
    assert (told["kind"], told["host"]) == ("websocket-vnc", "127.0.0.1")
    async with asyncio.timeout(30), connect(told["url"]) as websocket:
        assert await websocket.recv() == b"RFB 003.008\n"
        await websocket.send(b"RFB 003.008\n")
        assert await websocket.recv() in (b"\x01\x02", b"\x02\x01\x02"), "the password is asked for"
    await host.do("compute.instance.remove", on_host(tree))
    with pytest.raises(DriverError, match="has no screen now"):
        await host.do("console.access", {"instance": {"uuid": tree["uuid"]}})


async def test_without_the_bindings_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    driver = LibvirtDriver("qemu:///system", LibvirtOptions(storage=tmp_path / "disks"))
    await driver.open(tmp_path)
    with pytest.raises(DriverError, match="pip install libvirt-python"):
        await driver.carry_out(command("compute.instance.remove", on_host({"uuid": "x"}), 1), lambda text, percent: None)
    with pytest.raises(DriverError, match="pip install"):
        await run_agent(AgentOptions("http://127.0.0.1:9", tmp_path / "agent", libvirt="qemu:///system"))
    await driver.close()


async def test_a_machine_goes_back_to_a_snapshot(host: Host) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 0})
    await host.start(tree)
    await host.says(tree, "corral boot 1\n.")
    for _ in range(2):
        told = await host.do("compute.instance.snapshot", {**on_host(tree), "snapshot": {"name": "before"}})
        assert told == {"+data": {"+libvirt": {"snapshots": ["before"]}}}
    await host.stop(tree)
    await host.start(tree, epoch=30)
    await host.says(tree, "corral boot 2")
    await host.stop(tree)
    for _ in range(2):
        await host.do("compute.instance.revert", {**on_host(tree), "revert": {"name": "before"}})
        assert await host.instances() == {tree["uuid"]: "stopped"}
    await host.start(tree, epoch=40)
    path = host.storage / f"serial-{tree['uuid']}.log"
    async with asyncio.timeout(40):
        while path.read_text().count("corral boot 2") < 2:
            await asyncio.sleep(0.1)
    assert "boot 3" not in path.read_text(), "the disk is as it was after the first boot"
    with pytest.raises(DriverError, match="there is no snapshot other: the machine has before"):
        await host.do("compute.instance.revert", {**on_host(tree), "revert": {"name": "other"}})
    with pytest.raises(DriverError, match="can't be a snapshot's name"):
        await host.do("compute.instance.snapshot", {**on_host(tree), "snapshot": {"name": "../x"}})


@pytest.mark.parametrize("running", [True, False])
async def test_a_root_volume_grows(host: Host, running: bool) -> None:
    tree = vm(await host.image(), fields={"stopTimeout": 0})
    await host.start(tree)
    await host.says(tree, "corral boot 1")
    if not running:
        await host.stop(tree)
    for _ in range(2):
        await host.do("compute.instance.resize", {**on_host(tree), "resize": {"rootSizeMb": 5}})
    [volume] = await host.make_volumes(tree)
    assert volume["volume"]["virtualSizeMb"] == 5
    with pytest.raises(DriverError, match="a disk only grows: it has 5 MB"):
        await host.do("compute.instance.resize", {**on_host(tree), "resize": {"rootSizeMb": 4}})
