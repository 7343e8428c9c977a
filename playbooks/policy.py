"""What the operators have laid down: playbooks, bounds, and who or what is left alone until when."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from detectors.finding import Entity, Scope
from playbooks.decision import Tier
from playbooks.incident import IncidentConfig
from playbooks.risk import RiskConfig
from playbooks.waiting import HeldConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

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


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many acts of each tier may be put in force in any hour, and in all; what is above is held for a person."""

    warn_per_hour: int = 1_000
    throttle_per_hour: int = 300
    remove_per_hour: int = 20
    ban_per_hour: int = 5
    all_per_hour: int = 1_000

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")

    def per_hour(self, tier: Tier) -> int:
        """The bound of one tier. Watching costs nobody anything."""
        return self.all_per_hour if tier is Tier.OBSERVE else int(getattr(self, f"{tier.value}_per_hour"))


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All that `decide` is told besides findings and history. `playbooks` are in the order in which they are asked.

    `trial` are the playbooks that answer findings of rules that are being tried; without any, `playbooks` do.
    """

    playbooks: tuple[Playbook, ...]
    trial: tuple[Playbook, ...] = ()
    risk: RiskConfig = msgspec.field(default_factory=RiskConfig)
    incident: IncidentConfig = msgspec.field(default_factory=IncidentConfig)
    budget: BudgetConfig = msgspec.field(default_factory=BudgetConfig)
    held: HeldConfig = msgspec.field(default_factory=HeldConfig)
    exemptions: Exemptions = msgspec.field(default_factory=Exemptions)
    exceptions: Exceptions = msgspec.field(default_factory=Exceptions)
    protected: AbstractSet[Entity] = frozenset()
