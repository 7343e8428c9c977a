"""Every key of the configuration: its name, its bounds and its default. What each means stands in ``config.toml``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from monitor.config.kafka import KafkaKeys
from monitor.config.learning import ModelKeys, StatisticsKeys
from monitor.config.listening import HttpKeys, is_loopback
from monitor.config.oncall import AppriseKeys, ClusterKeys, OnCallKeys, PagerDutyKeys
from monitor.config.receivers import AuditKeys, EnforcerKeys, PatientKeys, WebhookKeys
from monitor.config.searching import ElasticsearchKeys
from monitor.config.storing import StoreKeys
from monitor.config.topics import TopicKeys
from monitor.config.values import (
    GIB,
    KIB,
    MIB,
    Count,
    Days,
    File,
    Folder,
    Hours,
    Keys,
    PlaceholderName,
    PlaceholderValues,
    RefusedValueError,
    named,
)

LEGAL_FLOOR_DAYS: Final = 180
"""Network logs are kept six months by law; retention goes no lower."""


_TOPIC: Final = re.compile(r"//[^/?]+/[^/?]")


def _meant(scheme: str) -> str:
    is_http = scheme in {"http", "https"}
    return "write http: alone; where it listens is http.listen" if is_http else "correct the URI"


def _source_uri(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if scheme in {"stdin", "http"} and colon and not rest:
        return text
    if (scheme == "file" and rest.partition("?")[0]) or (scheme == "kafka" and _TOPIC.match(rest)):
        return text
    raise RefusedValueError(
        "file:PATH, file:PATH?follow, stdin:, http: or kafka://HOST:PORT/TOPIC",
        f"write file:{text}" if not colon else _meant(scheme),
    )


class SourceKeys(Keys):
    uri: Annotated[str, AfterValidator(_source_uri)]
    format: Literal["ndjson", "combined"] = "ndjson"
    hashed: bool = False


class BatchKeys(Keys):
    rows_max: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    bytes_max: Annotated[int, Field(ge=64 * KIB, le=GIB)] = 32 * MIB
    wait_ms_max: Annotated[int, Field(ge=1, le=60_000)] = 200


class DecodeKeys(Keys):
    line_bytes_max: Annotated[int, Field(ge=KIB, le=64 * MIB)] = MIB


class ClockKeys(Keys):
    lateness_s_max: Annotated[float, Field(ge=0, le=3600)] = 2.0
    skew_s_max: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    step_s_max: Annotated[float, Field(gt=0, le=86_400)] = 60.0


class DuplicateKeys(Keys):
    window_events: Annotated[int, Field(ge=0, le=100_000_000)] = 1_000_000


class DeadLetterKeys(Keys):
    bytes_max: Annotated[int, Field(ge=256, le=MIB)] = 64 * KIB
    rows_max: Count = 1_000_000
    source_bytes_max: Annotated[int, Field(ge=MIB, le=1024 * GIB)] = GIB


class RuleKeys(Keys):
    builtin: bool = True
    folders: tuple[Folder, ...] = ()
    pipelines: tuple[File, ...] = ()
    placeholders: Annotated[dict[PlaceholderName, PlaceholderValues], Field(max_length=1000)] = {}  # noqa: RUF012 - nothing changes after loading
    window_events_max: Annotated[int, Field(ge=1000, le=100_000_000)] = 2_000_000
    watch_s: Annotated[float, Field(ge=0, le=3600)] = 0.0


def _public_key(text: str) -> str:
    try:
        found = len(bytes.fromhex(text))
    except ValueError:
        found = 0
    if found != 32:
        raise RefusedValueError("64 hexadecimal digits", "copy what `miniwatch rules keygen` printed")
    return text.lower()


class PackKeys(Keys):
    trusted_keys: tuple[Annotated[str, AfterValidator(_public_key)], ...] = ()
    canary_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    shadow_h: Annotated[float, Field(ge=0, le=24 * 90)] = 0.0
    canary_h: Annotated[float, Field(ge=0, le=24 * 90)] = 0.0


class PlaybookKeys(Keys):
    builtin: bool = True
    folders: tuple[Folder, ...] = ()


Weight = Annotated[float, Field(ge=0, le=100)]
PerHour = Annotated[int, Field(ge=0, le=50_000)]
Share = Annotated[float, Field(ge=0, le=1)]


class RiskKeys(Keys):
    half_life_h: Hours = 24.0
    informational: Weight = 0.0
    low: Weight = 8.0
    medium: Weight = 25.0
    high: Weight = 50.0
    critical: Weight = 80.0
    owner_share: Annotated[float, Field(ge=0, le=1)] = 0.5

    @field_validator("low", "medium", "high", "critical")
    @classmethod
    def _rising(cls, value: float, info: ValidationInfo) -> float:
        for name in ("informational", "low", "medium", "high"):
            if name in info.data and info.data[name] > value:
                raise RefusedValueError(f"at least the weight of {name} ({info.data[name]:g})", "raise one of the two")
        return value


class DueKeys(Keys):
    informational: Hours = 720.0
    low: Hours = 336.0
    medium: Hours = 168.0
    high: Hours = 72.0
    critical: Hours = 24.0


class IncidentKeys(Keys):
    gap_h: Hours = 24.0
    due_h: DueKeys = DueKeys()


class BudgetKeys(Keys):
    warn_per_h: PerHour = 1000
    throttle_per_h: PerHour = 300
    remove_per_h: PerHour = 20
    ban_per_h: PerHour = 5
    all_per_h: PerHour = 1000
    rule_per_h: PerHour = 200
    rule_share_max: Share = 0.02
    tier_share_max: Share = 0.05
    all_share_max: Share = 0.1
    apps_min: Count = 1_000
    people_min: Count = 10_000


class GuardKeys(Keys):
    input_late_s_max: Annotated[float, Field(ge=1, le=86_400 * 365)] = 900.0
    clock_off_s_max: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    store_stalled_s_max: Annotated[float, Field(ge=1, le=86_400)] = 30.0
    dead_letter_share_max: Share = 0.05
    dead_letter_lines_min: Count = 1_000
    new_rule_h: Annotated[float, Field(ge=0, le=24 * 30)] = 1.0
    new_rule_acts_max: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    learned_h_min: Annotated[int, Field(ge=0, le=24 * 90)] = 72
    duration_days_max: Annotated[int, Field(ge=1, le=365)] = 30
    shared_people_min: Annotated[int, Field(ge=2, le=64)] = 10
    shared_apps_min: Annotated[int, Field(ge=2, le=64)] = 20
    shared_throttle_h_max: Hours = 24.0


class HeldKeys(Keys):
    warn_h: Hours = 24.0
    throttle_h: Hours = 24.0
    remove_h: Hours = 72.0
    ban_h: Hours = 168.0
    remind_h: Hours = 4.0


class AppealsKeys(Keys):
    answer_within_days: Annotated[int, Field(ge=1, le=365)] = 7
    attempts_max: Annotated[int, Field(ge=1, le=100)] = 3
    remind_h: Hours = 24.0


class FeedbackKeys(Keys):
    mark_days: Annotated[int, Field(ge=1, le=366)] = 180


def _rfc3339(text: str) -> str:
    try:
        is_told = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        is_told = False
    if not is_told:
        raise RefusedValueError("a time with its zone", "write, say, 2026-03-02T22:00:00Z")
    return text


Moment = Annotated[str, AfterValidator(_rfc3339)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class MaintenanceKeys(Keys):
    begins: Moment
    ends: Moment
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    scope: Literal["", "AppId", "DeveloperId", "OpenId", "DeviceId", "Ip", "Range", "Domain"] = ""
    value: str = ""

    @property
    def begins_us(self) -> int:
        return (datetime.fromisoformat(self.begins) - _EPOCH) // timedelta(microseconds=1)

    @property
    def ends_us(self) -> int:
        return (datetime.fromisoformat(self.ends) - _EPOCH) // timedelta(microseconds=1)

    @field_validator("ends")
    @classmethod
    def _later(cls, value: str, info: ValidationInfo) -> str:
        begins = info.data.get("begins")
        if begins is not None and datetime.fromisoformat(value) <= datetime.fromisoformat(begins):
            raise RefusedValueError(f"a time after begins ({begins})", "correct one of the two")
        return value

    @field_validator("value")
    @classmethod
    def _of_somebody(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) != bool(info.data.get("scope")):
            raise RefusedValueError(
                "scope and value together, or neither", "name both, or leave both out for everything"
            )
        return value


class RetentionKeys(Keys):
    events_days: Days = LEGAL_FLOOR_DAYS
    findings_days: Days = 1095
    dead_letters_days: Days = LEGAL_FLOOR_DAYS
    hour_utc: Annotated[int, Field(ge=0, le=23)] = 3

    @field_validator("events_days", "findings_days")
    @classmethod
    def _keep_the_law(cls, value: int) -> int:
        if value < LEGAL_FLOOR_DAYS:
            raise RefusedValueError(
                f"at least {LEGAL_FLOOR_DAYS} days: network logs are kept six months by law",
                f"write {LEGAL_FLOOR_DAYS} or more",
            )
        return value


class SnapshotKeys(Keys):
    every_s: Annotated[float, Field(ge=1, le=3600)] = 30.0


class RespondKeys(Keys):
    wait_s_max: Annotated[float, Field(ge=0, le=3600)] = 30.0


class PeopleKeys(Keys):
    key_file: str = ""
    key: SecretStr | None = None  # from `key_file` or the environment

    @field_validator("key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            enough = value is None or len(bytes.fromhex(value.get_secret_value())) >= 16
        except ValueError:
            enough = False
        if not enough:
            raise RefusedValueError("at least 32 hexadecimal digits", "make one: openssl rand -hex 32")
        return value


class LogKeys(Keys):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class AllKeys(Keys):
    """The whole file, in its order."""

    data_dir: Annotated[Path, BeforeValidator(named)] = Path("var/miniwatch")
    mode: Literal["live", "shadow"] = "live"
    sources: tuple[SourceKeys, ...] = ()
    kafka: KafkaKeys = KafkaKeys()
    batch: BatchKeys = BatchKeys()
    decode: DecodeKeys = DecodeKeys()
    clock: ClockKeys = ClockKeys()
    duplicates: DuplicateKeys = DuplicateKeys()
    dead_letters: DeadLetterKeys = DeadLetterKeys()
    rules: RuleKeys = RuleKeys()
    statistics: StatisticsKeys = StatisticsKeys()
    models: ModelKeys = ModelKeys()
    playbooks: PlaybookKeys = PlaybookKeys()
    packs: PackKeys = PackKeys()
    risk: RiskKeys = RiskKeys()
    incidents: IncidentKeys = IncidentKeys()
    oncall: OnCallKeys = OnCallKeys()
    budgets: BudgetKeys = BudgetKeys()
    held: HeldKeys = HeldKeys()
    appeals: AppealsKeys = AppealsKeys()
    feedback: FeedbackKeys = FeedbackKeys()
    guards: GuardKeys = GuardKeys()
    maintenance: Annotated[tuple[MaintenanceKeys, ...], Field(max_length=100)] = ()
    retention: RetentionKeys = RetentionKeys()
    store: StoreKeys = StoreKeys()
    snapshots: SnapshotKeys = SnapshotKeys()
    respond: RespondKeys = RespondKeys()
    http: HttpKeys = HttpKeys()
    webhooks: tuple[WebhookKeys, ...] = ()
    pagerduty: tuple[PagerDutyKeys, ...] = ()
    alertmanagers: tuple[ClusterKeys, ...] = ()
    apprise: tuple[AppriseKeys, ...] = ()
    enforcers: tuple[EnforcerKeys, ...] = ()
    topics: tuple[TopicKeys, ...] = ()
    audit: AuditKeys = AuditKeys()
    elasticsearch: ElasticsearchKeys = ElasticsearchKeys()
    people: PeopleKeys = PeopleKeys()
    log: LogKeys = LogKeys()

    @field_validator("sources")
    @classmethod
    def _once_each(cls, value: tuple[SourceKeys, ...]) -> tuple[SourceKeys, ...]:
        _no_repeats("uri", [source.uri for source in value])
        return value

    @field_validator("http")
    @classmethod
    def _listens(cls, value: HttpKeys, info: ValidationInfo) -> HttpKeys:
        if not value.listen and any(source.uri == "http:" for source in info.data.get("sources", ())):
            raise RefusedValueError("http.listen, because http: is among the sources", "say where to listen")
        return value

    @field_validator("webhooks", "pagerduty", "alertmanagers", "apprise", "enforcers")
    @classmethod
    def _named_apart(cls, value: tuple[PatientKeys, ...]) -> tuple[PatientKeys, ...]:
        _no_repeats("name", [receiver.name for receiver in value])
        return value

    @field_validator("topics")
    @classmethod
    def _named_apart_from_enforcers(cls, value: tuple[TopicKeys, ...], info: ValidationInfo) -> tuple[TopicKeys, ...]:
        _no_repeats("name", [each.name for each in (*info.data.get("enforcers", ()), *value)])
        _no_repeats("topic", [f"{','.join(sorted(each.brokers))}/{each.topic}" for each in value])
        if sum(each.of == "findings" for each in value) > 1:
            raise RefusedValueError("one topic of findings", "remove the others: many can read one")
        return value

    @field_validator("topics")
    @classmethod
    def _password_not_readable(cls, value: tuple[TopicKeys, ...], info: ValidationInfo) -> tuple[TopicKeys, ...]:
        kafka = info.data.get("kafka")
        brokers = (broker for topic in value for broker in topic.brokers)
        if kafka is not None and kafka.sasl_mechanism == "PLAIN" and not kafka.tls:
            for broker in brokers:
                if not is_loopback(broker.rpartition(":")[0].strip("[]")):
                    remedy = "set it, or take SCRAM-SHA-512 for kafka.sasl_mechanism"
                    raise RefusedValueError("kafka.tls beside PLAIN, which sends the password readable", remedy)
        return value

    @field_validator("audit")
    @classmethod
    def _goes_somewhere(cls, value: AuditKeys, info: ValidationInfo) -> AuditKeys:
        known = {webhook.name for webhook in info.data.get("webhooks", ())}
        unknown = sorted(set(value.anchor_webhooks) - known)
        if unknown and "webhooks" in info.data:
            expected = f"names of [[webhooks]] in audit.anchor_webhooks, not {unknown[0]!r}"
            raise RefusedValueError(expected, "correct the name, or add the webhook")
        return value


def _no_repeats(key: str, values: list[str]) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise RefusedValueError(f"each {key} once; {repeated[0]!r} stands twice", "remove one of the two")
