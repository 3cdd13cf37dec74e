"""Images of virtual machines as files: which are taken, which are refused, and that whoever names one reads no other file of the host."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.driver import DriverError
from agents.libvirt.disks import Disks, qemu_img
from agents.libvirt.images import activate_image
from tests.support.small_server import Answering, SmallServer, served

MB = 1024 * 1024


class Web(SmallServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.content, self.promised = b"", 0
        self.given_up = threading.Event()


class Page(Answering):
    server: Web

    def do_GET(self) -> None:
        if self.path == "/drips":
            self.drip()
            return
        self.send_response(200 if self.path == "/image" else 404)
        self.send_header("Content-Length", str(self.server.promised or len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def drip(self) -> None:
        """A byte now and then, until nobody wants more."""
        self.send_response(200)
        self.send_header("Content-Length", str(MB))
        self.end_headers()
        try:
            for _ in range(1000):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            self.server.given_up.set()


@pytest.fixture
def web() -> Iterator[Web]:
    with served(Web()) as server:
        yield server


@pytest.fixture
def disks(tmp_path: Path) -> Disks:
    made = Disks(tmp_path / "disks")
    made.prepare()
    return made


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def fetched(disks: Disks, images: Path, path: str | Path, **more: Any) -> Any:
    url = path if isinstance(path, str) else path.as_uri()
    return activate_image(disks, {"uuid": "one", "name": "one", "url": url, **more}, images, lambda text, percent: None)


def test_a_qcow2_is_taken_as_it_is_and_fetched_once(disks: Disks, images: Path) -> None:
    qemu_img("create", "-q", "-f", "qcow2", str(images / "a.qcow2"), str(5 * MB))
    image = fetched(disks, images, images / "a.qcow2")
    assert (image.format, image.virtual_bytes, image.path.name) == ("qcow2", 5 * MB, "image-one.qcow2")
    assert image.told()["physicalSizeMb"] >= 1
    (images / "a.qcow2").unlink()
    assert fetched(disks, images, images / "a.qcow2") == image


def test_an_image_is_fetched_over_http_and_progress_is_told(disks: Disks, images: Path, web: Web) -> None:
    web.content = bytes(3 * MB)
    told: list[tuple[str, int | None]] = []
    row = {"uuid": "one", "name": "one", "url": f"{web.url}/image", "checksum": hashlib.sha256(web.content).hexdigest()}
    image = activate_image(disks, row, images, lambda text, percent: told.append((text, percent)))
    assert (image.format, image.virtual_bytes) == ("raw", 3 * MB)
    assert told[-1] == ("Fetching one: 3 MB", 100)


@pytest.mark.parametrize("promised", [0, 4 * MB])
def test_what_is_not_what_was_promised_is_not_kept(disks: Disks, images: Path, web: Web, promised: int) -> None:
    web.content, web.promised = bytes(MB), promised
    why = "broke off|IncompleteRead|can't be fetched" if promised else "is not what its checksum says"
    with pytest.raises(DriverError, match=why):
        fetched(disks, images, f"{web.url}/image", checksum="sha256:" + "0" * 64)
    assert list(disks.folder.iterdir()) == []


def test_what_is_not_there_is_said_so(disks: Disks, images: Path, web: Web) -> None:
    with pytest.raises(DriverError, match="404"):
        fetched(disks, images, f"{web.url}/nothing")
    with pytest.raises(DriverError, match="there is no file"):
        fetched(disks, images, images / "none.img")
    with pytest.raises(DriverError, match="has no url"):
        fetched(disks, images, "")
    with pytest.raises(DriverError, match="http://, https:// and file:// are understood"):
        fetched(disks, images, "ftp://host/image")


def test_what_only_drips_is_given_up(disks: Disks, images: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.libvirt.images.LEAST_SECONDS", 0.3)
    with pytest.raises(DriverError, match=rf"only \d+ bytes came from {web.url}/drips in \d+ seconds"):
        fetched(disks, images, f"{web.url}/drips")
    assert web.given_up.wait(10)
    assert list(disks.folder.iterdir()) == []


@pytest.mark.parametrize("url", ["http://[half/image", "http://", "http://.example/image"])
def test_an_address_that_is_none_is_said_so(disks: Disks, images: Path, url: str) -> None:
    with pytest.raises(DriverError, match="image one can't be fetched from"):
        fetched(disks, images, url)


def test_only_files_of_the_images_folder_can_be_named(disks: Disks, images: Path) -> None:
    with pytest.raises(DriverError, match="only files in the agent's folder"):
        fetched(disks, images, "file:///etc/hostname")


def test_an_image_that_would_have_another_file_read_is_refused(disks: Disks, images: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(MB))
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(tmp_path / "secret"), "-F", "raw", str(images / "backed"))
    with pytest.raises(DriverError, match="names another file behind it"):
        fetched(disks, images, images / "backed")
    data = f"data_file={tmp_path / 'data'},data_file_raw=on"
    qemu_img("create", "-q", "-f", "qcow2", "-o", data, str(images / "outside"), str(MB))
    with pytest.raises(DriverError, match="keeps its data in another file"):
        fetched(disks, images, images / "outside")
    assert list(disks.folder.iterdir()) == []


def test_other_formats_are_refused_with_what_to_do(disks: Disks, images: Path) -> None:
    qemu_img("create", "-q", "-f", "vmdk", str(images / "a.vmdk"), str(MB))
    with pytest.raises(DriverError, match="of format vmdk: convert it with qemu-img convert -O qcow2"):
        fetched(disks, images, images / "a.vmdk")


def test_several_who_need_an_image_at_once_all_have_it(disks: Disks, images: Path) -> None:
    (images / "a").write_bytes(bytes(MB))
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(fetched(disks, images, images / "a"))) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(found) == 6
    assert [each.name for each in disks.folder.iterdir()] == ["image-one.raw"]


def test_what_a_killed_agent_left_half_made_goes_with_the_next_start(disks: Disks) -> None:
    with disks.half() as half:
        (disks.folder / f"left{half.suffix}").write_bytes(b"half")
    disks.prepare()
    assert list(disks.folder.iterdir()) == []


def test_a_volume_is_as_large_as_its_image_at_least(disks: Disks, images: Path) -> None:
    (images / "a").write_bytes(bytes(4 * MB))
    image = fetched(disks, images, images / "a")
    assert disks.make_volume("small", image, MB).virtual_bytes == 4 * MB
    assert disks.make_volume("large", image, 9 * MB).virtual_bytes == 9 * MB
    assert disks.make_volume("large", image, MB).virtual_bytes == 9 * MB, "it is there already"
    assert disks.make_volume("../../odd", None, MB).path.parent == disks.folder
