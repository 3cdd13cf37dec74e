"""A virtual machine's config drive: a small ISO 9660 image labelled cidata, from which cloud-init's NoCloud source reads who it is.

(https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pycdlib.pycdlib import PyCdlib

from agents.network.membership import Attachment

LABEL = "cidata"


def write_config_drive(path: Path, instance: Mapping[str, Any], attachments: Sequence[Attachment] = ()) -> None:
    """A new one, in the place of one that was there. Blocks."""
    path.write_bytes(config_drive(instance, attachments))


def config_drive(instance: Mapping[str, Any], attachments: Sequence[Attachment] = ()) -> bytes:
    """`attachments`: to the segments that it is on. Blocks."""
    image = PyCdlib()
    image.new(joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    try:
        for index, (name, content) in enumerate(files(instance, attachments).items()):
            text = content.encode()
            image.add_fp(BytesIO(text), len(text), f"/FILE{index}.;1", rr_name=name, joliet_path=f"/{name}")
        written = BytesIO()
        image.write_fp(written)
        return written.getvalue()
    finally:
        image.close()


def files(instance: Mapping[str, Any], attachments: Sequence[Attachment] = ()) -> dict[str, str]:
    """What is on it. (JSON is YAML, too.) Without user data of the user's own there is an empty one: cloud-init insists on the file."""
    described = _metadata(instance)
    name = described.get("hostname") or instance.get("hostname") or instance.get("name") or str(instance["uuid"])
    meta = {"instance-id": str(instance["uuid"]), "local-hostname": name, "public-keys": _keys(described)}
    network = _network(instance, {each.address: each for each in attachments})
    return {
        "meta-data": json.dumps(meta, indent=1) + "\n",
        "user-data": str(instance.get("userdata") or "#cloud-config\n{}\n"),
        **({"network-config": json.dumps(network, indent=1) + "\n"} if network else {}),
    }


def _metadata(instance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the tree that the server sends, which goes by address: what it tells of the instance, which has one."""
    data = instance.get("data")
    tree = data.get("metadata") if isinstance(data, Mapping) else None
    first = next(iter(tree.values()), None) if isinstance(tree, Mapping) else None
    described = first.get("meta-data") if isinstance(first, Mapping) else None
    return described if isinstance(described, Mapping) else {}


def _keys(described: Mapping[str, Any]) -> list[str]:
    keys = described.get("public-keys")
    values = keys.values() if isinstance(keys, Mapping) else ()
    return [str(each["openssh-key"]) for each in values if isinstance(each, Mapping) and each.get("openssh-key")]


def _network(instance: Mapping[str, Any], attached: Mapping[str, Attachment]) -> dict[str, Any]:
    """The addresses that Corral gave its nics, known by their mac; {}: there are none, and the network's DHCP is asked."""
    ethernets: dict[str, Any] = {}
    for index, nic in enumerate(instance.get("nics") or ()):
        given = [each for each in nic.get("ipAddresses") or () if each.get("address") and (each.get("subnet") or {}).get("cidrSize")]
        if not given or not nic.get("macAddress"):
            continue
        on = next((attached[each["address"]] for each in given if each["address"] in attached), None)
        gateway = given[0]["subnet"].get("gateway")
        ethernets[f"nic{index}"] = {
            "match": {"macaddress": str(nic["macAddress"]).lower()},
            "addresses": [f"{each['address']}/{each['subnet']['cidrSize']}" for each in given],
            **({"mtu": on.mtu} if on is not None else {}),
            **({"nameservers": {"addresses": list(on.names)}} if on is not None and on.names else {}),
            **({"routes": [{"to": "0.0.0.0/0", "via": gateway}]} if gateway and not ethernets else {}),
        }
    return {"version": 2, "ethernets": ethernets} if ethernets else {}
