"""Which decisions a request is about: the filters of CrowdSec's Local API."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

import msgspec

from detectors.finding import Scope
from monitor.console.access import Refused
from monitor.console.crowdsec.decisions import origin_of, scenario_of, type_of
from playbooks.decision import Decision

WORDS_MAX: Final = 100
"""Words in one filter."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ANY_CASE: Final = {"ip": "Ip", "range": "Range", "country": "Country", "as": "AS"}
_ADDRESSES: Final = frozenset({Scope.ADDRESS, Scope.RANGE})


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A filter; None filters nothing. `within` turns the question about a network round: what lies in it, not what it lies in.

    `containing` and `not_containing` are in lower case.
    """

    scopes: frozenset[str] | None = None
    origins: frozenset[str] | None = None
    types: frozenset[str] | None = None
    values: frozenset[str] | None = None
    containing: tuple[str, ...] | None = None
    not_containing: tuple[str, ...] = ()
    network: Network | None = None
    within: bool = False

    def takes(self, decision: Decision) -> bool:
        """Whether a decision is meant."""
        return (
            (self.scopes is None or decision.scope.value in self.scopes)
            and (self.values is None or decision.value in self.values)
            and (self.origins is None or origin_of(decision) in self.origins)
            and (self.types is None or type_of(decision) in self.types)
            and self._takes_scenario(decision)
            and (self.network is None or self._takes_address(decision, self.network))
        )

    def _takes_scenario(self, decision: Decision) -> bool:
        if self.containing is None and not self.not_containing:
            return True
        scenario = scenario_of(decision).lower()
        if self.containing is not None and not any(word in scenario for word in self.containing):
            return False
        return not any(word in scenario for word in self.not_containing)

    def _takes_address(self, decision: Decision, asked: Network) -> bool:
        if decision.scope not in _ADDRESSES:
            return False
        try:
            meant = ipaddress.ip_network(decision.value, strict=False)
        except ValueError:
            return False
        inner, outer = (meant, asked) if self.within else (asked, meant)
        return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def wanted(query: Mapping[str, str], default_scopes: str | None = None) -> Wanted:
    """Read the filters of a query; what is not known is not looked at. Raises `Refused` for an address that is none."""
    scopes = query.get("scopes", query.get("scope", default_scopes))
    kinds = _words(scopes)
    return Wanted(
        scopes=None if kinds is None else frozenset(_ANY_CASE.get(kind.lower(), kind) for kind in kinds),
        origins=_set(query.get("origins")),
        types=_one(query.get("type")),
        values=_one(query.get("value")),
        containing=_lower(query.get("scenarios_containing")),
        not_containing=_lower(query.get("scenarios_not_containing")) or (),
        network=network_of(query["ip"] if "ip" in query else query["range"])
        if {"ip", "range"} & query.keys()
        else None,
        within=_is_within(query.get("contains")),
    )


def network_of(text: str) -> Network:
    """An address or range as a network. Raises `Refused` for what is neither."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise Refused(400, f"invalid address or range '{text[:64]}'") from None


def _is_within(text: str | None) -> bool:
    if text is None or text.lower() in {"1", "t", "true"}:
        return False
    if text.lower() in {"0", "f", "false"}:
        return True
    raise Refused(400, "contains is true or false")


def _words(text: str | None) -> list[str] | None:
    if text is None:
        return None
    words = text.split(",")
    if len(words) > WORDS_MAX:
        raise Refused(400, f"more than {WORDS_MAX} words in one filter")
    return words


def _set(text: str | None) -> frozenset[str] | None:
    words = _words(text)
    return None if words is None else frozenset(words)


def _one(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset({text})


def _lower(text: str | None) -> tuple[str, ...] | None:
    words = _words(text)
    return None if words is None else tuple(word.lower() for word in words)
