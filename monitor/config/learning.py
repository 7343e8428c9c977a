"""Keys of what is learned: statistics of what is usual, and models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from monitor.config.values import Count, Keys


class StatisticsKeys(Keys):
    enabled: bool = True
    false_per_thousand_apps_day: Annotated[float, Field(gt=0, le=1000)] = 1.0
    findings_per_h_max: Annotated[int, Field(ge=1, le=100_000)] = 200
    quiet_h: Annotated[int, Field(ge=1, le=24 * 7)] = 12
    keys_max: Annotated[int, Field(ge=1_000, le=50_000_000)] = 1_000_000
    keys_per_app_max: Annotated[int, Field(ge=10, le=1_000_000)] = 2_000
    pairs_max: Annotated[int, Field(ge=1_000, le=50_000_000)] = 1_000_000
    apps_max: Count = 200_000
    forget_days: Annotated[int, Field(ge=1, le=365)] = 21
    forget_shown_days: Annotated[int, Field(ge=1, le=3650)] = 60


class ModelKeys(Keys):
    enabled: bool = True
    train_days: Annotated[int, Field(ge=1, le=365)] = 14
    train_every_days: Annotated[int, Field(ge=0, le=365)] = 7
    train_hour_utc: Annotated[int, Field(ge=0, le=23)] = 4
    rows_max: Annotated[int, Field(ge=10_000, le=10_000_000)] = 500_000
    different_max: Annotated[int, Field(ge=10_000, le=100_000_000)] = 3_000_000
    shadow_h: Annotated[float, Field(ge=0, le=24 * 90)] = 72.0
    false_per_thousand_apps_day: Annotated[float, Field(gt=0, le=2.4)] = 1.0  # what is more common is learned as usual
    findings_per_h_max: Annotated[int, Field(ge=1, le=100_000)] = 100
    quiet_h: Annotated[int, Field(ge=1, le=24 * 7)] = 24
