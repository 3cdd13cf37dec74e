"""Whether a registration token that somebody brings is good, and the command by which a machine joins with one."""

from __future__ import annotations

from commands.errors import NotFound
from commands.registration_tokens import is_valid, public_of, token
from commands.resource import Resource
from gateway.joining.shown import TOKEN, gives_token, script_url
from gateway.request import ApiRequest
from gateway.services import Services
from projections.query import Filter, Query

PERIOD = "registration.token.period.millis"

CATCH_UP = 5.0
"""Seconds for which a token that is not known yet waits for the views to hold all that is in the log."""


async def command(services: Services, request: ApiRequest, resource: Resource) -> str:
    """GET /v1/registrationtokens/<id>/command: what is pasted into a shell of the machine that is to join. Raises NotFound."""
    opened = await services.vault.opened(resource)
    public, secret = opened.row.get("publicValue"), opened.row.get("secretValue")
    if not gives_token(resource) or not isinstance(public, str) or not isinstance(secret, str):
        raise NotFound(f"nobody registers with {resource.name}: it is {resource.state}, and must be an active registration token")
    return f"curl -sS '{script_url(request, token(public, secret, milliseconds(services)))}' | sh"


async def is_good(services: Services, given: str) -> bool:
    """Whether somebody may register with it now: an active credential of an active account signed it, and not too long ago."""
    public = public_of(given)
    if not public or "\0" in public:
        return False
    found = await _credentials(services, public)
    if not found:
        await services.views.wait_for(await services.store.head(), CATCH_UP)
        found = await _credentials(services, public)
    period = int(services.settings[PERIOD])
    for each in await services.vault.opened_all(found):
        secret, owner = each.row.get("secretValue"), each.row.get("accountId")
        if isinstance(secret, str) and isinstance(owner, int) and is_valid(given, public, secret, milliseconds(services), period):
            account = await services.views.get("account", owner)
            return account is not None and account.resource.state == "active"
    return False


def milliseconds(services: Services) -> int:
    return int(services.store.now().timestamp() * 1000)


async def _credentials(services: Services, public: str) -> list[Resource]:
    type = services.catalogue.type("credential")
    named = (Filter(type.fields["publicValue"], "eq", public), Filter(type.fields["kind"], "eq", TOKEN))
    seen = await services.views.rows(Query(type, filters=named, limit=10))
    return [each.resource for each in seen if gives_token(each.resource)]
