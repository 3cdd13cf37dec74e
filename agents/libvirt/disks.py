"""The files of a host's virtual machines, in one folder: images, volumes on top of them, config drives. What they are, qemu-img says.

    image-<uuid>.<format>   fetched once, never written again
    volume-<uuid>.qcow2     with its image behind it
    seed-<uuid>.iso         the config drive of an instance
    serial-<uuid>.log       what its serial console wrote

Each comes under a name of its own and is renamed when it is whole. Functions here block.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from agents.driver import DriverError, Json
from agents.wire import token

MEGABYTE = 1024 * 1024
FORMATS = ("qcow2", "raw")
QCOW2 = "qcow2"

_SECONDS = 600
"""For qemu-img, which looks, and writes tables, but copies no data here."""
_MOST_NAME = 100
_HALF = ".new"


@dataclass(frozen=True, slots=True)
class Disk:
    """A file that a machine can have as a disk."""

    path: Path
    format: str
    virtual_bytes: int
    physical_bytes: int

    def told(self) -> Json:
        """Its part of a reply. What it takes is rounded up: a file that holds something does not take nothing."""
        return {
            "format": self.format,
            "virtualSizeMb": -(-self.virtual_bytes // MEGABYTE),
            "physicalSizeMb": -(-self.physical_bytes // MEGABYTE),
        }


class Disks:
    """Those in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Makes the folder, and removes what a killed agent left half made."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)  # the user that QEMU runs as passes through it
        for half in self.folder.glob(f"*{_HALF}"):
            half.unlink(missing_ok=True)

    @contextmanager
    def half(self) -> Iterator[Path]:
        """For what is being made: to be renamed when it is whole; else nothing of it stays."""
        path = self.folder / f"{uuid4()}{_HALF}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def image(self, uuid: str) -> Disk | None:
        found = (self.image_path(uuid, each) for each in FORMATS)
        path = next((each for each in found if each.exists()), None)
        return None if path is None else inspected(path, path.suffix[1:])

    def image_path(self, uuid: str, format: str) -> Path:
        return self.folder / f"image-{_file_name(uuid)}.{format}"

    def volume_path(self, uuid: str) -> Path:
        return self.folder / f"volume-{_file_name(uuid)}.{QCOW2}"

    def seed_path(self, instance: str) -> Path:
        return self.folder / f"seed-{_file_name(instance)}.iso"

    def serial_path(self, instance: str) -> Path:
        return self.folder / f"serial-{_file_name(instance)}.log"

    def volume(self, uuid: str) -> Disk | None:
        path = self.volume_path(uuid)
        return inspected(path, QCOW2) if path.exists() else None

    def make_volume(self, uuid: str, behind: Disk | None, size_bytes: int | None) -> Disk:
        """An empty one of that size, or one that shows the image behind it and keeps what is written. There already: as it is."""
        path = self.volume_path(uuid)
        if not path.exists():
            if behind is None and size_bytes is None:
                raise DriverError(f"volume {uuid} has neither an image nor a size: give it a virtualSizeMb")
            backing = ["-b", str(behind.path), "-F", behind.format] if behind is not None else []
            least = behind.virtual_bytes if behind is not None else 0
            size = [str(max(size_bytes, least))] if size_bytes is not None else []
            with self.half() as half:
                qemu_img("create", "-q", "-f", QCOW2, *backing, str(half), *size)
                half.replace(path)
        return inspected(path, QCOW2)

    def remove_volume(self, uuid: str) -> None:
        self.volume_path(uuid).unlink(missing_ok=True)

    def remove_image(self, uuid: str) -> None:
        """Raises DriverError while volumes stand on it."""
        for format in FORMATS:
            path = self.image_path(uuid, format)
            if not path.exists():
                continue
            on_it = [each.name for each in sorted(self.folder.glob(f"volume-*.{QCOW2}")) if backing_of(each) == str(path)]
            if on_it:
                raise DriverError(f"image {uuid} can't be removed: {', '.join(on_it)} in {self.folder} stand on it. Remove these first")
            path.unlink(missing_ok=True)

    def remove_extras(self, instance: str) -> None:
        """The config drive and the console's log."""
        self.seed_path(instance).unlink(missing_ok=True)
        self.serial_path(instance).unlink(missing_ok=True)


def inspected(path: Path, format: str) -> Disk:
    told = _info(path, format)
    return Disk(path, format, int(told["virtual-size"]), int(told.get("actual-size") or 0))


def backing_of(path: Path) -> str | None:
    """The file behind a qcow2."""
    backing = _info(path, QCOW2).get("full-backing-filename")
    return None if backing is None else str(backing)


def probed(path: Path) -> str:
    """The format of a file of unknown origin: qcow2 or raw. Raises DriverError for others, and for what would have this host's other files
    read into a machine: a file behind it, or one that holds its data."""
    with path.open("rb") as file:
        head = file.read(104)
    if head[:4] == b"QFI\xfb":
        # Before qemu-img sees it, which would open what these name. (QEMU's docs/interop/qcow2.txt: bytes 8-15, and bit 2 of 72-79)
        if any(head[8:16]):
            raise DriverError("it names another file behind it, which an image may not: flatten it with qemu-img convert -O qcow2")
        version = int.from_bytes(head[4:8], "big")
        if version >= 3 and int.from_bytes(head[72:80], "big") & 4:
            raise DriverError("it keeps its data in another file, which an image may not: flatten it with qemu-img convert -O qcow2")
        told = _info(path, QCOW2)
        if told.get("encrypted"):
            raise DriverError("it is encrypted, and nobody here has the key: decrypt it with qemu-img convert")
        return QCOW2
    told = json.loads(qemu_img("info", "--output=json", str(path)))
    if told.get("format") != "raw":
        raise DriverError(f"it is of format {told.get('format')}: convert it with qemu-img convert -O qcow2")
    return "raw"


def size_of(volume: Mapping[str, object], fields: Mapping[str, object]) -> int | None:
    """The bytes that a volume asks for: its virtualSizeMb, or sizeMb among its fields."""
    for given in (fields.get("sizeMb"), volume.get("virtualSizeMb")):
        if given is None:
            continue
        if not isinstance(given, int) or isinstance(given, bool) or given <= 0:
            raise DriverError(f"a volume's size must be a number of megabytes, not {given!r}")
        return given * MEGABYTE
    return None


def qemu_img(*arguments: str) -> str:
    """What it prints. Raises DriverError with what it says is wrong."""
    try:
        run = subprocess.run(["qemu-img", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise DriverError("qemu-img is not on this host: install it (on Debian: apt-get install qemu-utils)") from None
    except subprocess.TimeoutExpired:
        raise DriverError(f"qemu-img {arguments[0]} did not end within {_SECONDS} seconds") from None
    if run.returncode != 0:
        raise DriverError(f"qemu-img {arguments[0]} failed: {run.stderr.decode(errors='replace').strip()}")
    return run.stdout.decode(errors="replace")


def _info(path: Path, format: str) -> Json:
    """-U: also of one that a running machine writes."""
    told: Json = json.loads(qemu_img("info", "-U", "-f", format, "--output=json", str(path)))
    return told


def _file_name(uuid: str) -> str:
    """A uuid may be any text; a file's name may not."""
    name = token(uuid)
    return name if len(name) <= _MOST_NAME else hashlib.sha256(uuid.encode()).hexdigest()
