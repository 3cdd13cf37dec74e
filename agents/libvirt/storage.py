"""What commands ask of a host's storage: its images and volumes come and go. Blocks.

They are files in one folder (disks.py, images.py), which libvirt is shown as a pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agents.driver import Json, Report, instance_of_root_volume, part, uuid_at
from agents.instances import fields_of
from agents.libvirt import domains, host
from agents.libvirt.connection import Libvirt
from agents.libvirt.disks import Disks, size_of
from agents.libvirt.images import activate_image
from agents.libvirt.images import reply as image_reply
from agents.wire import Message

SYSTEM_STORAGE = Path("/var/lib/libvirt/images/corral")
"""Where the user that QEMU runs as may read."""


def usual_storage(url: str, folder: Path) -> Path:
    """A libvirt of the whole system runs QEMU as another user, who can't look into the agent's own folder."""
    return SYSTEM_STORAGE if "/system" in url else folder / "disks"


def carry_out(connection: Libvirt, disks: Disks, images: Path, request: Message, report: Report) -> Json:
    """A command about an image or a volume. `images`: the folder whose files may be used as images."""
    data = request.data
    answer: Json = {}
    match request.name:
        case "storage.image.activate":
            answer = image_reply(activate_image(disks, part(data, "imageStoragePoolMap", "image"), images, report))
        case "storage.image.remove":
            disks.remove_image(uuid_at(data, "imageStoragePoolMap", "image"))
        case "storage.volume.activate":
            answer = _make_volume(disks, images, part(data, "volumeStoragePoolMap", "volume"), report)
        case "storage.volume.remove":
            owner = instance_of_root_volume(data)
            if owner is not None:
                domains.remove(connection, owner, disks)
            disks.remove_volume(uuid_at(data, "volumeStoragePoolMap", "volume"))
        case _:  # deactivated: the file stays as it is
            return answer
    host.show_files(connection, disks.folder)
    return answer


def _make_volume(disks: Disks, images: Path, volume: Json, report: Report) -> Json:
    image = volume.get("image")
    # It was there when it was activated; somebody may have removed it since.
    behind = activate_image(disks, image, images, report) if isinstance(image, Mapping) else None
    made = disks.make_volume(str(volume["uuid"]), behind, size_of(volume, fields_of(volume)))
    return {"+data": {"libvirt": {"path": str(made.path)}}, "volume": made.told()}
