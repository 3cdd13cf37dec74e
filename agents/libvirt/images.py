"""Images for virtual machines: fetched once to a host's folder, from the agent's own images folder or over HTTP. Functions here block.

Whoever names an image is not trusted with this host's files: a file:// url leads into the images folder alone, and an image that would
have other files read is refused.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from agents.driver import DriverError, Json, Report
from agents.image_files import image_file
from agents.instances import fields_of
from agents.libvirt.disks import MEGABYTE, Disk, Disks, probed

SECONDS = 60
"""Until a web server answers, and for its next byte."""
LEAST, LEAST_SECONDS = MEGABYTE, 60.0
"""So many bytes have to come in that time: what only drips would hold up others' commands for an hour, and not be whole then."""
PIECE = MEGABYTE

_DIGESTS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
"""Length of a checksum in hex -> what made it."""


def activate_image(disks: Disks, image: Mapping[str, Any], folder: Path, report: Report) -> Disk:
    """The image, once it is there. `folder`: the one whose files a file:// url may name."""
    uuid = str(image.get("uuid"))
    present = disks.image(uuid)
    if present is not None:
        return present
    name = str(image.get("name") or uuid)
    url = image.get("url") or fields_of(image).get("url")
    if not isinstance(url, str) or not url:
        raise DriverError(f"image {name} has no url: give it one of a qcow2 or raw file, http://... or file:///<a file in {folder}>")
    try:
        with disks.half() as half:
            _fetch(url, half, folder, name, report)
            _check(half, image.get("checksum"), name)
            try:
                format = probed(half)
            except DriverError as error:
                raise DriverError(f"image {name} from {url} can't be used: {error}", error.internal) from error
            half.chmod(0o444)
            half.replace(disks.image_path(uuid, format))
    except OSError as error:
        raise DriverError(f"image {name} can't be stored in {disks.folder}: {error}") from error
    stored = disks.image(uuid)
    if stored is None:
        raise DriverError(f"image {name} was stored in {disks.folder} and is gone: somebody removes files there")
    return stored


def reply(disk: Disk) -> Json:
    """For storage.image.activate: of the image in this pool, and what the image itself is."""
    return {**disk.told(), "+data": {"libvirt": {"path": str(disk.path)}}, "image": disk.told()}


def _fetch(url: str, half: Path, folder: Path, name: str, report: Report) -> None:
    try:
        scheme = urlsplit(url).scheme
        if scheme == "file":
            shutil.copyfile(image_file(url, folder, name), half)
        elif scheme in ("http", "https"):
            _download(url, half, name, report)
        else:
            raise DriverError(f"image {name} can't be fetched from {url}: http://, https:// and file:// are understood")
    except ValueError as error:  # a host in half a bracket, say
        raise DriverError(f"image {name} can't be fetched from {url!r}: {error}") from error


def _download(url: str, half: Path, name: str, report: Report) -> None:
    report(f"Fetching {name}", None)
    try:
        with requests.get(url, stream=True, timeout=SECONDS) as answer, half.open("wb") as file:
            answer.raise_for_status()
            length = 0
            with suppress(ValueError):
                length = int(answer.headers.get("Content-Length", 0))
            done, since, before = 0, time.monotonic(), 0
            # As it comes: iter_content would wait for a whole piece, however slowly it comes.
            while piece := answer.raw.read1(PIECE, decode_content=True):
                file.write(piece)
                done += len(piece)
                report(f"Fetching {name}: {done // MEGABYTE} MB", 100 * done // length if length else None)
                if (now := time.monotonic()) - since > LEAST_SECONDS:
                    if done - before < LEAST:
                        raise DriverError(
                            f"image {name}: only {done - before} bytes came from {url} in {now - since:.0f} seconds, which is given up. "
                            "It is tried again with the next start; name a faster server"
                        )
                    since, before = now, done
            if length and "Content-Encoding" not in answer.headers and done != length:
                raise DriverError(f"image {name}: {url} broke off after {done} of {length} bytes. It is tried again with the next start")
    except (requests.RequestException, HTTPError) as error:
        raise DriverError(f"image {name} can't be fetched from {url}: {error}") from error


def _check(half: Path, checksum: object, name: str) -> None:
    """Against the checksum that the image was made with, if it has one."""
    if not isinstance(checksum, str) or not checksum:
        return
    wanted = checksum.rpartition(":")[2].strip().lower()
    method = _DIGESTS.get(len(wanted))
    if method is None:
        raise DriverError(f"image {name} has the checksum {checksum!r}, which is none: md5, sha1, sha256 or sha512 in hex is expected")
    with half.open("rb") as file:
        found = hashlib.file_digest(file, method).hexdigest()
    if found != wanted:
        raise DriverError(f"image {name} is not what its checksum says: {method} {found} was fetched, {wanted} was expected")
