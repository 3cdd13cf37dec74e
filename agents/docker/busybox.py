"""An image without a registry: this machine's static busybox and its links. Blocks: the driver calls it in a thread."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import docker

from agents.docker.pulling import split_name

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}
"""What platform.machine() says -> how images call it."""
_BUSYBOX = ("busybox", "busybox.static", "/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static")
_PT_INTERP = 3


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
            add(tar, folder, tarfile.DIRTYPE, mode)
        add(tar, "bin/busybox", tarfile.REGTYPE, 0o755, program.read_bytes())
        add(tar, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        add(tar, "etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nnogroup:x:65534:\n")
        for applet in sorted({*listed} - {"busybox"}):
            add(tar, f"bin/{applet}", tarfile.SYMTYPE, 0o777, target="busybox")
    return written.getvalue()


def add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, content: bytes = b"", target: str = "") -> None:
    """A file's `content`, or a link's `target`."""
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, len(content), target
    tar.addfile(member, io.BytesIO(content))
