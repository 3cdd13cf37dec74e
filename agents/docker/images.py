"""Images on a Docker engine: whether one is there or has to come (pulling.py), and one made from busybox where there is none.

Functions here block and take a docker.APIClient: the driver calls them in a thread.
"""

from __future__ import annotations

import io
import platform
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import ImageNotFound, NotFound

from agents.docker.container import image_name
from agents.docker.pulling import credential_of, load, pull, split_name
from agents.driver import DriverError, Json, Report
from agents.instances import fields_of

DEFAULT_IMAGE = "corral/busybox:latest"
_GOOD_ENOUGH = (DEFAULT_IMAGE, "busybox:latest", "alpine:latest")
"""Images that may be on an engine already, small ones with a shell."""
_BUSYBOX = ("busybox", "busybox.static", "/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}
_PT_INTERP = 3


def activate_image(client: docker.APIClient, image: Mapping[str, Any], folder: Path, report: Report) -> Json:
    """The reply's data once the image is on the engine. `folder`: the one whose files a file:// url may name."""
    name = image_name(image)
    if name is None:
        raise DriverError(f"image {image.get('uuid')!r} is not one of Docker's: its uuid must be of the form docker:<name>")
    ensure_image(client, image, name, folder, report)
    return {"+data": {"dockerImage": {**names_of(name), "id": inspect_image(client, name)["Id"]}}}


def ensure_image(client: docker.APIClient, image: Mapping[str, Any], name: str, folder: Path, report: Report) -> None:
    """`image`: its row, which says where it comes from."""
    url = image.get("url") or fields_of(image).get("url")
    if has_image(client, name):
        return
    if isinstance(url, str) and urlsplit(url).scheme == "file":
        load(client, name, url, folder, report)
    else:
        pull(client, name, credential_of(image), report)


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
    inspected: Json = client.inspect_image(name)
    return inspected


def names_of(name: str) -> Json:
    """The parts of an image's name, as Cattle's agents reported them."""
    qualified, tag = split_name(name)
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
    if program is None or client.version().get("Arch") != MACHINES.get(platform.machine()):
        return None
    image_from_busybox(client, program, DEFAULT_IMAGE)
    return DEFAULT_IMAGE


def default_command() -> list[str]:
    """For an instance of a default image: runs until it is stopped, and stops at once (a first process ignores what it does not trap)."""
    return ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"]


def image_from_busybox(client: docker.APIClient, program: Path, name: str) -> None:
    """Makes an image of one file and its links. Made again it replaces the image of that name."""
    repository, tag = split_name(name)
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
