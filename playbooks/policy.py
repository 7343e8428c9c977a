"""What the operators have laid down: playbooks, bounds, and who or what is left alone until when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from detectors.finding import Entity, Scope
from playbooks.bounds import BudgetConfig, GuardConfig
from playbooks.incident import IncidentConfig
from playbooks.risk import RiskConfig
from playbooks.surroundings import Health
from playbooks.waiting import HeldConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from detectors.finding import Finding
    from playbooks.ladder import Playbook

Network: TypeAlias = IPv4Network | IPv6Network


class Exemption(msgspec.Struct, frozen=True, kw_only=True):
    """Do not act on this entity (its apps, for a developer; its addresses, for a range) before `expires`."""

    scope: Scope
    value: str
    expires: int


class RuleException(msgspec.Struct, frozen=True, kw_only=True):
    """One rule does not apply to this entity (or its apps, or its addresses) before `expires`."""

    rule: str
    scope: Scope
    value: str
    expires: int


class Exemptions:
    """Many exemptions, asked about one entity at a time; the cost does not grow with their number."""

    def __init__(self, exemptions: Iterable[Exemption | RuleException] = ()) -> None:
        self._entities: dict[Entity, int] = {}
        self._networks: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
        for exemption in exemptions:
            entity = Entity(exemption.scope, exemption.value)
            self._entities[entity] = max(exemption.expires, self._entities.get(entity, exemption.expires))
            network = _network(entity)
            if network is not None:
                known = self._networks[network.version, network.prefixlen]
                address = int(network.network_address)
                known[address] = max(exemption.expires, known.get(address, exemption.expires))

    def until(self, entity: Entity, owner: str | None, at: int) -> int | None:
        """When the last exemption that protects the entity `at` this time ends, or None when there is none."""
        ends = [self._entities.get(entity, at)]
        if owner is not None:
            ends.append(self._entities.get(Entity(Scope.DEVELOPER, owner), at))
        network = _network(entity) if self._networks else None
        if network is not None:
            ends.extend(self._overlapping(network))
        latest = max(ends)
        return latest if latest > at else None

    def _overlapping(self, network: Network) -> Iterator[int]:
        """Ends of exemptions of networks around this one, or inside it: an act on a range meets all its addresses."""
        for (version, length), known in self._networks.items():
            if version != network.version:
                continue
            if length <= network.prefixlen:
                around = network.supernet(new_prefix=length)
                expires = known.get(int(around.network_address))
                if expires is not None:
                    yield expires
            else:
                first, last = int(network.network_address), int(network.broadcast_address)
                yield from (expires for address, expires in known.items() if first <= address <= last)


def _network(entity: Entity) -> Network | None:
    """The addresses an entity stands for, if it is one or many of them and can be read."""
    if entity.scope not in {Scope.ADDRESS, Scope.RANGE}:
        return None
    try:
        return ip_network(entity.value, strict=False)
    except ValueError:
        return None


class Exceptions:
    """Rule exceptions, asked about one rule and entity at a time."""

    def __init__(self, exceptions: Iterable[RuleException] = ()) -> None:
        by_rule: dict[str, list[RuleException]] = defaultdict(list)
        for exception in exceptions:
            by_rule[exception.rule].append(exception)
        self._by_rule = {rule: Exemptions(members) for rule, members in by_rule.items()}

    def until(self, rule: str, entity: Entity, owner: str | None, at: int) -> int | None:
        """When the last exception of this rule for the entity ends, or None when there is none."""
        exemptions = self._by_rule.get(rule)
        return None if exemptions is None else exemptions.until(entity, owner, at)


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """A person has called benign what a rule says of an entity: it is not acted on before `expires`.

    `because` says by whom and why, in a clause.
    """

    rule: str
    entity: Entity
    expires: int
    because: str


class Allowances:
    """What has been called benign, asked about one finding at a time."""

    def __init__(self, allowances: Iterable[Allowance] = ()) -> None:
        self._last: dict[tuple[str, Entity], Allowance] = {}
        for one in sorted(allowances, key=lambda one: one.expires):
            self._last[one.rule, one.entity] = one

    def of(self, finding: Finding, at: int) -> Allowance | None:
        """The one that holds longest of those that speak for a finding at a time, or None."""
        found = self._last.get((finding.rule.id, finding.entity))
        return found if found is not None and found.expires > at else None


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The stop switch: until it ends, no act begins. Times are microseconds since 1970 UTC."""

    begins: int
    expires: int
    actor: str
    reason: str


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Maintenance from one time to another: of everything, or of one entity (its apps, for a developer; its addresses, for a range)."""

    begins: int
    expires: int
    reason: str
    scope: Scope | None = None
    value: str = ""


class Maintenance:
    """Windows of maintenance, asked about one entity at a time."""

    def __init__(self, windows: Iterable[Window] = ()) -> None:
        self._windows = [(window, _whom(window)) for window in windows]

    def open_for(self, entity: Entity, owner: str | None, at: int) -> Window | None:
        """The window in which an entity is at a time, or None."""
        for window, whom in self._windows:
            is_open = window.begins <= at < window.expires
            if is_open and (whom is None or whom.until(entity, owner, at) is not None):
                return window
        return None


def _whom(window: Window) -> Exemptions | None:
    """Whom a window is about; None for everybody."""
    if window.scope is None:
        return None
    return Exemptions([Exemption(scope=window.scope, value=window.value, expires=window.expires)])


Released: TypeAlias = Callable[[str, int], "str | None"]
"""Which version of an app the registry calls released at a time, as far as it knows."""


def nothing_released(_app: str, _at: int) -> str | None:
    """Where there is no registry."""
    return None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All that `decide` is told besides findings and history. `playbooks` are in the order in which they are asked.

    `trial` are the playbooks that answer findings of rules that are being tried; without any, `playbooks` do.
    `shadowed` says of rules that are in shadow why: what their findings lead to is only recorded.
    """

    playbooks: tuple[Playbook, ...]
    trial: tuple[Playbook, ...] = ()
    risk: RiskConfig = msgspec.field(default_factory=RiskConfig)
    incident: IncidentConfig = msgspec.field(default_factory=IncidentConfig)
    budget: BudgetConfig = msgspec.field(default_factory=BudgetConfig)
    held: HeldConfig = msgspec.field(default_factory=HeldConfig)
    guards: GuardConfig = msgspec.field(default_factory=GuardConfig)
    health: Health = msgspec.field(default_factory=Health)
    paused: Pause | None = None
    maintenance: Maintenance = msgspec.field(default_factory=Maintenance)
    shadowed: Mapping[str, str] = msgspec.field(default_factory=dict)
    exemptions: Exemptions = msgspec.field(default_factory=Exemptions)
    exceptions: Exceptions = msgspec.field(default_factory=Exceptions)
    allowances: Allowances = msgspec.field(default_factory=Allowances)
    protected: AbstractSet[Entity] = frozenset()
    released: Released = nothing_released
    owners_of_protected: AbstractSet[Entity] = frozenset()
