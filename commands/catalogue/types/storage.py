"""What instances are made from and keep their data in: images, volumes, and the pools that hold both."""

from __future__ import annotations

from commands.catalogue.model import Methods, ResourceType
from commands.catalogue.types.common import ACCOUNT, ALL, HIDDEN, LIFE, READ, actions, col, fields, links, many, mapped, one

IMAGE = ResourceType(
    "image", "images", "1i",
    fields(
        col("checksum", "string", "rc", "r", max_length=255),
        col("format", "string", "r", max_length=255),
        col("instanceKind", "enum", "rcu", "r", options=("container", "virtualMachine")),
        col("isPublic", "boolean", "rcu", "r", nullable=False),
        col("physicalSizeMb", "int", "r"),
        col("url", "string", "rc", "r", max_length=255),
        col("virtualSizeMb", "int", "r"),
        user=True,
    ),
    links(
        ACCOUNT,
        many("imageStoragePoolMaps", "imageStoragePoolMap", "imageId"),
        many("instances", "instance", "imageId"),
        mapped("storagePools", "storagePool", "imageStoragePoolMap", "imageId", "storagePoolId"),
        many("volumes", "volume", "imageId"),
    ),
    actions("image", *LIFE), Methods(("GET", "POST"), ("GET", "PUT")), READ,
)  # fmt: skip

IMAGE_STORAGE_POOL_MAP = ResourceType(
    "imageStoragePoolMap", "imageStoragePoolMaps", "1ispm",
    fields(col("imageId", "reference[image]", "rcu"), col("storagePoolId", "reference[storagePool]", "rcu"), account=False),
    links(one("image", "image"), one("storagePool", "storagePool")),
    actions("imageStoragePoolMap", *LIFE), ALL, HIDDEN,
    single=(("imageId", "storagePoolId"),),
)  # fmt: skip

STORAGE_POOL_HOST_MAP = ResourceType(
    "storagePoolHostMap", "storagePoolHostMaps", "1sphm",
    fields(col("hostId", "reference[host]", "rcu"), col("storagePoolId", "reference[storagePool]", "rcu"), account=False),
    links(one("host", "host"), one("storagePool", "storagePool")),
    actions("storagePoolHostMap", *LIFE), ALL, HIDDEN,
)  # fmt: skip

STORAGE_POOL = ResourceType(
    "storagePool", "storagePools", "1sp",
    fields(
        col("agentId", "reference[agent]", "rcu"),
        col("external", "boolean", "rcu", nullable=False),
        col("physicalTotalSizeMb", "int"),
        col("virtualTotalSizeMb", "int"),
        col("zoneId", "reference[zone]"),
    ),
    links(
        ACCOUNT,
        one("agent", "agent"),
        mapped("hosts", "host", "storagePoolHostMap", "storagePoolId", "hostId"),
        many("imageStoragePoolMaps", "imageStoragePoolMap", "storagePoolId"),
        mapped("images", "image", "imageStoragePoolMap", "storagePoolId", "imageId"),
        many("storagePoolHostMaps", "storagePoolHostMap", "storagePoolId"),
        many("volumeStoragePoolMaps", "volumeStoragePoolMap", "storagePoolId"),
        mapped("volumes", "volume", "volumeStoragePoolMap", "storagePoolId", "volumeId"),
    ),
    actions("storagePool", *LIFE), ALL, HIDDEN,
)  # fmt: skip

VOLUME = ResourceType(
    "volume", "volumes", "1v",
    fields(
        col("allocationState", "string", "r", max_length=255),
        col("attachedState", "string", "r", max_length=255),
        col("deviceNumber", "int", "r", "r"),
        col("format", "string", "r", max_length=255),
        col("imageId", "reference[image]", "rcu", "r"),
        col("instanceId", "reference[instance]", "rcu", "r"),
        col("offeringId", "reference[offering]", filtered=False),
        col("physicalSizeMb", "int"),
        col("virtualSizeMb", "int", "r", "r"),
        col("zoneId", "reference[zone]"),
        user=True,
    ),
    links(
        ACCOUNT,
        one("image", "image"),
        one("instance", "instance"),
        mapped("storagePools", "storagePool", "volumeStoragePoolMap", "volumeId", "storagePoolId"),
        many("volumeStoragePoolMaps", "volumeStoragePoolMap", "volumeId"),
    ),
    actions("volume", *LIFE, "allocate", "deallocate"), READ, READ,
    owner="instanceId",
)  # fmt: skip

VOLUME_STORAGE_POOL_MAP = ResourceType(
    "volumeStoragePoolMap", "volumeStoragePoolMaps", "1vspm",
    fields(col("storagePoolId", "reference[storagePool]", "rcu"), col("volumeId", "reference[volume]", "rcu"), account=False),
    links(one("storagePool", "storagePool"), one("volume", "volume")),
    actions("volumeStoragePoolMap", *LIFE), ALL, HIDDEN,
    owner="volumeId", single=(("volumeId", "storagePoolId"),),
)  # fmt: skip

TYPES = [IMAGE, IMAGE_STORAGE_POOL_MAP, STORAGE_POOL_HOST_MAP, STORAGE_POOL, VOLUME, VOLUME_STORAGE_POOL_MAP]
