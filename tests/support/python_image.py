"""A Docker image with a Python and a shell's usual programs, made of this machine's own: no registry is asked."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker

IMAGE = "corral/python:latest"
USUAL = ("sh", "cat", "cp", "mkdir", "mv", "rm", "sed", "sha1sum")
SHELL = [Path(found) for name in USUAL if (found := shutil.which(name, path="/usr/bin"))]
LEFT_OUT = ("test", "idlelib", "tkinter", "ensurepip", "turtledemo", "lib2to3", "__pycache__", "site-packages", "dist-packages")


def python_image(client: docker.DockerClient) -> str:
    """-> its name; it is imported if it is not there."""
    if not client.images.list(IMAGE):
        name, _, tag = IMAGE.partition(":")
        client.api.import_image_from_data(_archive(), repository=name, tag=tag, changes=["ENV PATH=/usr/bin"])
    return IMAGE


def _archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(set(_files())):
            tar.add(os.path.realpath(path), str(path), recursive=False)
        python = Path(os.path.realpath(sys.executable))
        if str(python) != "/usr/bin/python3":
            link = tarfile.TarInfo("usr/bin/python3")
            link.type, link.linkname = tarfile.SYMTYPE, str(python)
            tar.addfile(link)
        temporary = tarfile.TarInfo("tmp")
        temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(temporary)
    return packed.getvalue()


def _files() -> Iterator[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    programs = [Path(os.path.realpath(sys.executable)), *SHELL]
    for folder, below, names in os.walk(library):
        below[:] = [each for each in below if each not in LEFT_OUT]
        yield from (Path(folder, name) for name in names)
        programs += [Path(folder, name) for name in names if name.endswith(".so")]
    yield programs[0]
    yield from SHELL
    needed = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=True, timeout=60).stdout
    yield from {Path(each) for each in re.findall(r"(?:=> )?(/\S+) \(0x", needed)}
