"""Keys of those who are on call: within which time they are to answer, and by whom they are told beside webhooks."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from monitor.config.receivers import PostedKeys, SafeUrl, ToldKeys
from monitor.config.values import Hours, Keys, RefusedValueError


class AcknowledgeKeys(Keys):
    informational: Hours = 168.0
    low: Hours = 72.0
    medium: Hours = 24.0
    high: Hours = 1.0
    critical: Hours = 0.25


class ResolveKeys(Keys):
    informational: Hours = 2160.0
    low: Hours = 1440.0
    medium: Hours = 720.0
    high: Hours = 168.0
    critical: Hours = 72.0


class OnCallKeys(Keys):
    acknowledge_h: AcknowledgeKeys = AcknowledgeKeys()
    resolve_h: ResolveKeys = ResolveKeys()


class PagerDutyKeys(ToldKeys, PostedKeys):
    url: SafeUrl = "https://events.pagerduty.com/v2/enqueue"
    routing_key_file: str = ""
    routing_key: SecretStr | None = None  # from `routing_key_file` or the environment

    @field_validator("routing_key")
    @classmethod
    def _looks_like_one(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (len(key := value.get_secret_value()) == 32 and key.isalnum()):
            raise RefusedValueError(
                "a routing key of 32 letters and digits", "copy it from the integration", is_secret=True
            )
        return value


class ClusterKeys(ToldKeys, PostedKeys):
    urls: Annotated[tuple[SafeUrl, ...], Field(min_length=1, max_length=16)]
    username: str = ""
    password_file: str = ""
    password: SecretStr | None = None  # from `password_file` or the environment
    resend_s: Annotated[float, Field(ge=5, le=3600)] = 60.0
    hold_s: Annotated[float, Field(ge=60, le=86_400)] = 900.0

    @field_validator("hold_s")
    @classmethod
    def _outlives_a_resend(cls, value: float, info: ValidationInfo) -> float:
        if value < 2 * (every := info.data.get("resend_s", 60.0)):
            raise RefusedValueError(f"at least twice resend_s ({every:g})", "raise it, or lower resend_s")
        return value


class AppriseKeys(ToldKeys):
    target_file: str = ""
    target: SecretStr | None = None  # from `target_file` or the environment

    @field_validator("target")
    @classmethod
    def _is_one_address(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value()
        if value is not None and (len(text.split()) != 1 or not urlsplit(text).scheme):
            raise RefusedValueError(
                "one address as Apprise has them", "write, say, mailtos://… on one line", is_secret=True
            )
        return value
