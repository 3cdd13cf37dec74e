"""What a new row needs before a turn decides on it: its defaults, keys, owner and image. Looked up, or made by chance and with time.

Turns are quick and pure, and begin with what is found here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from commands.catalogue.catalogue import Catalogue
from commands.errors import Refused, a
from commands.logic.placement import CAPACITY
from commands.logic.storage import IMAGE_DRIVERS, unregistrable
from commands.resource import Json, Resource
from commands.secrets import passwords
from commands.secrets.keys import KeyPair
from commands.snapshots import latest
from eventstore import Store

PURGED = ("purging", "purged")


class NewRows:
    """For one door of the write side (commands.accepting.service)."""

    def __init__(
        self, store: Store, catalogue: Catalogue, settings: Mapping[str, Any], new_key_pair: Callable[[], KeyPair],
        secret: Callable[[int], bytes],
    ) -> None:  # fmt: skip
        self._store, self._catalogue, self._settings = store, catalogue, settings
        self._new_key_pair, self._secret = new_key_pair, secret
        self._images: dict[str, str] = {}
        """Image uuid -> stream, of those asked for. One that is purged has its uuid no more."""

    def with_defaults(self, type_name: str, fields: Json, account: int | None) -> Json:
        kind = self._catalogue.type(type_name)
        row = dict(fields)
        for field in kind.fields.values():  # what comes by the API has them already; what Corral creates itself has them from here
            if field.default is not None and field.store in ("col", "fld"):
                row.setdefault(field.name, field.default)
        if "accountId" in kind.fields and row.get("accountId") is None and type_name != "agent" and account is not None:
            row["accountId"] = account
        if "zoneId" in kind.fields:
            row.setdefault("zoneId", 1)
        if self._catalogue.root_type(type_name).name == "host":
            row.setdefault("computeFree", CAPACITY)
            row.setdefault("computeTotal", CAPACITY)
        return row

    async def with_keys(self, type_name: str, row: Json) -> Json:
        """A new sshKey without a value gets a pair, a password becomes its hash. Both take a while and chance: turns are quick and pure."""
        if self._catalogue.root_type(type_name).name != "credential":
            return row
        kind = row.get("kind") or type_name
        if kind in passwords.HASHED:
            return await self.with_hash(row)
        if kind != "sshKey" or row.get("publicValue"):
            return row
        pair = await asyncio.to_thread(self._new_key_pair)
        return {**row, "publicValue": pair.public, "secretValue": pair.secret}

    async def with_hash(self, row: Json) -> Json:
        if not isinstance(row.get("secretValue"), str):
            return row
        return {**row, "secretValue": await asyncio.to_thread(passwords.hashed, row["secretValue"], self._secret)}

    async def root_of_owner(self, type_name: str, row: Json) -> str:
        """A row that belongs to another (a volume's map to a pool) shares that one's root."""
        kind = self._catalogue.root_type(type_name)
        if kind.owner is None:
            return ""
        if row.get(kind.owner) is None:
            raise Refused("MissingRequired", f"{a(type_name)} belongs to what its {kind.owner} names", kind.owner)
        stream = f"{kind.fields[kind.owner].reference}-{row[kind.owner]}"
        owner = await latest(self._store, stream)
        if not owner.exists:
            raise Refused("InvalidReference", f"there is no {stream.replace('-', ' ')}", kind.owner)
        return owner.root

    async def image_of(self, type_name: str, row: Json) -> Resource | None:
        """The image that imageId or imageUuid names; None when a driver may register it by its uuid."""
        if row.get("imageId") is not None:
            stream = f"image-{row['imageId']}"
            found = await self._image(stream, type_name, "imageId")
            if found is None:
                raise Refused("InvalidReference", f"there is no {stream.replace('-', ' ')} any more: it is purged", "imageId")
            return found
        uuid_given = row.get("imageUuid")
        if not uuid_given:
            if self._settings["api.instance.require.image"]:
                message = "an instance needs an image: give imageUuid (e.g. docker:nginx) or imageId"
                raise Refused("MissingRequired", message, "imageUuid")
            return None
        if (known := self._images.get(uuid_given)) and (image := await self._image(known, type_name, "imageUuid")) is not None:
            return image
        holder = await self._store.holder("image.uuid", uuid_given)
        if holder is not None and (image := await self._image(holder, type_name, "imageUuid")) is not None:
            self._images[uuid_given] = holder
            return image
        if reason := unregistrable(str(uuid_given)):
            raise Refused("InvalidReference", reason, "imageUuid")
        self._check_kind(IMAGE_DRIVERS[str(uuid_given).partition(":")[0]], type_name)
        return None

    async def _image(self, stream: str, type_name: str, field: str) -> Resource | None:
        """None: it is purged. Raises Refused for one that can't be used."""
        image = await latest(self._store, stream)
        if not image.exists:
            raise Refused("InvalidReference", f"there is no {stream.replace('-', ' ')}", field)
        if image.state in PURGED:
            return None
        if image.removed or image.state == "removing":
            message = f"image {image.id} ({image.name}) is {image.state}: restore it, or purge it and its uuid is free for another"
            raise Refused("InvalidReference", message, field)
        self._check_kind(image.row.get("instanceKind"), type_name)
        return image

    def _check_kind(self, wanted: str | None, type_name: str) -> None:
        if wanted and wanted != type_name:
            raise Refused("InvalidImageInstanceKind", f"the image is for {a(wanted)}, not for {a(type_name)}", "imageUuid")
