"""What is claimed of hosts, subnets and networks: as the log tells, and as appends in flight are about to. Part of the fleet.

A decision asks it for what is free, so that it can choose at once; what counts is the claim that its append takes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from eventstore import Claim, Held, Recorded

PREFIXES = ("global-", "host-", "network-", "networkService-", "subnet-", "vnet-")
"""How the scopes begin that a fleet loads claims of."""

LEASES = frozenset({"address", "hostPort", "linkPort", "mac", "macPrefix", "port"})
"""How the scopes of leases end (subnet-7/address): who loses the race for one item takes another."""

KINDS = LEASES | {"compute", "vnet", "agent-instance"}
"""How all scopes end that a fleet follows. Beside the leases, compute is counted, and the others have one holder, whom all find."""


def followed(scope: str) -> bool:
    return scope.rpartition("/")[2] in KINDS


def leased(scope: str) -> bool:
    return scope.rpartition("/")[2] in LEASES


class Claimed:
    """Counted shares and exclusive leases by scope."""

    def __init__(self) -> None:
        self._shares: dict[str, dict[str, int]] = {}
        self._totals: dict[str, int] = {}
        self._full: dict[str, int] = {}
        self._holders: dict[str, dict[str, str]] = {}
        self._noted: dict[str, dict[str, int]] = {}
        """Scope -> item -> amount of the appends in flight."""
        self._exhausted: dict[str, set[tuple[int, str]]] = {}
        """Ranges (size, first item) in which nothing was free, until something of their scope is."""

    # --- what decisions ask ---

    def used(self, scope: str) -> int:
        """Of a counted scope."""
        shares = self._shares.get(scope, {})
        noted = sum(amount for item, amount in self._noted.get(scope, {}).items() if item not in shares)
        return max(self._totals.get(scope, 0) + noted, self._full.get(scope, 0))

    def holders(self, scope: str) -> list[str]:
        """The items (streams) that have a share of a counted scope."""
        return list(self._shares.get(scope, ()))

    def held(self, scope: str) -> int:
        """How many items of an exclusive scope are held."""
        return len(self._holders.get(scope, ()))

    def held_by(self, scope: str) -> list[str]:
        """The streams that hold items of an exclusive scope."""
        return list(self._holders.get(scope, {}).values())

    def holder(self, scope: str, item: str) -> str | None:
        """The stream that holds an exclusive item; "" for one that an append in flight is about to take."""
        found = self._holders.get(scope, {}).get(item)
        return found if found is not None else "" if item in self._noted.get(scope, ()) else None

    def pick(self, scope: str, size: int, item_of: Callable[[int], str], start: int, but: Collection[str] = ()) -> str | None:
        """The first of the items 0..size-1 from `start` on, with wrap-around, that nobody holds; None when all are held.

        Constant time where the range has room; a range that was found full is not searched again before something is released.
        """
        if size <= 0:
            return None
        held, noted = self._holders.get(scope, {}), self._noted.get(scope, {})
        key = (size, item_of(0))
        if key in self._exhausted.get(scope, ()):
            return None
        for offset in range(size):
            item = item_of((start + offset) % size)
            if item not in held and item not in noted and item not in but:
                return item
        if not but:
            self._exhausted.setdefault(scope, set()).add(key)
        return None

    # --- what the engine tells ---

    def note(self, claim: Claim) -> None:
        """A claim that is being appended: it counts until `unclaim`, and then if the log has it."""
        self._noted.setdefault(claim.scope, {})[claim.item] = claim.amount

    def unclaim(self, claim: Claim) -> None:
        """The append of a noted claim is over."""
        noted = self._noted.get(claim.scope, {})
        noted.pop(claim.item, None)
        self._exhausted.pop(claim.scope, None)
        if not noted:
            self._noted.pop(claim.scope, None)

    def full(self, scope: str, used: int) -> None:
        """The log says that more is in use than this fleet has seen so far. Holds until it sees more of the scope, or is told to forget."""
        self._full[scope] = used

    def forget_full(self, scope: str) -> None:
        self._full.pop(scope, None)

    # --- what the log tells ---

    def claim(self, held: Held) -> None:
        """A claim that is in the log."""
        claim = held.claim
        if claim.limit is None:
            self._holders.setdefault(claim.scope, {})[claim.item] = held.holder
            return
        self._full.pop(claim.scope, None)
        shares = self._shares.setdefault(claim.scope, {})
        self._totals[claim.scope] = self._totals.get(claim.scope, 0) + claim.amount - shares.get(claim.item, 0)
        shares[claim.item] = claim.amount

    def take_claims(self, event: Recorded) -> None:
        """An event's releases, then its claims."""
        for release in event.releases:
            self._drop(release.scope, release.item, event.stream)
        for claim in event.claims:
            if followed(claim.scope):
                self.claim(Held(event.stream, claim))

    def _drop(self, scope: str, item: str, stream: str) -> None:
        self._full.pop(scope, None)
        self._exhausted.pop(scope, None)
        amount = self._shares.get(scope, {}).pop(item, None)
        if amount is not None:
            self._totals[scope] -= amount
        holders = self._holders.get(scope, {})
        if holders.get(item) == stream:
            del holders[item]
            if not holders:
                del self._holders[scope]
