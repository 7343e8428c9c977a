"""Every key of the configuration: its name, its bounds and its default. What each means stands in ``config.toml``."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
LEGAL_FLOOR_DAYS: Final = 180
"""Network logs are kept six months by law; retention goes no lower."""


class RefusedValueError(ValueError):
    """A value of the right type that cannot be accepted: what is expected instead, and what to do."""

    def __init__(self, expected: str, remedy: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.remedy = remedy


class Keys(BaseModel):
    """One table of the configuration. Unknown keys are refused and nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=False)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise RefusedValueError("a folder that exists", f"create it or correct the path (seen from {Path.cwd()})")
    return path


def _file(path: Path) -> Path:
    if not path.is_file():
        raise RefusedValueError("a file that exists", f"create it or correct the path (seen from {Path.cwd()})")
    return path


def _placeholder_name(name: str) -> str:
    if not name or "%" in name or "\\" in name:
        raise RefusedValueError("a name without % and backslash", "write it without the percent signs around it")
    return name


def _named(text: object) -> object:
    if text == "":
        raise RefusedValueError("the path of a folder", 'write, say, "var/miniwatch"')
    return text


def _meant(scheme: str) -> str:
    is_http = scheme in {"http", "https"}
    return "write http: alone; where it listens is http.listen" if is_http else "correct the URI"


def _source_uri(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if scheme in {"stdin", "http"} and colon and not rest:
        return text
    if scheme == "file" and rest.partition("?")[0]:
        return text
    raise RefusedValueError(
        "file:PATH, file:PATH?follow, stdin: or http:", f"write file:{text}" if not colon else _meant(scheme)
    )


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_listen(text: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[v6]:port``; raises `ValueError` when it is neither."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(text)
    bare = host.removeprefix("[").removesuffix("]")
    if not bare or (":" in bare and host == bare):
        raise ValueError(text)
    return bare, int(port)


Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Days = Annotated[int, Field(ge=1, le=36_500)]
Hours = Annotated[float, Field(gt=0, le=24 * 365)]
Folder = Annotated[Path, BeforeValidator(_named), AfterValidator(_folder)]
File = Annotated[Path, AfterValidator(_file)]
PlaceholderName = Annotated[str, AfterValidator(_placeholder_name), Field(max_length=100)]
PlaceholderValues = Annotated[
    tuple[Annotated[str, Field(max_length=10_000)], ...], Field(min_length=1, max_length=10_000)
]


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
    placeholders: Annotated[dict[PlaceholderName, PlaceholderValues], Field(max_length=1000)] = {}
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


def _file_if_any(text: str) -> str:
    return str(_file(Path(text))) if text else text


FileIfAny = Annotated[str, AfterValidator(_file_if_any)]


class HttpKeys(Keys):
    listen_anywhere: bool = False
    tls_certificate: FileIfAny = ""
    tls_key: FileIfAny = ""
    tls_client_ca: FileIfAny = ""
    listen: str = "127.0.0.1:9464"
    body_bytes_max: Annotated[int, Field(ge=KIB, le=64 * MIB)] = 8 * MIB
    unpacked_bytes_max: Annotated[int, Field(ge=KIB, le=64 * MIB)] = 32 * MIB
    in_flight_max: Annotated[int, Field(ge=1, le=128)] = 32
    spool_bytes_max: Annotated[int, Field(ge=256 * MIB, le=16_384 * GIB)] = 4 * GIB
    requests_per_s_max: Annotated[float, Field(gt=0, le=100_000)] = 500.0
    failures_max: Annotated[int, Field(ge=1, le=1000)] = 10
    lockout_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    alive_s_max: Annotated[float, Field(ge=1, le=3600)] = 30.0
    ready_lag_bytes_max: Annotated[int, Field(ge=0)] = GIB

    @field_validator("listen")
    @classmethod
    def _safe(cls, value: str, info: ValidationInfo) -> str:
        if not value:
            return value
        try:
            host, _port = split_listen(value)
        except ValueError:
            raise RefusedValueError("host:port", 'write, say, "127.0.0.1:9464", or "" for no server') from None
        is_plain = not info.data.get("tls_certificate", "?")
        if not is_loopback(host) and is_plain and info.data.get("listen_anywhere") is False:
            raise RefusedValueError(
                "an address of this machine alone (127.0.0.1, [::1], localhost), or TLS",
                "set http.tls_certificate and http.tls_key; or listen on 127.0.0.1; or, where nobody else can listen in, set "
                "http.listen_anywhere = true",
            )
        return value

    @field_validator("tls_key")
    @classmethod
    def _belongs(cls, value: str, info: ValidationInfo) -> str:
        certificate = info.data.get("tls_certificate")
        if certificate is not None and bool(certificate) != bool(value):
            raise RefusedValueError("tls_certificate and tls_key together", "name both files, or neither")
        if certificate and value:
            _load_pair(certificate, value)
        return value

    @field_validator("tls_client_ca")
    @classmethod
    def _needs_tls(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("tls_certificate") == "":
            raise RefusedValueError("a certificate of our own beside it", "set http.tls_certificate and http.tls_key")
        return value


def _load_pair(certificate: str, key: str) -> None:
    import ssl  # noqa: PLC0415 - most commands have no use for it

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError):
        raise RefusedValueError(
            "a certificate and the key that belongs to it, in PEM, the key without a password", "correct one of the two"
        ) from None


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Attempts = Annotated[int, Field(ge=1, le=1000)]
Wait = Annotated[float, Field(gt=0, le=86_400)]


class ReceiverKeys(Keys):
    """Where something is posted, and how patiently."""

    name: Name
    url: str
    secret_file: str = ""
    secret: SecretStr | None = None  # from `secret_file` or the environment, never from the file itself
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    backoff_s_min: Annotated[float, Field(gt=0, le=3600)] = 1.0

    @field_validator("url")
    @classmethod
    def _safe(cls, value: str) -> str:
        try:
            url = urlsplit(value)
            host, _port = url.hostname, url.port
        except ValueError:
            raise RefusedValueError("a URL", "write https://host/path") from None
        if url.scheme not in {"http", "https"} or not host:
            raise RefusedValueError("a URL", "write https://host/path")
        if url.scheme == "http" and not is_loopback(host):
            raise RefusedValueError("https, because it is told of apps and people", "use https (http only to loopback)")
        if url.username or url.password:
            raise RefusedValueError(
                "a URL without user and password", "the signature proves who sends: use secret_file"
            )
        return value

    @field_validator("backoff_s_max", check_fields=False)
    @classmethod
    def _not_below_the_first(cls, value: float, info: ValidationInfo) -> float:
        first = info.data.get("backoff_s_min", 0.0)
        if value < first:
            raise RefusedValueError(f"at least backoff_s_min ({first:g})", "raise it, or lower backoff_s_min")
        return value


class WebhookKeys(ReceiverKeys):
    min_severity: Literal["informational", "low", "medium", "high", "critical"] = "medium"
    attempts_max: Attempts = 12
    backoff_s_max: Wait = 900.0


ScopeWord = Literal["AppId", "DeveloperId", "OpenId", "DeviceId", "Ip", "Range", "Domain"]
ActWord = Literal["warn", "throttle", "captcha", "function-ban", "force-update", "remove", "ban"]
TierWord = Literal["warn", "throttle", "remove", "ban"]


class EnforcerKeys(ReceiverKeys):
    kind: Literal["webhook"] = "webhook"
    scopes: Annotated[tuple[ScopeWord, ...], Field(min_length=1)] = ("AppId",)
    types: tuple[ActWord, ...] = ()
    tiers: tuple[TierWord, ...] = ()
    labels: tuple[str, ...] = ()
    rule_url: str = ""
    guide_url: str = ""
    at_once: Annotated[int, Field(ge=1, le=16)] = 4
    attempts_max: Attempts = 60
    backoff_s_max: Wait = 300.0


class AuditKeys(Keys):
    anchor_file: str = ""
    anchor_webhooks: tuple[str, ...] = ()
    anchor_every_h: Annotated[float, Field(ge=0.01, le=24 * 31)] = 24.0
    anchor_key_file: FileIfAny = ""

    @field_validator("anchor_file")
    @classmethod
    def _has_a_folder(cls, value: str) -> str:
        if value and not Path(value).parent.is_dir():
            raise RefusedValueError(
                "a file in a folder that exists", f"create {Path(value).parent}, or correct the path"
            )
        return value

    @field_validator("anchor_key_file")
    @classmethod
    def _signs(cls, value: str) -> str:
        if value:
            from monitor.signing import KeyRefused, read_key  # noqa: PLC0415 - most commands have no use for it

            try:
                read_key(Path(value))
            except (KeyRefused, OSError) as error:
                raise RefusedValueError(f"a key that signs: {error}", "make one: miniwatch rules keygen FILE") from None
        return value


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

    data_dir: Annotated[Path, BeforeValidator(_named)] = Path("var/miniwatch")
    mode: Literal["live", "shadow"] = "live"
    sources: tuple[SourceKeys, ...] = ()
    batch: BatchKeys = BatchKeys()
    decode: DecodeKeys = DecodeKeys()
    clock: ClockKeys = ClockKeys()
    duplicates: DuplicateKeys = DuplicateKeys()
    dead_letters: DeadLetterKeys = DeadLetterKeys()
    rules: RuleKeys = RuleKeys()
    playbooks: PlaybookKeys = PlaybookKeys()
    packs: PackKeys = PackKeys()
    risk: RiskKeys = RiskKeys()
    incidents: IncidentKeys = IncidentKeys()
    budgets: BudgetKeys = BudgetKeys()
    held: HeldKeys = HeldKeys()
    appeals: AppealsKeys = AppealsKeys()
    guards: GuardKeys = GuardKeys()
    maintenance: Annotated[tuple[MaintenanceKeys, ...], Field(max_length=100)] = ()
    retention: RetentionKeys = RetentionKeys()
    snapshots: SnapshotKeys = SnapshotKeys()
    http: HttpKeys = HttpKeys()
    webhooks: tuple[WebhookKeys, ...] = ()
    enforcers: tuple[EnforcerKeys, ...] = ()
    audit: AuditKeys = AuditKeys()
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

    @field_validator("webhooks", "enforcers")
    @classmethod
    def _named_apart(cls, value: tuple[ReceiverKeys, ...]) -> tuple[ReceiverKeys, ...]:
        _no_repeats("name", [receiver.name for receiver in value])
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
