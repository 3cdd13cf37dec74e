"""Keys as ssh reads them: the server's own public one for /v1/authorized_keys, and an sshKey's private one behind its link pem."""

from __future__ import annotations

from commands.accepting.server_keys import server_key
from commands.catalogue.model import ResourceType
from commands.errors import NotFound
from commands.resource import Resource
from commands.secrets.vault import PURGED
from gateway.access.caller import Caller
from gateway.responses import File, attachment
from gateway.services import Services

AUTHORIZED = "authorized"
"""The type of /v1/authorized_keys."""

PEM = "pem"
"""The link."""

KIND, SECRET = "sshKey", "secretValue"


async def authorized_keys(services: Services) -> File:
    """A line for each key with which the server may log in to a machine that is to become an agent."""
    key = await server_key(services.commands)
    return File(f"{key.public}\n".encode())


def has_pem(caller: Caller, type: ResourceType, resource: Resource) -> bool:
    """Whether there is a private key that the caller may read."""
    there = resource.kind == KIND and resource.row.get(SECRET) is not None and resource.state != PURGED
    return there and SECRET in type.fields and caller.reads(type, type.fields[SECRET])


async def pem(services: Services, caller: Caller, type: ResourceType, resource: Resource) -> File:
    secret = (await services.vault.opened(resource)).row.get(SECRET) if has_pem(caller, type, resource) else None
    if secret is None:
        raise NotFound(f"{resource.name} has no private key")
    return attachment(str(secret).encode(), f"{resource.row.get('name') or 'id_rsa'}.pem")
