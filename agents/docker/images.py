"""Images on a Docker engine: there already, pulled, or imported from a file; and one made from busybox where there is none.

Functions here block and take a docker.APIClient: the driver calls them in a thread.
"""

from __future__ import annotations

import io
import os
import platform
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import docker
from docker.errors import ImageNotFound, NotFound
from docker.utils import parse_repository_tag

from agents.docker.container import fields_of, image_name
from agents.driver import DriverError, Json, Report

DEFAULT_IMAGE = "corral/busybox:latest"
_GOOD_ENOUGH = (DEFAULT_IMAGE, "busybox:latest", "alpine:latest")
"""Images that may be on an engine already, small ones with a shell."""
_BUSYBOX = ("busybox", "busybox.static", "/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}
_PT_INTERP = 3


def activate_image(client: docker.APIClient, image: Mapping[str, Any], folder: Path, report: Report) -> Json:
    """The reply's data once the image is on the engine. `folder`: the one whose files a file:// url may name."""
    name = image_name(image)
    if name is None:
        raise DriverError(f"image {image.get('uuid')!r} is not one of Docker's: its uuid must be of the form docker:<name>")
    url = image.get("url") or fields_of(image).get("url")
    ensure_image(client, name, url if isinstance(url, str) else None, folder, report)
    return {"+data": {"dockerImage": {**names_of(name), "id": inspect_image(client, name)["Id"]}}}


def ensure_image(client: docker.APIClient, name: str, url: str | None, folder: Path, report: Report) -> None:
    if has_image(client, name):
        return
    if url and urlsplit(url).scheme == "file":
        _load(client, name, url, folder, report)
    else:
        _pull(client, name, report)


def remove_image(client: docker.APIClient, name: str) -> None:
    """Absent: done. In use: Docker's error says by which container."""
    with suppress(NotFound):
        client.remove_image(name)


def has_image(client: docker.APIClient, name: str) -> bool:
    try:
        inspect_image(client, name)
    except ImageNotFound:
        return False
    return True


def inspect_image(client: docker.APIClient, name: str) -> Json:
    """By name or id. Raises ImageNotFound."""
    inspected: Json = client.inspect_image(name)  # type: ignore[no-untyped-call]
    return inspected


def names_of(name: str) -> Json:
    """The parts of an image's name, as Cattle's agents reported them."""
    qualified, tag = _split(name)
    namespace, _, repository = qualified.rpartition("/")
    separator = "@" if tag.startswith("sha256:") else ":"
    return {
        "fullName": f"{qualified}{separator}{tag}",
        "qualifiedName": qualified,
        "repository": repository,
        "namespace": namespace or None,
        "tag": tag,
    }


def ensure_default_image(client: docker.APIClient) -> str | None:
    """The name of a small image with a shell: one that is there, or one made of this machine's static busybox. None: there is neither."""
    for name in _GOOD_ENOUGH:
        if has_image(client, name):
            return name
    program = static_busybox()
    if program is None or client.version().get("Arch") != _MACHINES.get(platform.machine()):
        return None
    image_from_busybox(client, program, DEFAULT_IMAGE)
    return DEFAULT_IMAGE


def default_command() -> list[str]:
    """For an instance of a default image: runs until it is stopped, and stops at once (a first process ignores what it does not trap)."""
    return ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"]


def image_from_busybox(client: docker.APIClient, program: Path, name: str) -> None:
    """Makes an image of one file and its links. Made again it replaces the image of that name."""
    repository, tag = _split(name)
    changes = ["ENV PATH=/bin", 'CMD ["sh"]']
    client.import_image_from_data(busybox_tar(program), repository=repository, tag=tag, changes=changes)


def static_busybox() -> Path | None:
    """This machine's busybox, if it needs no libraries."""
    for name in _BUSYBOX:
        found = shutil.which(name)
        if found and is_static(Path(found)):
            return Path(found)
    return None


def is_static(program: Path) -> bool:
    """An ELF file without an interpreter. (https://refspecs.linuxfoundation.org/elf/elf.pdf, program header)"""
    try:
        with program.open("rb") as file:
            head = file.read(64)
            if head[:4] != b"\x7fELF" or len(head) < 64 or head[5] != 1:
                return False
            if head[4] == 2:
                (offset,), (size, count) = struct.unpack_from("<Q", head, 32), struct.unpack_from("<HH", head, 54)
            else:
                (offset,), (size, count) = struct.unpack_from("<I", head, 28), struct.unpack_from("<HH", head, 42)
            file.seek(offset)
            table = file.read(size * count)
    except OSError:
        return False
    return all(struct.unpack_from("<I", table, size * each)[0] != _PT_INTERP for each in range(count))


def busybox_tar(program: Path) -> bytes:
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, timeout=10, check=True).stdout.split()
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for folder, mode in {"bin": 0o755, "etc": 0o755, "tmp": 0o1777, "proc": 0o755, "sys": 0o755, "dev": 0o755, "root": 0o700}.items():
            _add(tar, folder, tarfile.DIRTYPE, mode)
        _add(tar, "bin/busybox", tarfile.REGTYPE, 0o755, program.read_bytes())
        _add(tar, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        _add(tar, "etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nnogroup:x:65534:\n")
        for applet in sorted({*listed} - {"busybox"}):
            _add(tar, f"bin/{applet}", tarfile.SYMTYPE, 0o777, target="busybox")
    return written.getvalue()


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, content: bytes = b"", target: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, len(content), target
    tar.addfile(member, io.BytesIO(content))


def _pull(client: docker.APIClient, name: str, report: Report) -> None:
    repository, tag = _split(name)
    layers: dict[str, tuple[int, int]] = {}
    report(f"Pulling {name}", None)
    for line in client.pull(repository, tag=tag, stream=True, decode=True):
        if line.get("error"):
            raise DriverError(f"Docker could not pull {name}: {line['error']}")
        detail = line.get("progressDetail") or {}
        if line.get("id") and detail.get("total"):
            layers[line["id"]] = (int(detail.get("current", 0)), int(detail["total"]))
        total = sum(each for _, each in layers.values())
        percent = 100 * sum(done for done, _ in layers.values()) // total if total else None
        report(f"Pulling {name}: {line.get('status', '')}", percent)


def _load(client: docker.APIClient, name: str, url: str, folder: Path, report: Report) -> None:
    """A file made by `docker save`, or a tar of a root file system; in the agent's folder alone, for it is users who name it."""
    path = Path(os.path.realpath(unquote(urlsplit(url).path)))
    if not path.is_relative_to(os.path.realpath(folder)):
        raise DriverError(f"image {name} can't be imported from {url}: only files in the agent's folder {folder} can be")
    if not path.is_file():
        raise DriverError(f"image {name} can't be imported: there is no file {path} on the agent's machine")
    report(f"Importing {name} from {path.name}", None)
    repository, tag = _split(name)
    try:
        with tarfile.open(path) as tar:
            saved = "manifest.json" in tar.getnames()
    except tarfile.TarError as error:
        raise DriverError(f"image {name} can't be imported: {path} is no tar file ({error})") from None
    if saved:
        with path.open("rb") as file:
            for line in client.load_image(file):  # type: ignore[no-untyped-call]
                if line.get("error"):
                    raise DriverError(f"Docker could not load {path}: {line['error']}")
        if not has_image(client, name):
            raise DriverError(f"{path} was loaded, but holds no image called {name}")
    else:
        client.import_image_from_file(str(path), repository=repository, tag=tag)


def _split(name: str) -> tuple[str, str]:
    repository, tag = parse_repository_tag(name)
    return str(repository), str(tag or "latest")
