"""How often a client may ask, and who has failed too often: both in bounded memory, whoever comes."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final, Generic, TypeVar

import msgspec

CLIENTS_MAX: Final = 10_000
"""Clients that are remembered, those that came last; of one that is forgotten nothing is held against it."""

UNKNOWN: Final = "unknown"

Key = TypeVar("Key")
Value = TypeVar("Value")


def network_of(address: str | None) -> str:
    """Whom an address stands for: itself, and of IPv6 the network of 64 bits that one customer has."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return UNKNOWN
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may do. The burst is what may come at once after a pause."""

    requests_per_s_max: float = 500.0
    failures_max: int = 10
    lockout_s: float = 300.0

    @property
    def burst(self) -> float:
        return max(2 * self.requests_per_s_max, 1.0)


class Pace:
    """A bucket of requests for each client, filled at the rate that it may ask."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left: Recent[str, tuple[float, float]] = Recent(CLIENTS_MAX)

    def wait_s(self, client: str, now_s: float) -> float:
        """Take one request of a client's bucket; how long it has to wait before it may ask, 0 where it need not."""
        rate, burst = self._limits.requests_per_s_max, self._limits.burst
        left, at = self._left.get(client) or (burst, now_s)
        left = min(burst, left + (now_s - at) * rate)
        is_free = left >= 1
        self._left.put(client, (left - 1 if is_free else left, now_s))
        return 0.0 if is_free else (1 - left) / rate


class Lockout:
    """Who failed too often within a while has to wait as long.

    It is of one client and one known token, or of one client and all that is no token of ours: a shipper whose token was revoked
    locks out neither its neighbours behind the same address nor its successor.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures: Recent[tuple[str, str], tuple[int, float]] = Recent(CLIENTS_MAX)

    def wait_s(self, client: str, token: str, now_s: float) -> float:
        """How long it is still locked out; 0 where it is not."""
        failures, since = self._failures.get((client, token)) or (0, now_s)
        return max(0.0, since + self._limits.lockout_s - now_s) if failures >= self._limits.failures_max else 0.0

    def failed(self, client: str, token: str, now_s: float) -> None:
        """Count a failed try; failures that lie a lockout's time apart do not add up."""
        failures, since = self._failures.get((client, token)) or (0, now_s)
        if now_s - since >= self._limits.lockout_s:
            failures = 0
        self._failures.put((client, token), (failures + 1, now_s))


class Recent(Generic[Key, Value]):
    """The values of those keys that were put last."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._keys_max:
            self._values.popitem(last=False)
