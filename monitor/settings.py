"""What the pipeline needs to know of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from detectors.finding import Severity
from detectors.learned.detector import LearnedConfig
from detectors.learned.hours import HoursConfig
from detectors.learned.telling import TellingConfig
from detectors.statistical.choosing import ChoosingConfig
from detectors.statistical.cohort import CohortConfig
from detectors.statistical.detector import StatisticsConfig
from detectors.statistical.exfiltration import ExfiltrationConfig
from detectors.statistical.fanout import FanoutConfig
from detectors.statistical.levels import LevelsConfig
from detectors.statistical.novelty import NoveltyConfig
from detectors.statistical.outcomes import OutcomesConfig
from detectors.statistical.profile import ProfileConfig
from detectors.statistical.regularity import RegularityConfig
from detectors.statistical.series import SeriesConfig
from detectors.statistical.shown import ShownConfig
from monitor.alerts import Channel
from monitor.config import Config
from monitor.config.receivers import ToldKeys
from monitor.intake.timeline import Bounds
from monitor.notifiers.channels import ALERTMANAGER, APPRISE, PAGERDUTY, WEBHOOK
from playbooks.clocks import Targets


@dataclass(frozen=True, slots=True)
class Settings:
    """What the pipeline needs to know of the configuration."""

    bounds: Bounds = field(default_factory=Bounds)
    rows_max: int = 50_000
    bytes_max: int = 32 << 20
    wait_s: float = 0.2
    window_events: int = 1_000_000
    snapshot_s: float = 30.0
    idle_s: float = 3.0
    until_end: bool = False
    deliver: bool = True
    channels: tuple[Channel, ...] = ()
    targets: Targets | None = None
    clock_off_s: float = 60.0
    store_stalled_s: float = 30.0
    letters_lines_min: int = 1_000


def settings_of(config: Config, *, until_end: bool, deliver: bool) -> Settings:
    """What the pipeline needs to know of a configuration."""
    clock = config.clock
    return Settings(
        bounds=Bounds(clock.lateness_s_max, clock.skew_s_max, clock.step_s_max),
        rows_max=config.batch.rows_max,
        bytes_max=config.batch.bytes_max,
        wait_s=config.batch.wait_ms_max / 1000,
        window_events=config.duplicates.window_events,
        snapshot_s=config.snapshots.every_s,
        idle_s=max(1.0, clock.lateness_s_max),
        until_end=until_end,
        deliver=deliver,
        channels=channels_of(config),
        targets=targets_of(config),
        clock_off_s=config.guards.clock_off_s_max,
        store_stalled_s=config.guards.store_stalled_s_max,
        letters_lines_min=config.guards.dead_letter_lines_min,
    )


def statistics_of(config: Config) -> StatisticsConfig | None:
    """How statistics are set; None where there are none."""
    keys = config.statistics
    if not keys.enabled:
        return None
    apps, days, shown = keys.apps_max, keys.forget_days, keys.forget_shown_days
    return StatisticsConfig(
        series=SeriesConfig(
            keys_max=keys.keys_max, keys_per_app_max=keys.keys_per_app_max, apps_max=apps, forget_days=days
        ),
        fanout=FanoutConfig(pairs_max=keys.pairs_max, subjects_max=apps, forget_days=days),
        regularity=RegularityConfig(forget_days=days),
        outcomes=OutcomesConfig(names_max=apps, forget_days=days),
        levels=LevelsConfig(forget_days=days),
        cohort=CohortConfig(cohorts_max=apps, forget_days=days),
        shown=ShownConfig(values_max=keys.keys_max, apps_max=apps, forget_days=shown),
        novelty=NoveltyConfig(apps_max=apps, forget_days=shown),
        exfiltration=ExfiltrationConfig(calls_max=keys.pairs_max, apps_max=apps, forget_days=shown),
        profile=ProfileConfig(apps_max=apps, forget_days=shown),
        choosing=ChoosingConfig(
            false_per_thousand_apps_day=keys.false_per_thousand_apps_day,
            per_hour_max=keys.findings_per_h_max,
            quiet_h=keys.quiet_h,
        ),
    )


def learned_of(config: Config) -> LearnedConfig:
    """How models are asked."""
    keys = config.models
    return LearnedConfig(
        hours=HoursConfig(apps_max=config.statistics.apps_max, different_max=keys.different_max),
        telling=TellingConfig(
            false_per_1000_apps_day=keys.false_per_thousand_apps_day,
            per_hour_max=keys.findings_per_h_max,
            quiet_h=keys.quiet_h,
        ),
    )


def targets_of(config: Config) -> Targets:
    """Within which time incidents are to be acknowledged, answered and resolved."""
    tables = {
        "acknowledge_s": config.oncall.acknowledge_h,
        "respond_s": config.incidents.due_h,
        "resolve_s": config.oncall.resolve_h,
    }
    return Targets(
        **{
            name: {severity: int(getattr(keys, severity.value) * 3600) for severity in Severity}
            for name, keys in tables.items()
        }
    )


def channels_of(config: Config) -> tuple[Channel, ...]:
    """Who is told, and from which severity on."""
    channels: list[tuple[str, ToldKeys]] = [(f"{WEBHOOK}:{keys.name}", keys) for keys in config.webhooks]
    channels += [(f"{PAGERDUTY}:{keys.name}", keys) for keys in config.pagerduty]
    channels += [(f"{APPRISE}:{keys.name}", keys) for keys in config.apprise]
    channels += [
        (f"{ALERTMANAGER}:{keys.name}:{number}", keys)
        for keys in config.alertmanagers
        for number in range(1, len(keys.urls) + 1)
    ]
    return tuple(
        Channel(name, Severity(keys.min_severity), is_second=keys.when_unacknowledged) for name, keys in channels
    )
