"""What operators rule: the policy of playbooks, budgets, exemptions and exceptions, as it stands when a finding is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from threading import Lock

import msgspec

from detectors.event import END_OF_TIME
from detectors.finding import Entity, Scope, Severity
from monitor.config import Config
from monitor.moments import short
from monitor.playbook_files import LoadedPlaybooks
from monitor.stores import Standing, StandingKind, Store
from monitor.stores.appeals import AppealTerms
from monitor.stores.undos import MarkInForce, Verdict
from playbooks.bounds import BudgetConfig, GuardConfig
from playbooks.decision import Tier
from playbooks.incident import IncidentConfig
from playbooks.ladder import Playbook
from playbooks.policy import (
    Allowance,
    Allowances,
    Exceptions,
    Exemption,
    Exemptions,
    Maintenance,
    Pause,
    Policy,
    Released,
    RuleException,
    Window,
    nothing_released,
)
from playbooks.risk import RiskConfig
from playbooks.waiting import HeldConfig


class Rulings:
    """The policy: what the configuration says for good, and what operators have laid down, read again when it has changed.

    Any thread may ask.
    """

    def __init__(
        self,
        config: Config,
        playbooks: LoadedPlaybooks,
        store: Store,
        clock: Callable[[], int],
        trial: tuple[Playbook, ...] = (),
        protected: Callable[[], AbstractSet[Entity]] = frozenset,
        owners_of_protected: Callable[[], AbstractSet[Entity]] = frozenset,
        released: Released = nothing_released,
    ) -> None:
        self._store = store
        self._clock = clock
        self._protected = protected
        self._owners_of_protected = owners_of_protected
        self._version: int | None = None  # None: to be read in any case
        self._until = END_OF_TIME  # when the first rule in shadow acts again: their ends are not in the policy
        self._windows = configured_windows(config)
        self._lock = Lock()
        self._is_shadow = config.mode == "shadow"
        self._policy = Policy(
            playbooks=(),
            risk=risk_config(config),
            incident=incident_config(config),
            budget=budget_config(config),
            held=held_config(config),
            guards=guard_config(config),
            released=released,
        )
        self._current = self._policy
        self.take(playbooks.playbooks, trial)

    def take(self, playbooks: tuple[Playbook, ...], trial: tuple[Playbook, ...] = ()) -> None:
        """From the next finding on, these playbooks answer; those of `trial` answer for rules that are being tried."""
        found = tuple(playbook.in_shadow() for playbook in playbooks) if self._is_shadow else playbooks
        with self._lock:
            self._policy = msgspec.structs.replace(self._policy, playbooks=found, trial=trial)
            self._version = None

    def __call__(self) -> Policy:
        with self._lock:
            version = self._store.rulings_version()
            if version != self._version or self._clock() >= self._until:
                self._current = self._with_standings()
                self._version = version
            return self._current

    def _with_standings(self) -> Policy:
        by_kind: dict[StandingKind, list[Standing]] = {kind: [] for kind in StandingKind}
        now = self._clock()
        for standing in self._store.standings(now):
            by_kind[standing.kind].append(standing)
        shadows = by_kind[StandingKind.SHADOW]
        self._until = min((standing.expires for standing in shadows), default=END_OF_TIME)
        laid_down = [_window(standing) for standing in by_kind[StandingKind.MAINTENANCE]]
        return msgspec.structs.replace(
            self._policy,
            exemptions=Exemptions([_exemption(standing) for standing in by_kind[StandingKind.EXEMPTION]]),
            exceptions=Exceptions([_exception(standing) for standing in by_kind[StandingKind.EXCEPTION]]),
            allowances=allowances_of(self._store.marks_in_force(now, Verdict.BENIGN_KNOWN)),
            paused=_pause(by_kind[StandingKind.PAUSE]),
            maintenance=Maintenance([*self._windows, *laid_down]),
            shadowed={standing.rule or "": standing.reason for standing in shadows},
            protected=self._protected(),
            owners_of_protected=self._owners_of_protected(),
        )


def _exemption(standing: Standing) -> Exemption:
    return Exemption(scope=Scope(standing.scope), value=standing.value, expires=standing.expires)


def _exception(standing: Standing) -> RuleException:
    scope = Scope(standing.scope)
    return RuleException(rule=standing.rule or "", scope=scope, value=standing.value, expires=standing.expires)


def allowances_of(marks: Sequence[MarkInForce]) -> Allowances:
    """What marks say is known and benign, and so is not acted on again."""
    return Allowances(
        Allowance(
            rule=mark.rule,
            entity=mark.entity,
            expires=mark.expires,
            because=f"finding {mark.finding[:12]} was marked so by {mark.actor}, until {short(mark.expires)} UTC ({mark.reason})",
        )
        for mark in marks
        if mark.verdict is Verdict.BENIGN_KNOWN
    )


def _pause(pauses: Sequence[Standing]) -> Pause | None:
    """The stop that lasts longest."""
    if not pauses:
        return None
    last = max(pauses, key=lambda standing: standing.expires)
    return Pause(begins=last.created, expires=last.expires, actor=last.actor, reason=last.reason)


def _window(standing: Standing) -> Window:
    scope = Scope(standing.scope) if standing.scope else None
    return Window(
        begins=standing.begins, expires=standing.expires, reason=standing.reason, scope=scope, value=standing.value
    )


def configured_windows(config: Config) -> list[Window]:
    """The windows of maintenance that the configuration names."""
    return [
        Window(
            begins=keys.begins_us,
            expires=keys.ends_us,
            reason=keys.reason,
            scope=Scope(keys.scope) if keys.scope else None,
            value=keys.value,
        )
        for keys in config.maintenance
    ]


def risk_config(config: Config) -> RiskConfig:
    keys = config.risk
    return RiskConfig(
        half_life_s=int(keys.half_life_h * 3600),
        owner_share=keys.owner_share,
        **{severity.value: getattr(keys, severity.value) for severity in Severity},
    )


def incident_config(config: Config) -> IncidentConfig:
    due = {
        f"{severity.value}_due_s": int(getattr(config.incidents.due_h, severity.value) * 3600) for severity in Severity
    }
    return IncidentConfig(gap_s=int(config.incidents.gap_h * 3600), **due)


def budget_config(config: Config) -> BudgetConfig:
    keys = config.budgets
    tiers = [tier.value for tier in Tier if tier is not Tier.OBSERVE]
    return BudgetConfig(
        **{f"{name}_per_hour": getattr(keys, f"{name}_per_h") for name in (*tiers, "all", "rule")},
        rule_share=keys.rule_share_max,
        tier_share=keys.tier_share_max,
        all_share=keys.all_share_max,
        apps_min=keys.apps_min,
        people_min=keys.people_min,
    )


def guard_config(config: Config) -> GuardConfig:
    keys = config.guards
    return GuardConfig(
        input_late_s=max(keys.input_late_s_max, 2 * config.clock.lateness_s_max),
        clock_off_s=keys.clock_off_s_max,
        store_stalled_s=keys.store_stalled_s_max,
        dead_letter_share=keys.dead_letter_share_max,
        new_rule_s=keys.new_rule_h * 3600,
        learned_h=keys.learned_h_min,
        new_rule_acts=keys.new_rule_acts_max,
        duration_s=keys.duration_days_max * 86_400,
        shared_people=keys.shared_people_min,
        shared_apps=keys.shared_apps_min,
        shared_throttle_s=int(keys.shared_throttle_h_max * 3600),
    )


def held_config(config: Config) -> HeldConfig:
    tiers = [tier.value for tier in Tier if tier is not Tier.OBSERVE]
    return HeldConfig(**{f"{name}_s": int(getattr(config.held, f"{name}_h") * 3600) for name in tiers})


def appeal_terms(config: Config) -> AppealTerms:
    return AppealTerms(
        answer_within_s=config.appeals.answer_within_days * 86_400, attempts_max=config.appeals.attempts_max
    )


def laid_down_windows(config: Config, now: int) -> list[Standing]:
    """The windows of the configuration that are not over, in the form of those that people laid down."""
    return [
        Standing(
            id=f"config.{number}",
            kind=StandingKind.MAINTENANCE,
            scope=window.scope.value if window.scope else "",
            value=window.value,
            reason=window.reason,
            actor="config.toml",
            created=0,
            begins=window.begins,
            expires=window.expires,
        )
        for number, window in enumerate(configured_windows(config), 1)
        if window.expires > now
    ]
