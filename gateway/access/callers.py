"""Who asks: what a request is known by becomes a Caller.

    key or registration token (basic, bearer) -> X-Account-Uuid, where that is trusted -> with security off: the first admin
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from commands.catalogue.fields import storable
from commands.errors import Refused
from commands.logic.registration_tokens import REGISTRATION_TOKEN, is_valid, public_of
from commands.resource import Resource
from commands.secrets.passwords import HASHED, matches
from eventstore import StoreError, Unavailable
from gateway.access.caller import Caller
from gateway.access.credentials import Presented, presented, same
from gateway.access.kinds import AGENT, KINDS, REGISTER
from gateway.access.rates import Rates, TooManyRequests, network_of
from gateway.current import current
from gateway.errors import Unauthorized
from gateway.services import Services
from projections.errors import ViewsError
from projections.query import Filter, Query

CALLER = "corral.caller"
"""Where a request's scope has who was found to ask; None: nobody good."""

REMEMBERED = 1.0
"""Seconds for which a key's account is not looked up again: so long may one that was taken back still be good."""

MOST_REMEMBERED = 10_000

MOST_ALIKE = 10
"""Credentials with one publicValue that are looked at, the newest first: a name may have had many passwords."""

MOST_AGENTS = 100

CATCH_UP = 1.0
"""Seconds for which an unknown key or token waits for the views to hold all that is in the log."""

AGENT_CATCH_UP = 5.0
"""The same, of an agent's key without an agent: what it then asks would be refused, and scripts don't ask again."""

CLIENT_OVERRIDE = "api.allow.client.override"
"""The setting under which a client (a proxy, rather) may say what its address and the server's URL are."""

BURST_SECONDS = 5
"""What a key may ask at once is what it may ask in so many seconds."""

K = TypeVar("K")
V = TypeVar("V")


class Callers:
    """Finds the Caller of a request; remembers keys for a moment, by a digest that is good in this process alone."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._salt = os.urandom(32)
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._trusted: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        """(network, key) that were good once: they are looked up also when others of the network fail too often."""
        self._default: tuple[float, Caller] | None = None
        self._asked, self._failed = Rates(), Rates()

    async def of(self, request: HTTPConnection) -> Caller:
        """With security off, who has no valid key acts as the first admin; with it on, raises Unauthorized.

        Raises Refused for who asks too often, and for accounts of kinds that have no API.
        """
        request.scope[CALLER] = None
        caller = await self._found(request)
        if caller.kind not in KINDS:
            raise Refused("Forbidden", f"an account of kind {caller.kind} has no API: it only owns things", status=403)
        request.scope[CALLER] = caller
        return caller

    async def still(self, request: HTTPConnection, caller: Caller) -> bool:
        """Whether who opened a stream may go on hearing: with their key taken away, not. What can't be looked up now is believed."""
        if not self._secure:
            return True  # whoever asks may hear everything
        try:
            return await self.of(request) == caller
        except TooManyRequests:
            return True  # it is good, and asks much beside
        except Refused:
            return False
        except (StoreError, ViewsError):
            return True

    async def registering(self, token: str) -> Caller | None:
        """Who brings this registration token, and may register machines for its account. None: nobody may with it (any more)."""
        return await self._surely(partial(self._by_token, token))

    async def _found(self, request: HTTPConnection) -> Caller:
        authorization = request.headers.get("authorization")
        if (given := presented(authorization)) is not None:
            caller = await self._by_key(given, network_of(peer(request, trusts_proxies=bool(self._setting(CLIENT_OVERRIDE)))))
            if caller is not None:
                return caller
        if self._setting("api.auth.header.enabled") and (uuid := request.headers.get("x-account-uuid")):
            caller = await self._by_uuid(uuid)
            if caller is not None:
                return caller
        if self._secure:
            raise Unauthorized(brought=given is not None)
        return await self._first_admin()

    @property
    def limited(self) -> dict[str, int]:
        """Limit -> how many requests were beyond it."""
        return {"requests": self._asked.refused, "failed_logins": self._failed.refused}

    def _setting(self, name: str) -> Any:
        return self._services.settings.get(name)

    @property
    def _secure(self) -> bool:
        return bool(self._setting("api.security.enabled"))

    # --- by key ---

    async def _by_key(self, given: Presented, network: str) -> Caller | None:
        digest = hashlib.blake2b(f"{given.access}:{given.secret}".encode("utf-8", "surrogatepass"), key=self._salt).digest()
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and now - known[0] < REMEMBERED:
            self._count(digest)
            return known[1]
        tries = self._secure and (network, digest) not in self._trusted
        if tries:
            self._take_try(network)
        try:
            caller = await self._looked_up(given)
        except (ViewsError, Unavailable):
            if tries:
                self._failed.give_back(network)
            if self._secure:
                raise
            return None  # keys can't be looked up now: answered as one without a key is
        if caller is None:
            self._known.pop(digest, None)
            self._trusted.pop((network, digest), None)
            return None
        if tries:
            self._failed.give_back(network)
        _put(self._known, digest, (now, caller))
        _put(self._trusted, (network, digest), None)
        self._count(digest)
        return caller

    async def _looked_up(self, given: Presented) -> Caller | None:
        if given.access == REGISTRATION_TOKEN:
            find = partial(self._by_token, given.secret)
        else:
            find = partial(self._by_secret, given)
        return await (self._surely(find) if self._secure else find())

    async def _surely(self, find: Callable[[], Awaitable[Caller | None]]) -> Caller | None:
        """Before somebody is told that there is no such key, the views hold what was in the log when they asked (they may be new)."""
        caller = await find()
        if caller is None:
            head = await self._services.store.head()
            if self._services.views.progress.position < head:
                await self._services.views.require(head, CATCH_UP)
                caller = await find()
        return caller

    async def _by_secret(self, given: Presented) -> Caller | None:
        kinds = str(self._setting("account.by.key.credential.types") or "").replace(" ", "").split(",")
        for credential in await self._credentials(given.access):
            if credential.kind in kinds and await _fits(credential, given.secret):
                return await self._caller_of(credential)
        return None

    async def _by_token(self, given: str) -> Caller | None:
        public, period = public_of(given), int(self._setting("registration.token.period.millis") or 0)
        now = int(self._services.store.now().timestamp() * 1000)
        for credential in await self._credentials(public) if public else ():
            secret = credential.row.get("secretValue")
            valid = isinstance(secret, str) and is_valid(given, public, secret, now, period)
            if credential.kind == REGISTRATION_TOKEN and valid and (owner := await self._caller_of(credential)) is not None:
                return Caller(owner.account, REGISTER)
        return None

    async def _credentials(self, public: str) -> list[Resource]:
        """The active ones with this publicValue as they are in the log now, opened. The views only say which those are."""
        if not storable(public):
            return []
        type = self._services.catalogue.type("credential")
        named = (Filter(type.fields["publicValue"], "eq", public), Filter(type.fields["removed"], "null"))
        query = Query(type, filters=named, descending=True, limit=MOST_ALIKE)
        seen = [await current(self._services, type, each.resource.id) for each in await self._services.views.rows(query)]
        live = [each.resource for each in seen if each is not None and each.resource.state == "active" and not each.resource.removed]
        return [each for each in await self._services.vault.opened_all(live) if each.row.get("publicValue") == public]

    async def _caller_of(self, credential: Resource) -> Caller | None:
        owner = credential.row.get("accountId")
        return await self._account(owner) if isinstance(owner, int) else None

    async def _account(self, number: int) -> Caller | None:
        """None: it is not active."""
        seen = await current(self._services, self._services.catalogue.type("account"), number)
        if seen is None or seen.resource.state != "active":
            return None
        kind = seen.resource.kind
        return Caller(number, kind, await self._agents_of(number) if kind == AGENT else ())

    async def _agents_of(self, account: int) -> tuple[int, ...]:
        """One that is new may have its key before the views know it."""
        type, views = self._services.catalogue.type("agent"), self._services.views
        query = Query(type, filters=(Filter(type.fields["accountId"], "eq", account),), limit=MOST_AGENTS)
        rows = await views.rows(query)
        if not rows and views.progress.position < (head := await self._services.store.head()):
            await views.wait_for(head, AGENT_CATCH_UP)
            rows = await views.rows(query)
        return tuple(seen.resource.id for seen in rows if not seen.resource.removed)

    # --- otherwise ---

    async def _by_uuid(self, uuid: str) -> Caller | None:
        """Who stands before us, and says whose request it is, was believed by a setting."""
        if not storable(uuid):
            return None
        type = self._services.catalogue.type("account")
        found = await self._services.views.rows(Query(type, filters=(Filter(type.fields["uuid"], "eq", uuid),), limit=1))
        return await self._account(found[0].resource.id) if found else None

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

    # --- how often ---

    def _count(self, key: bytes) -> None:
        allowed = float(self._setting("api.requests.per.second") or 0)
        if allowed and (seconds := self._asked.take(key, allowed, allowed * BURST_SECONDS)) > 0:
            raise TooManyRequests(f"this key may ask {allowed:g} times a second", seconds)

    @property
    def _failures_allowed(self) -> tuple[float, float]:
        """A second, and at once."""
        minute = float(self._setting("api.failed.logins.per.minute") or 0)
        return (minute / 60, minute) if minute else (1e9, 1e9)

    def _take_try(self, network: str) -> None:
        """Taken before the key is looked at, and given back if it is good: many tries at once are as many."""
        if (seconds := self._failed.take(network, *self._failures_allowed)) > 0:
            raise TooManyRequests(f"too many wrong keys came from {network}", seconds)


def peer(request: HTTPConnection, *, trusts_proxies: bool) -> str:
    """Who is really connected: what a client says of itself counts only where proxies are trusted, as it would give each try another."""
    forwarded = request.headers.get("x-forwarded-for") if trusts_proxies else None
    return forwarded.rpartition(",")[2].strip() if forwarded else (request.client.host if request.client else "")


async def _fits(credential: Resource, secret: str) -> bool:
    kept = credential.row.get("secretValue")
    if not isinstance(kept, str):
        return False
    if credential.kind in HASHED and kept.startswith("scrypt$"):
        return await asyncio.to_thread(matches, secret, kept)
    return same(kept, secret)


def _put(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST_REMEMBERED:
        kept.popitem(last=False)
