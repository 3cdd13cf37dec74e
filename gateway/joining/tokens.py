"""The command by which a machine joins with a registration token."""

from __future__ import annotations

from commands.errors import NotFound
from commands.logic.registration_tokens import token
from commands.resource import Resource
from gateway.joining.shown import UNREACHABLE, gives_token, is_localhost, script_url
from gateway.request import ApiRequest
from gateway.services import Services


async def command(services: Services, request: ApiRequest, resource: Resource) -> str:
    """GET /v1/registrationtokens/<id>/command: what is pasted into a shell of the machine that is to join, with a comment
    before it where that can't work. Raises NotFound."""
    opened = await services.vault.opened(resource)
    public, secret = opened.row.get("publicValue"), opened.row.get("secretValue")
    if not gives_token(resource) or not isinstance(public, str) or not isinstance(secret, str):
        raise NotFound(f"nobody registers with {resource.name}: it is {resource.state}, and must be an active registration token")
    text = token(public, secret, int(services.store.now().timestamp() * 1000))
    url = script_url(request, text)
    warning = f"# {UNREACHABLE}: ask for this command under the name or address by which it does\n" if is_localhost(url) else ""
    return f"{warning}curl -sS '{url}' | sh"
