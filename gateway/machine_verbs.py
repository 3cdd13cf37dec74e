"""Sub-paths of virtual machines: POST /v1/virtualmachines/1i5/snapshot, revert, resize. What their bodies may say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from commands.errors import Refused

TYPE = "virtualMachine"


class Snapshot(BaseModel):
    """Of snapshot and revert."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


class Size(BaseModel):
    """Of resize. The root volume grows at once; memory and processors change with the next start."""

    model_config = ConfigDict(extra="forbid")

    memoryMb: int | None = Field(None, ge=1, le=16 * 1024 * 1024)
    vcpu: int | None = Field(None, ge=1, le=1024)
    rootSizeMb: int | None = Field(None, ge=1, le=1024 * 1024 * 1024)


VERBS: Mapping[str, type[BaseModel]] = {"snapshot": Snapshot, "revert": Snapshot, "resize": Size}


def read(verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the process is started with. Raises Refused that names the field."""
    try:
        read = VERBS[verb].model_validate(dict(body)).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        code = "MissingRequired" if first["type"] == "missing" else "InvalidFormat"
        raise Refused(code, f"{verb}: {first['msg']}", ".".join(map(str, first["loc"]))) from None
    if not read:
        raise Refused("MissingRequired", f"{verb}: give at least one of {', '.join(VERBS[verb].model_fields)}")
    return read
