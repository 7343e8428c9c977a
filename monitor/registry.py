"""What operators told us about each app, joined to events as of their time.

A registry is the lines of `miniwatch apps import`; each is true from its `as_of` until the app's next line. `Registry.join`
adds the columns that rules name: ``app.category``, ``app.declared_domains`` and so on, and the catalogue's facts about the
called API. Where an app is not registered they are null: unknown, which is not the same as nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors import catalogue
from detectors.event import TIME
from detectors.sigma.distinct import distinct
from monitor.decoders.times import instant
from monitor.stores import AppRecord

LINE_BYTES_MAX: Final = 1 << 20
"""A registry line longer than this is refused."""

PROBLEMS_MAX: Final = 1_000
"""Bad lines told one by one; the rest are counted in a last problem."""

TEXTS: Final = ("category", "developer_id", "name", "merchant_id")
FLAGS: Final = ("protected", "signed_requests")
LISTS: Final = (
    "declared_permissions",
    "required_private_infos",
    "required_background_modes",
    "privacy_kinds",
    "declared_domains",
    "embedded_app_ids",
    "qualifications",
)

COLUMNS: Final[dict[str, pl.DataType]] = {
    **{f"app.{name}": pl.String() for name in TEXTS},
    **{f"app.{name}": pl.Boolean() for name in FLAGS},
    **{f"app.{name}": pl.String() for name in LISTS},  # JSON text, as lists of events are
    "app.released_version": pl.String(),
    "app.version_status": pl.String(),
    **catalogue.COLUMNS,
}
"""Every column that `Registry.join` can add."""

VERSION_STATUSES: Final = ("review", "released", "gray", "retired")
UNKNOWN_CATEGORY: Final = "unknown"
_SCOPE: Final = "scope."
_ALWAYS: Final = -(2**62)
_NEVER: Final = 2**62

_Span = tuple[str, str | None, int, int]
"""A version, its status, and from when until when it is valid."""


class Problem(msgspec.Struct, frozen=True):
    """A line of a registry file that cannot be used, and why."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class _Version(msgspec.Struct, frozen=True):
    version: str
    release: str | int | None = None
    package_hash: str | None = None
    approved_at: str | int | None = None
    status: str | None = None
    valid_from: str | int | None = None
    valid_to: str | int | None = None


class _App(msgspec.Struct, frozen=True):
    """The keys that we know; others are kept in the document and shown."""

    app_id: str
    developer_id: str | None = None
    name: str | None = None
    category: str | None = None
    protected: bool | None = None
    declared_permissions: tuple[str, ...] | None = None
    required_private_infos: tuple[str, ...] | None = None
    required_background_modes: tuple[str, ...] | None = None
    privacy_kinds: tuple[str, ...] | None = None
    declared_domains: tuple[str, ...] | None = None
    embedded_app_ids: tuple[str, ...] | None = None
    qualifications: Any = None
    merchant_id: str | None = None
    signed_requests: bool | None = None
    versions: tuple[_Version, ...] = ()
    as_of: str | int | None = None


def parse_registry(lines: Iterable[bytes], now: int) -> tuple[list[AppRecord], list[Problem]]:
    """Registry lines as records, and what is wrong with the lines that are none. `now` is the `as_of` of lines without one."""
    records: list[AppRecord] = []
    problems: list[Problem] = []
    uncounted = 0
    decode = msgspec.json.Decoder(_App).decode
    number = 0
    for number, raw in enumerate(lines, start=1):
        line = raw.strip().removeprefix(b"\xef\xbb\xbf")
        if not line:
            continue
        try:
            if len(line) > LINE_BYTES_MAX:
                raise ValueError(f"{len(line)} bytes; at most {LINE_BYTES_MAX} are expected")  # noqa: TRY301 - told like the others
            app = decode(line)
            _check(app)
            as_of = _instant(app.as_of, "as_of")
            records.append(AppRecord(app_id=app.app_id, as_of=now if as_of is None else as_of, document=line.decode()))
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            if len(problems) < PROBLEMS_MAX:
                problems.append(Problem(number, str(error)))
            else:
                uncounted += 1
    if uncounted:
        problems.append(Problem(number, f"and {uncounted} more bad lines before this one"))
    return records, problems


class Registry:
    """All registry lines, ready to be joined to batches of events."""

    def __init__(self, records: Sequence[AppRecord], facts: catalogue.Catalogue | None = None) -> None:
        self._facts = facts or builtin_catalogue()
        ordered = sorted(enumerate(records), key=lambda item: (item[1].app_id, item[1].as_of, item[0]))
        latest = {(record.app_id, record.as_of): record for _, record in ordered}
        kept = list(latest.values())
        decode = msgspec.json.Decoder(_App).decode
        apps = [decode(record.document) for record in kept]
        self._as_of = np.array([record.as_of for record in kept], dtype=np.int64)
        self._table = _table(apps)
        self._versions = [app.versions for app in apps]
        self._known_spans: dict[int, list[_Span]] = {}
        self._apps = pl.Series("app", [record.app_id for record in kept], dtype=pl.String)
        self._over = np.append(self._as_of[1:], _NEVER)[: len(kept)]  # when the app's next line comes
        self._over[(self._apps != self._apps.shift(-1)).fill_null(value=True).to_numpy()] = _NEVER
        self._ranges = (
            pl.DataFrame({"app": self._apps, "row": pl.int_range(len(kept), dtype=pl.Int64, eager=True)})
            .group_by("app", maintain_order=True)
            .agg(pl.col("row").min().alias("first"), (pl.col("row").max() + 1).alias("after"))
        )

    def __len__(self) -> int:
        """How many apps are registered."""
        return self._ranges.height

    def protected(self, at: int) -> list[str]:
        """Apps to which nothing may be done automatically: the line that is true at a time says so, or a later one."""
        return self._apps.filter(self._protecting(at)).unique().to_list()

    def owners_of_protected(self, at: int) -> list[str]:
        """Developers of such apps, where the registry names them."""
        return self._lines("app.developer_id").filter(self._protecting(at)).drop_nulls().unique().to_list()

    def _protecting(self, at: int) -> pl.Series:
        """Lines that call their app protected and are not over."""
        return self._lines("app.protected").fill_null(value=False) & pl.Series(self._over > at, dtype=pl.Boolean)

    def _lines(self, name: str) -> pl.Series:
        """A column of the lines, without what is true of an app that has none."""
        return self._table[name].head(len(self._as_of))

    def released(self, app: str, at: int) -> str | None:
        """The version of an app that is released at a time, by the line that is true then."""
        found = self._ranges.filter(pl.col("app") == app)
        rows = range(found["first"].item(), found["after"].item()) if found.height else range(0)
        row = max((row for row in rows if self._as_of[row] <= at), default=None)
        return None if row is None else _released(self._spans_of(row), at)

    @staticmethod
    def fields(needed: frozenset[str]) -> frozenset[str]:
        """The event fields that `join` must find in a frame to add these columns."""
        own = needed & COLUMNS.keys()
        fields: set[str] = set()
        if any(name.startswith("app.") for name in own):
            fields.add("miniprogram.app_id")
        if "app.version_status" in own:
            fields.add("miniprogram.version")
        if own & catalogue.COLUMNS.keys():
            fields.add("miniprogram.api")
        return frozenset(fields)

    def join(self, frame: pl.DataFrame, needed: frozenset[str]) -> pl.DataFrame:
        """The frame with those of the needed columns that are the registry's, as of each event's time; other names are left alone."""
        added: list[pl.Series] = []
        wanted = sorted(needed & COLUMNS.keys())
        if any(name.startswith("app.") for name in wanted):
            rows = self._rows(frame)
            plain = [name for name in wanted if name in self._table.columns]
            lines = rows.fill_null(len(self._as_of))
            added.extend(self._table.get_column(name)[lines] for name in plain)
            if "app.released_version" in wanted:
                added.append(self._released(frame, rows))
            if "app.version_status" in wanted:
                added.append(self._status(frame, rows))
        facts = [name for name in wanted if name in catalogue.COLUMNS]
        if facts:
            added.extend(self._facts.lookup(frame["miniprogram.api"]).select(facts).get_columns())
        return frame.with_columns(added)

    def _rows(self, frame: pl.DataFrame) -> pl.Series:
        """The registry line in force for each event, or null: a binary search over each app's lines, all events at once."""
        if not len(self._as_of):
            return pl.repeat(None, frame.height, dtype=pl.Int64, eager=True)
        apps, codes = distinct(frame["miniprogram.app_id"])
        ranges = apps.alias("app").to_frame().join(self._ranges, on="app", how="left", maintain_order="left")
        # Of an app without lines, and at the end of an event without an app, the range is empty.
        first, after = (np.append(ranges[name].fill_null(0).to_numpy(), 0) for name in ("first", "after"))
        low, high = first[codes], after[codes]
        registered = high > low
        time = frame[TIME].to_numpy()
        while (high - low > 1).any():
            middle = (low + high) // 2
            is_later = self._as_of[np.minimum(middle, len(self._as_of) - 1)] <= time
            is_open = high - low > 1
            low = np.where(is_open & is_later, middle, low)
            high = np.where(is_open & ~is_later, middle, high)
        in_force = registered & (self._as_of[low] <= time)
        return pl.select(pl.when(pl.Series(in_force)).then(pl.Series(low))).to_series().cast(pl.Int64)

    def _released(self, frame: pl.DataFrame, rows: pl.Series) -> pl.Series:
        """The version that was released when each event happened, looked up once per line and time it could change."""
        name = "app.released_version"
        spans = self._spans(rows)
        spans = spans.filter(pl.col("status") == "released").sort("from", maintain_order=True)
        events = pl.DataFrame({"row": rows, "time": frame[TIME]}).with_row_index("event")
        joined = events.sort("time").join_asof(
            spans, left_on="time", right_on="from", by="row", strategy="backward", check_sortedness=False
        )
        version = pl.when(pl.col("time") < pl.col("to")).then(pl.col("version"))
        return joined.sort("event").select(version.alias(name)).to_series()

    def _status(self, frame: pl.DataFrame, rows: pl.Series) -> pl.Series:
        """The status of the version that each event says it ran."""
        spans = self._spans(rows).unique(["row", "version"], keep="last", maintain_order=True)
        versions, codes = distinct(frame["miniprogram.version"])
        places = pl.DataFrame({"version": versions, "place": np.arange(len(versions))})
        pair = pl.col("row") * (len(versions) + 1) + pl.col("place")
        known = spans.join(places, on="version").select(pair.alias("pair"), "status")
        events = pl.DataFrame({"row": rows, "place": codes}).select(pair.alias("pair"))
        return events.join(known, on="pair", how="left", maintain_order="left")["status"].alias("app.version_status")

    def _spans(self, rows: pl.Series) -> pl.DataFrame:
        """Versions with their validity, of the registry lines that occur here."""
        found = [(row, *span) for row in rows.drop_nulls().unique().to_list() for span in self._spans_of(row)]
        schema = {"row": pl.Int64, "version": pl.String, "status": pl.String, "from": pl.Int64, "to": pl.Int64}
        return pl.DataFrame(found, schema=schema, orient="row")

    def _spans_of(self, row: int) -> list[_Span]:
        """A line's versions, read when first asked for: most apps of a registry are never seen by a process."""
        if row not in self._known_spans:
            self._known_spans[row] = _spans(self._versions[row])
        return self._known_spans[row]


def released_version(document: str, at: int) -> str | None:
    """The version that is released at a time, by one line of the registry."""
    return _released(_spans(msgspec.json.decode(document, type=_App).versions), at)


def _released(spans: Iterable[_Span], at: int) -> str | None:
    """The one released last whose time has begun, if it is not over."""
    begun = [span for span in spans if span[1] == "released" and span[2] <= at]
    version, _status, _begins, ends = max(begun, key=lambda span: span[2], default=("", None, 0, at))
    return version if at < ends else None


def _check(app: _App) -> None:
    """Raises `ValueError` for what the types of a line cannot say."""
    if not app.app_id.strip():
        raise ValueError("app_id is empty; the app's id is expected")
    for version in app.versions:
        if version.status is not None and version.status not in VERSION_STATUSES:
            raise ValueError(f"status is {version.status!r}; one of {', '.join(VERSION_STATUSES)} is expected")
        for key in ("approved_at", "valid_from", "valid_to"):
            _instant(getattr(version, key), key)


@functools.cache
def builtin_catalogue() -> catalogue.Catalogue:
    """The catalogue that comes with the program."""
    return catalogue.parse_catalogue(resources.files("detectors").joinpath("catalogue.json").read_bytes())


def _table(apps: Sequence[_App]) -> pl.DataFrame:
    """One row a registry line, one column a plain field; after the last line, what is true of an app that has none."""
    columns: dict[str, pl.Series] = {}
    for name in (*TEXTS, *FLAGS, *LISTS):
        full = f"app.{name}"
        values = [_list(app, name) if name in LISTS else getattr(app, name) for app in apps]
        columns[full] = pl.Series(full, [*values, None], dtype=COLUMNS[full])
    return pl.DataFrame(columns).with_columns(pl.col("app.category").fill_null(UNKNOWN_CATEGORY))


def _list(app: _App, name: str) -> str | None:
    """A list of an app as JSON text. Permissions stand in both spellings, ``scope.camera`` and ``camera``: events and registries use either."""
    value = getattr(app, name)
    if not isinstance(value, list | tuple):
        return None
    texts = [item for item in value if isinstance(item, str)]
    if name != "declared_permissions":
        return msgspec.json.encode(texts).decode()
    short = [text.removeprefix(_SCOPE) for text in texts]
    return msgspec.json.encode(sorted({*short, *(_SCOPE + text for text in short)})).decode()


def _spans(versions: Sequence[_Version]) -> list[_Span]:
    """Each version with its status and from when until when it is valid; where the file does not say, always."""
    spans = []
    for version in versions:
        begins = _instant(version.valid_from, "valid_from")
        ends = _instant(version.valid_to, "valid_to")
        spans.append(
            (version.version, version.status, _ALWAYS if begins is None else begins, _NEVER if ends is None else ends)
        )
    return spans


def _instant(value: str | float | None, key: str) -> int | None:
    """A time of the registry as microseconds; raises `ValueError` when it is not one."""
    if value is None:
        return None
    micros = instant(value)
    if micros is None:
        raise ValueError(f"{key} is {value!r}; RFC 3339 with a zone, or milliseconds since 1970, is expected")
    return micros
