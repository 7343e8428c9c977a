"""Keys of those who are told something over HTTP: people's webhooks, enforcers, and who keeps the anchors of the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from monitor.config.listening import is_loopback
from monitor.config.values import FileIfAny, Keys, RefusedValueError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Attempts = Annotated[int, Field(ge=1, le=1000)]
Wait = Annotated[float, Field(gt=0, le=86_400)]


SeverityWord = Literal["informational", "low", "medium", "high", "critical"]


def _safe(value: str, info: ValidationInfo) -> str:
    try:
        url = urlsplit(value)
        host, _port = url.hostname, url.port
    except ValueError:
        raise RefusedValueError("a URL", "write https://host/path") from None
    if url.scheme not in {"http", "https"} or not host:
        raise RefusedValueError("a URL", "write https://host/path")
    if url.scheme == "http" and not is_loopback(host) and info.data.get("plain_http") is False:
        raise RefusedValueError(
            "https, because it is told of apps and people",
            "use https (ca_file names an authority of your own); or, where nobody else can listen in, set plain_http = true",
        )
    if url.username or url.password:
        raise RefusedValueError("a URL without user and password", "the signature proves who sends: use secret_file")
    return value


SafeUrl = Annotated[str, AfterValidator(_safe)]


def is_overheard(url: str) -> bool:
    """Whether others can listen in on what is sent to an address: it goes over a network, and is not encrypted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _authorities(path: str) -> str:
    import ssl  # noqa: PLC0415 - most commands have no use for it

    try:
        if path:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise RefusedValueError("certificates of authorities, in PEM", "name the file that has them") from None
    except OSError:
        raise RefusedValueError("a file that can be read", "give this user the right to read it") from None
    return path


Authorities = Annotated[FileIfAny, AfterValidator(_authorities)]


class PatientKeys(Keys):
    """Whom something is sent to, and how patiently."""

    name: Name
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    attempts_max: Attempts = 12
    backoff_s_min: Annotated[float, Field(gt=0, le=3600)] = 1.0
    backoff_s_max: Wait = 900.0

    @field_validator("backoff_s_max")
    @classmethod
    def _not_below_the_first(cls, value: float, info: ValidationInfo) -> float:
        first = info.data.get("backoff_s_min", 0.0)
        if value < first:
            raise RefusedValueError(f"at least backoff_s_min ({first:g})", "raise it, or lower backoff_s_min")
        return value


class PostedKeys(PatientKeys):
    """Who is spoken to over HTTP: whose word on who it is counts beside the system's authorities, and whether others may listen in."""

    plain_http: bool = False
    ca_file: Authorities = ""


class ReceiverKeys(PostedKeys):
    """Where something is posted, signed."""

    url: SafeUrl
    secret_file: str = ""
    secret: SecretStr | None = None  # from `secret_file` or the environment, never from the file itself


class ToldKeys(PatientKeys):
    """Who is told of incidents."""

    min_severity: SeverityWord = "medium"
    when_unacknowledged: bool = False
    attempts_max: Attempts = 600
    backoff_s_max: Wait = 300.0


class WebhookKeys(ToldKeys, ReceiverKeys):
    """Who is told of incidents by a post, signed."""


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
