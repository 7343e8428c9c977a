"""The one schema of an event: Elastic Common Schema names and ``miniprogram.*``, as columns of a Polars frame.

An event is a row; its fields are columns named by their dotted path. A column holds ``String``, ``Int64``, ``Float64``
or ``Boolean`` by its `Kind`; a field that an event does not carry is null. Lists and objects stand as JSON text. Fields
outside `FIELDS` are text. Times are integers: microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import polars as pl


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"  # RFC 3339 text or epoch milliseconds on the wire; Int64 microseconds in the column
    LIST = "list"  # of texts; JSON text in the column
    MAP = "map"  # of names to texts; reached by ``field.name``; JSON text in the column when named whole


DTYPES: Final = {
    Kind.TEXT: pl.String(),
    Kind.INTEGER: pl.Int64(),
    Kind.NUMBER: pl.Float64(),
    Kind.BOOLEAN: pl.Boolean(),
    Kind.TIME: pl.Int64(),
    Kind.LIST: pl.String(),
    Kind.MAP: pl.String(),
}


def _group(prefix: str, **kinds: str) -> dict[str, Kind]:
    return {f"{prefix}.{name}": Kind(kind) for kind, names in kinds.items() for name in names.split()}


FIELDS: Final[dict[str, Kind]] = {
    "@timestamp": Kind.TIME,
    "message": Kind.TEXT,
    **_group(
        "event", text="id dataset provider code action outcome original", integer="duration sequence", time="ingested"
    ),
    **_group(
        "miniprogram",
        text="app_id version stage category developer_id referrer_app_id page phase handler base_library package_hash "
        "api api_args scope permission target_app_id query extra_data",
        integer="scene user_gesture_age_ms",
        boolean="foreground",
    ),
    **_group("miniprogram.set_data", integer="bytes count workers"),
    **_group("user", text="id name"),
    **_group("device", text="id"),
    **_group("session", text="id"),
    **_group("auth", text="code token"),
    **_group("source", text="ip"),
    **_group("source.user", text="id"),
    **_group("client.user", text="id"),
    **_group("destination.user", text="id"),
    **_group("source.geo", text="country_iso_code"),
    **_group("host.os", text="name"),
    **_group("host", text="name"),
    **_group("user_agent", text="original"),
    **_group("url", text="original full scheme domain path query", integer="port"),
    **_group("http", text="version"),
    **_group("http.request", text="method referrer", integer="bytes", map="headers"),
    **_group("http.response", integer="status_code bytes", map="headers"),
    **_group("http.request.body", text="content sha256", boolean="truncated"),
    **_group("http.response.body", text="content sha256", boolean="truncated"),
    **_group("destination", text="domain ip", integer="port"),
    **_group("signature", text="scheme value nonce serial", integer="timestamp"),
    **_group("checksum", text="algorithm value"),
    **_group("payment", text="order_id transaction_id currency payer_id merchant_id state", integer="amount"),
    **_group("error", text="code message"),
    **_group("log", text="level"),
    **_group("resource", text="id owner_id"),
    **_group("process.memory", integer="bytes"),
    **_group("process.cpu", number="pct"),
    **_group("privacy", boolean="agreed", list="kinds"),
    **_group("redaction", list="kinds"),
}
"""Every known field and what it holds (`design.md` 4)."""

INDEX: Final = (
    "event.id",
    "event.dataset",
    "event.action",
    "event.outcome",
    "miniprogram.app_id",
    "miniprogram.developer_id",
    "user.id",
    "device.id",
    "source.ip",
)
"""Fields decoded for every event whether or not a rule names them: what lists filter by and findings name."""

PEOPLE: Final = (
    *("user.id", "device.id", "payment.payer_id", "resource.owner_id", "auth.code", "auth.token"),
    *("source.user.id", "client.user.id", "destination.user.id"),
)
"""Fields whose values are people or their credentials: keyed hashes from the door on."""

DATASETS: Final = tuple(
    f"miniprogram.{name}"
    for name in [
        "api",
        "network",
        "storage",
        "permission",
        "auth",
        "payment",
        "lifecycle",
        "package",
        "device",
        "log",
        "gateway",
        "platform",
    ]
)

# Columns that every batch carries beside its fields.
TIME: Final = "_time"  # Int64, microseconds: when the event happened; clamped where it claims the far future
ARRIVAL: Final = "_arrival"  # Int64, microseconds: when it reached the platform
WATERMARK: Final = "_watermark"  # Int64, microseconds: after this row, no event at or before this time is still awaited
HASH: Final = "_hash"  # UInt64 of the redacted line: orders events of one instant
LINE: Final = "_line"  # String: the redacted line
PARTITION: Final = "_partition"  # String: source and partition
POSITION: Final = "_position"  # Int64: where the line begins in its partition
LATE: Final = "_late"  # Boolean: behind the watermark; meets stateless rules only
FUTURE: Final = "_future"  # Boolean: its time was clamped
DUPLICATE: Final = "_duplicate"  # Boolean: seen before; never reaches a detector

INTERNAL: Final = {
    TIME: pl.Int64(),
    ARRIVAL: pl.Int64(),
    WATERMARK: pl.Int64(),
    HASH: pl.UInt64(),
    LINE: pl.String(),
    PARTITION: pl.String(),
    POSITION: pl.Int64(),
    LATE: pl.Boolean(),
    FUTURE: pl.Boolean(),
    DUPLICATE: pl.Boolean(),
}

MICROSECONDS: Final = 1_000_000
"""In a second."""

END_OF_TIME: Final = 2**62
"""A watermark past every event: the input has ended and every window may close."""


def kind_of(field: str) -> Kind:
    """What a field holds; unknown fields, registry fields (``app.*``) aside, are text."""
    return FIELDS.get(field, Kind.TEXT)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events in processing order: one row an event, a column a field, and the `INTERNAL` columns.

    Registry fields (``app.category``, ``app.declared_domains`` …) are columns too: ``String`` (lists as JSON text) or
    ``Boolean``, null where the app is not registered. `watermark` is the one after the last row; a batch may
    have no rows and only move it (a tick, or the end of the input at `END_OF_TIME`).
    """

    frame: pl.DataFrame
    watermark: int
