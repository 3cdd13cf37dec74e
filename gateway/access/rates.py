"""How often somebody may ask: token buckets under a bound, the least recently used forgotten first."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from commands.errors import Refused

MOST = 10_000
"""Keys, or addresses, that are remembered at once."""

IPV6_NETWORK = 64
"""Bits of an address that are somebody's; the rest they choose as they like."""


_SLACK = 1e-9
"""What rounding may cost."""


class TooManyRequests(Refused):
    """Asked too often: not before `retry_after` seconds again."""

    def __init__(self, message: str, seconds: float) -> None:
        self.retry_after = max(1, math.ceil(seconds))
        super().__init__("Too Many Requests", f"{message}: ask again in {self.retry_after} s", status=429)


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """Buckets by whatever is counted. What fills a bucket is said with each call: the settings may change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._clock, self._most = clock, most
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self.refused = 0
        """How often somebody had to wait."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, who: Hashable, per_second: float, burst: float) -> float:
        """Takes one, unless it has to wait: then the seconds."""
        bucket = self._filled(who, per_second, burst)
        if (missing := 1 - bucket.left) > _SLACK:
            self.refused += 1
            return missing / per_second
        bucket.left -= 1
        return 0.0

    def give_back(self, who: Hashable) -> None:
        if (bucket := self._buckets.get(who)) is not None:
            bucket.left += 1

    def _filled(self, who: Hashable, per_second: float, burst: float) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(burst, now)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        bucket.left = min(burst, bucket.left + (now - bucket.at) * per_second)
        bucket.at = now
        self._buckets.move_to_end(who)
        return bucket


def network_of(address: str) -> str:
    """Who an address stands for: itself, or of IPv6 the network that its bearer has to choose from."""
    try:
        known = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(known, ipaddress.IPv6Address):
        mapped = known.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((known, IPV6_NETWORK), strict=False))
    return str(known)
