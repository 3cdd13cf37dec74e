"""Makes an image for virtual machines in containers: a disk, and this machine's own QEMU with what that needs. No registry is asked.

    disk.qcow2 --> /machine/disk     qemu-system-x86_64, qemu-img, their libraries and firmware, a static busybox for sh and nc
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import docker

from agents.docker.busybox import add, static_busybox
from agents.docker.images import inspect_image
from agents.docker.machines import DISK
from agents.docker.pulling import split_name
from agents.driver import DriverError

PROGRAMS = ("qemu-system-x86_64", "qemu-img")
APPLETS = ("sh", "nc", "sed", "mv", "cat", "ls", "sleep")
MODULES = re.compile(r"accel-tcg-(x86_64|i386)\.so")
FIRMWARE = (
    "/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/qemu/kvmvapic.bin",
    "/usr/share/qemu/linuxboot_dma.bin", "/usr/lib/ipxe/qemu/efi-virtio.rom",
)  # fmt: skip
"""What the machine of machines.py reads, under Debian's names; what a system has not is left out."""

FORMATS = ("qcow2", "raw")


def machine_image(client: docker.APIClient, disk: Path, name: str) -> str:
    """The image's id. Made again it replaces the image of that name. Raises DriverError: what is missing here, or wrong with the disk."""
    busybox = static_busybox()
    if busybox is None:
        raise DriverError("no static busybox is on this machine: on Debian, apt-get install busybox-static")
    programs = [found for each in PROGRAMS if (found := shutil.which(each))]
    if len(programs) < len(PROGRAMS):
        raise DriverError("QEMU is not on this machine: on Debian, apt-get install qemu-system-x86 qemu-utils")
    _look_at(disk)
    repository, tag = split_name(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.tar")
        _write(path, busybox, programs, disk)
        changes = ["ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        client.import_image_from_file(str(path), repository=repository, tag=tag, changes=changes)
    return str(inspect_image(client, name)["Id"])


def _write(path: Path, busybox: Path, programs: Iterable[str], disk: Path) -> None:
    """Raises DriverError where there is no room for it, say."""
    try:
        with tarfile.open(path, mode="w") as tar:
            for each in ("bin", "tmp", "var/tmp"):
                add(tar, each, tarfile.DIRTYPE, 0o1777 if each.endswith("tmp") else 0o755)
            tar.add(busybox, "bin/busybox")
            for applet in APPLETS:
                add(tar, f"bin/{applet}", tarfile.SYMTYPE, 0o777, target="busybox")
            for needed in sorted({*_with_libraries(programs), *(each for each in FIRMWARE if Path(each).exists())}):
                tar.add(os.path.realpath(needed), needed.lstrip("/"))
            tar.add(disk, DISK.lstrip("/"))
    except OSError as error:
        room = f"it is put together in {path.parent.parent} (set TMPDIR to have it elsewhere)"
        raise DriverError(f"the image of {disk} can't be written: {error}; {room}") from error


def _look_at(disk: Path) -> None:
    """A disk over another file would be a half one elsewhere."""
    ran = subprocess.run(["qemu-img", "info", str(disk)], capture_output=True, text=True, timeout=30, check=False)
    if ran.returncode:
        raise DriverError(f"{disk} is no disk image: {ran.stderr.strip()}")
    told = dict(line.split(": ", 1) for line in ran.stdout.splitlines() if ": " in line and not line.startswith(" "))
    if told.get("file format") not in FORMATS:
        raise DriverError(f"{disk} is of format {told.get('file format')}; {' and '.join(FORMATS)} are possible (qemu-img convert)")
    if "backing file" in told:
        raise DriverError(f"{disk} is not whole, it lies over {told['backing file']}: make one of both with qemu-img convert")


def _with_libraries(programs: Iterable[str]) -> Iterator[str]:
    """The programs, QEMU's modules for them, and every library that one of these loads, under the names they are asked for by."""
    modules = [str(each) for each in Path("/usr/lib").glob("*/qemu/*.so") if MODULES.fullmatch(each.name)]
    for path in (*programs, *modules):
        yield path
        ran = subprocess.run(["ldd", path], capture_output=True, text=True, timeout=30, check=False)
        # "libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x...)", and the loader alone: "/lib64/ld-linux-x86-64.so.2 (0x...)"
        yield from re.findall(r"(/\S+) \(0x", ran.stdout)
