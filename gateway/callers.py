"""Who asks: HTTP basic credentials become a Caller, which says what types, fields and rows are there for them."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from dataclasses import dataclass

from commands.catalogue.model import Field, Link, Methods, ResourceType
from commands.resource import Resource
from eventstore import Unavailable
from gateway.errors import Unauthorized
from gateway.services import Services
from projections.errors import ViewsError
from projections.query import Filter, Query

KEY_KINDS = frozenset({"agentApiKey", "apiKey", "usernamePassword"})

REMEMBERED = 2.0
"""Seconds for which a key's account is not looked up again."""

MOST_REMEMBERED = 10_000

ADMINS = frozenset({"admin", "superadmin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """`account` None: nobody in particular (a cloud without an admin account)."""

    account: int | None = None
    kind: str = "admin"

    @property
    def sees_all(self) -> bool:
        return self.kind in ADMINS

    @property
    def user(self) -> bool:
        """Sees the schemas made for users."""
        return self.kind not in ADMINS and self.kind != "readAdmin"

    @property
    def scope(self) -> int | None:
        """The account whose rows alone are seen; None: all."""
        return None if self.sees_all else (self.account or 0)

    def methods(self, type: ResourceType) -> Methods:
        found = type.user if self.user else type.admin
        if self.kind == "readAdmin":
            return Methods(tuple(m for m in found.collection if m == "GET"), tuple(m for m in found.resource if m == "GET"))
        return found

    def sees(self, type: ResourceType) -> bool:
        return not (type.user if self.user else type.admin).hidden

    def reads(self, field: Field) -> bool:
        return "r" in (field.user if self.user else field.admin)

    def acts_on(self, root: ResourceType, resource: Resource) -> bool:
        """Whether it may change or act on a row that it sees: readers change nothing, and users only look at what is merely public."""
        if self.kind == "readAdmin":
            return False
        return self.sees_all or "accountId" not in root.fields or self._owns(resource)

    def sees_link(self, type: ResourceType, link: Link, target: ResourceType) -> bool:
        return self.sees(target) and (link.cardinality != "ref" or self.reads(type.fields[link.via]))

    def sees_row(self, root: ResourceType, resource: Resource) -> bool:
        """The rule of the views' lists, for one row."""
        if self.sees_all:
            return True
        if root.name == "account":
            return resource.id == self.account
        if "accountId" not in root.fields:
            return True
        return self._owns(resource) or ("isPublic" in root.fields and resource.row.get("isPublic") is True)

    def _owns(self, resource: Resource) -> bool:
        account = resource.row.get("accountId")
        return account is not None and account == self.account


class Callers:
    """Finds the Caller of a request; remembers keys for a moment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._known: dict[str, tuple[float, Caller | None]] = {}
        self._default: tuple[float, Caller] | None = None

    async def of(self, authorization: str | None) -> Caller:
        """With security off, who has no valid key acts as the first admin; with it on, raises Unauthorized."""
        try:
            caller = await self._by_key(authorization) if authorization else None
        except (ViewsError, Unavailable):
            if self._secure:
                raise
            caller = None  # keys can't be looked up now: answered as one without a key is
        if caller is not None:
            return caller
        if self._secure:
            raise Unauthorized
        return await self._first_admin()

    @property
    def _secure(self) -> bool:
        return bool(self._services.settings.get("api.security.enabled", False))

    async def _by_key(self, authorization: str) -> Caller | None:
        now = time.monotonic()
        known = self._known.get(authorization)
        if known and now - known[0] < REMEMBERED:
            return known[1]
        caller = await self._looked_up(*_user_and_password(authorization))
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[authorization] = (now, caller)
        return caller

    async def _looked_up(self, user: str, password: str) -> Caller | None:
        if not user or "\0" in user:
            return None
        views, catalogue = self._services.views, self._services.catalogue
        credential = catalogue.type("credential")
        found = await views.rows(Query(credential, filters=(Filter(credential.fields["publicValue"], "eq", user),), limit=10))
        for each in await self._services.vault.opened_all([seen.resource for seen in found]):
            secret, owner = each.row.get("secretValue"), each.row.get("accountId")
            if each.state != "active" or each.kind not in KEY_KINDS or not isinstance(secret, str) or not isinstance(owner, int):
                continue
            if hmac.compare_digest(secret.encode(), password.encode()):
                account = await views.get("account", owner)
                if account is not None and account.resource.state == "active":
                    return Caller(owner, account.resource.kind)
        return None

    async def _first_admin(self) -> Caller:
        now = time.monotonic()
        if self._default and now - self._default[0] < REMEMBERED and self._default[1].account is not None:
            return self._default[1]
        account, first = self._services.catalogue.type("account"), self._services.admin
        active = (Filter(account.fields["kind"], "eq", "admin"), Filter(account.fields["state"], "eq", "active"))
        try:
            found = await self._services.views.rows(Query(account, filters=active, limit=1))
            if not found and first is not None and await self._services.views.get("account", first) is None:
                return Caller(first)  # the views are not that far: the same request would be another's a moment later
        except ViewsError:
            return self._default[1] if self._default else Caller(first)
        self._default = (now, Caller(found[0].resource.id if found else None))
        return self._default[1]


def _user_and_password(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
