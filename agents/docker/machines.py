"""A virtual machine in a container: QEMU runs it from the image's disk, in software (TCG), with no right that a container has not. Pure.

    container's first process, a shell:  /machine/root.qcow2 over the image's disk, made at the first start
                                         qemu: serial console -> the container's log, ports of the container -> ports of the guest
                                         TERM -> the machine's power button
                                         /machine/config.iso, put there before each start: who the machine is (config_drive.py)

What an image needs: `sh`, `sed`, `mv`, `nc`, `qemu-img` and `qemu-system-x86_64` where programs are looked for, and the disk as DISK.
machine_image.py makes one of a disk.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Mapping
from io import BytesIO

from agents.config_drive import config_drive
from agents.docker.fields import number
from agents.driver import DriverError, Json
from agents.instances import fields_of

KIND = "virtualMachine"
FOLDER = "/machine"
DISK = f"{FOLDER}/disk"
ROOT = f"{FOLDER}/root.qcow2"
CONFIG = "config.iso"

MONITOR = 4444
"""QEMU's, on the container's loopback alone."""
MEGABYTES = 256
"""Of a machine that says nothing of its memory; Cattle's default."""

SCRIPT = f"""
set -e
if [ ! -e {ROOT} ]; then
  format=$(qemu-img info {DISK} | sed -n 's/^file format: //p')
  qemu-img create -q -f qcow2 -b {DISK} -F "$format" {ROOT}.new
  mv {ROOT}.new {ROOT}
fi
trap 'echo system_powerdown | nc -w 1 127.0.0.1 {MONITOR} >/dev/null' TERM
"$@" &
while kill -0 $! 2>/dev/null; do wait $! && status=0 || status=$?; done
exit $status
"""


def is_machine(instance: Mapping[str, object]) -> bool:
    return instance.get("kind") == KIND


def machine_body(instance: Mapping[str, object], body: Json) -> Json:
    """The create request's body of the container that holds the machine, from that of a container of the same fields. Raises DriverError.

    What the machine has are memoryMb (MiB) and vcpu; a `command` would be the guest's affair, and the user of the container is the image's.
    """
    left_out = {"Cmd", "Entrypoint", "User", "WorkingDir"}
    kept = {key: value for key, value in body.items() if key not in left_out}
    return {**kept, "Entrypoint": ["sh", "-c", SCRIPT, "machine"], "Cmd": qemu(instance, body.get("ExposedPorts") or ())}


def config_archive(instance: Mapping[str, object]) -> bytes:
    """A tar of the config drive, for FOLDER. It tells no addresses: the guest's network is QEMU's own, which gives them by DHCP."""
    content = config_drive({**instance, "nics": []})
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(CONFIG)
        member.size, member.mode = len(content), 0o600
        tar.addfile(member, BytesIO(content))
    return archive.getvalue()


def qemu(instance: Mapping[str, object], ports: Iterable[str]) -> list[str]:
    """The command line. `ports` as Docker writes them: 80/tcp."""
    forwards = "".join(f",hostfwd={_forward(port)}" for port in ports)
    name = str(instance.get("uuid")).replace(",", ",,")
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-name", name, "-machine", "pc,accel=tcg",
        "-m", str(number(instance, "memoryMb") or MEGABYTES), "-smp", str(number(fields_of(instance), "vcpu") or 1),
        "-drive", f"file={ROOT},format=qcow2,if=virtio",
        "-drive", f"file={FOLDER}/{CONFIG},format=raw,if=ide,media=cdrom,readonly=on",
        "-netdev", f"user,id=net{forwards}", "-device", "virtio-net-pci,netdev=net",
        "-vga", "std", "-display", "none", "-serial", "stdio", "-monitor", f"tcp:127.0.0.1:{MONITOR},server=on,wait=off",
    ]  # fmt: skip


def _forward(port: str) -> str:
    private, _, protocol = port.partition("/")
    if protocol not in ("tcp", "udp"):
        raise DriverError(f"port {port} can't be had by a virtual machine in a container: tcp and udp can")
    return f"{protocol}::{private}-:{private}"
