"""Decisions as HAProxy's maps: whom they are about, and what is decided. Nothing here touches anything outside.

Subject maps (`SUBJECTS`) lead from what a request says of itself to a subject's name (``AppId:wx01``); ``decisions`` has what
is decided of a subject, as a whole or (``AppId:wx01/getLocation``) for one API. The form of its values is in ``miniwatch.lua``.
``people`` says which of `PEOPLE` have any line: in one that has none nobody is looked for, so nobody's id has to be hashed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from miniwatch_gateway.decisions import Decision, milliseconds
from miniwatch_gateway.functions import apis_of
from miniwatch_gateway.words import lowest_version, told

Tables = dict[str, dict[str, str]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SUBJECTS: Final = {
    "AppId": "apps",
    "DeveloperId": "developers",
    "OpenId": "users",
    "DeviceId": "devices",
    "Ip": "addresses",
    "Range": "addresses",
    "Domain": "domains",
}
"""The map in which a request finds a subject of each scope."""

PEOPLE: Final = ("users", "devices")
"""Subject maps whose keys are hashes."""

MAPS: Final = (*dict.fromkeys(SUBJECTS.values()), "people", "decisions")

DECISIONS_MAX: Final = 100_000
"""Decisions that are made ready once; of more, some are made ready again at every change."""

DECISIONS_PER_KEY_MAX: Final = 8
"""Of more decisions about one subject and API the strongest are enforced; of equals, those that end last."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.@:=+-]{1,128}")
_API: Final = re.compile(r"[A-Za-z0-9_.()-]{1,128}")
_VERSION: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,7}")
_KINDS: Final = {
    "throttle": "limit",
    "captcha": "captcha",
    "function-ban": "refuse",
    "force-update": "update",
    "remove": "refuse",
    "ban": "refuse",
}
_STRONGEST_FIRST: Final = ("refuse", "update", "captcha", "limit")


@dataclass(frozen=True, slots=True)
class NotEnforced:
    """A decision that this gateway cannot carry out, and why."""

    decision: str
    why: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """One decision made ready: the subject's name, the APIs meant (none: all), and its part of a value."""

    name: str
    apis: tuple[str, ...]
    kind: str
    expires: int
    value: str

    @property
    def order(self) -> tuple[int, int, str]:
        """The strongest first; of equals the one that ends last."""
        return _STRONGEST_FIRST.index(self.kind), -self.expires, self.value


class Unfit(Exception):
    """A decision that cannot be carried out."""


def tables(
    decisions: Iterable[Decision], apps_of: Mapping[str, Iterable[str]], appeal: str
) -> tuple[Tables, list[NotEnforced]]:
    """The maps that say exactly these decisions. `apps_of` has the apps of each developer."""
    found: Tables = {name: {} for name in MAPS}
    rulings: dict[str, list[Ruling]] = {}
    networks: dict[str, Network] = {}
    missed: list[NotEnforced] = []
    for decision in decisions:
        try:
            made = ruling(decision, appeal)
        except Unfit as error:
            missed.append(NotEnforced(decision.id, str(error)))
            continue
        if made is None:
            continue
        rulings.setdefault(made.name, []).append(made)
        if decision.scope in ("Ip", "Range"):
            networks[made.name] = _network(decision.value)
        elif decision.scope == "DeveloperId":
            own = sorted(app for app in apps_of.get(decision.value, ()) if _NAME.fullmatch(app))
            found["developers"].update(dict.fromkeys(own, made.name))
            if not own:
                missed.append(NotEnforced(decision.id, f"no app of developer {decision.value} is in the registry"))
        else:
            found[SUBJECTS[decision.scope]][key(decision)] = made.name
    found["addresses"] = {str(network): name for name, network in networks.items()}
    found["people"] = {name: name for name in PEOPLE if found[name]}
    for name in rulings:
        of_all = [one for each in (name, *_around(name, networks)) for one in rulings[each]]
        _write(found["decisions"], name, of_all)
    return found, missed


@lru_cache(maxsize=DECISIONS_MAX)
def ruling(decision: Decision, appeal: str) -> Ruling | None:
    """A decision made ready for the maps; None for a warning, which stops nobody. Raises `Unfit`."""
    if decision.type == "warn":
        return None
    if decision.type not in _KINDS or decision.scope not in SUBJECTS:
        raise Unfit(f"a {decision.type} of {decision.scope} is nothing that a gateway can do")
    apis = apis_of(decision.target) if decision.target else ()
    if not all(_API.fullmatch(api) for api in apis):
        raise Unfit("its target has characters that no API has")
    if decision.type == "function-ban" and not apis:
        raise Unfit("it says no function")
    if not _NAME.fullmatch(decision.id):
        raise Unfit("its id has characters that no id has")
    first, second = _particulars(decision)
    kind = _KINDS[decision.type]
    value = "|".join((str(decision.expires), kind, decision.id, first, second, told(decision, appeal)))
    return Ruling(f"{decision.scope}:{key(decision)}", apis, kind, decision.expires, value)


def key(decision: Decision) -> str:
    """The value as a request says it. Raises `Unfit`."""
    if decision.scope in ("Ip", "Range"):
        return str(_network(decision.value))
    value = decision.value.lower() if decision.scope == "Domain" else decision.value
    if not _NAME.fullmatch(value):
        raise Unfit("what it is about has characters that cannot stand in a map")
    return value


def _particulars(decision: Decision) -> tuple[str, str]:
    """The two fields that a kind has of its own."""
    match decision.type:
        case "throttle":
            return str(_whole(decision, "limit")), str(_whole(decision, "per_s"))
        case "force-update":
            if decision.scope != "AppId":
                raise Unfit("only an app has versions")
            lowest = lowest_version(decision)
            if not _VERSION.fullmatch(lowest):
                raise Unfit(f"{lowest!r} is no version that can be compared")
            return lowest, str(_deadline(decision))
        case _:
            return "", ""


def _whole(decision: Decision, name: str) -> int:
    value = decision.parameter(name)
    if type(value) is not int or not 1 <= value < 2**31:
        raise Unfit(f"its {name} is {value!r}")
    return value


def _deadline(decision: Decision) -> int:
    """In milliseconds; where none is said it has passed."""
    said = decision.parameter("deadline")
    try:
        return 0 if said is None else said * 1000 if isinstance(said, int) else milliseconds(said)
    except ValueError:
        raise Unfit(f"its deadline is {said!r}") from None


def _network(value: str) -> Network:
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise Unfit("it is about something that is no address and no network") from None


def _around(name: str, networks: Mapping[str, Network]) -> list[str]:
    """The names of the networks that an address or network lies in: HAProxy finds the narrowest alone."""
    inner = networks.get(name)
    if inner is None:
        return []
    return [wider for wider, outer in networks.items() if wider != name and _lies_in(inner, outer)]


def _lies_in(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen >= outer.prefixlen
        and (int(inner.network_address) ^ int(outer.network_address)) >> (inner.max_prefixlen - outer.prefixlen) == 0
    )


def _write(decisions: dict[str, str], name: str, rulings: list[Ruling]) -> None:
    """The lines of one subject: each decision under every name by which it is looked for."""
    lines: dict[str, list[Ruling]] = {}
    for one in rulings:
        for place in [f"{name}/{api}" for api in one.apis] or [name]:
            lines.setdefault(place, []).append(one)
    for place, found in lines.items():
        found.sort(key=lambda one: one.order)
        decisions[place] = "^".join(one.value for one in found[:DECISIONS_PER_KEY_MAX])
