"""Single events put before a rule, as the daemon would put them: decoded, through the door, with the registry's columns."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors.event import (
    ARRIVAL,
    DUPLICATE,
    END_OF_TIME,
    FUTURE,
    HASH,
    INDEX,
    LATE,
    LINE,
    PARTITION,
    PEOPLE,
    TIME,
    WATERMARK,
    Batch,
)
from detectors.sigma import Explanation, Rule, explain
from monitor.cli.events import event_starting
from monitor.cli.leaving import USAGE, Refused
from monitor.cli.opening import record
from monitor.cli.spelling import as_written
from monitor.cli.window_telling import windows_told
from monitor.counting import counted
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.own_keys import people_of
from monitor.recall import KEPT
from monitor.recorded import may_have_record, open_record
from monitor.registry import Registry
from monitor.sources import RawBatch

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.stores import AppRecord

EVENTS_MAX: Final = 100
"""Events explained at once."""


class Given:
    """Lines to be judged: archived ones have been through the door, foreign ones go through it here."""

    def __init__(self, lines: bytes, *, kept: pl.DataFrame | None = None, people: PeopleHash | None = None) -> None:
        self.lines = lines
        self.kept = kept  # the columns that the archive keeps beside a line; None: it is foreign
        self.people = people or PeopleHash(secrets.token_bytes(32))


def archived(key: str, config: Path | None, data_dir: Path | None) -> Given:
    """An event of the archive, by its id or the beginning of one."""
    with record(config, data_dir) as opened:
        frame = event_starting(opened, key)
    if frame is None:
        raise Refused(f"there is no event {key}; give an event itself with @FILE or -", USAGE)
    return given_of(frame)


def given_of(event: pl.DataFrame) -> Given:
    """An event of the archive, a frame of one row."""
    return Given(event[LINE][0].encode() + b"\n", kept=event.select(TIME, LATE, *INDEX, *KEPT))


def foreign(lines: bytes, config: Config) -> Given:
    """Events from outside. People are hashed as the installation does it, where there is one."""
    people = None
    if may_have_record(config):
        store = open_record(config, read_only=True)
        try:
            people = people_of(config, store, notes=False)
        finally:
            store.close()
    return Given(lines if lines.endswith(b"\n") else lines + b"\n", people=people)


def explanations(rules: Sequence[Rule], given: Given, config: Config) -> Iterator[tuple[Rule, Explanation]]:
    """How each of the rules that are about single events judges each event."""
    for judge in _judges(rules):
        frame = rows_of(given, judge.needs, config)
        for row in range(frame.height):
            yield judge, as_written(judge, explain(judge, Batch(frame, END_OF_TIME), row))


def windows_of(rule: Rule, rules: Sequence[Rule], given: Given, config: Config) -> dict[str, Any]:
    """What the windows of a correlation held over the events; `rules` are it and all that it counts."""
    return windows_told(rule, rules, rows_of(given, frozenset[str]().union(*(each.needs for each in rules)), config))[0]


def registry_said(rules: Sequence[Rule], given: Given, config: Config) -> str | None:
    """What to do when a rule asks the registry about an app of which it has nothing; None when there is nothing to do."""
    judges = _judges(rules)
    asked = sorted({name for judge in judges for name in judge.needs if name.startswith("app.")})
    if not asked:
        return None
    known = {record.app_id for record in _records(config)}
    remedy = "so they are missing; `miniwatch apps import FILE` takes registry lines up"
    if not known:
        return f"The rule looks at {', '.join(asked)}, and no registry was imported into {config.data_dir}, {remedy}."
    apps = rows_of(given, judges[0].needs, config)["miniprogram.app_id"].drop_nulls().unique(maintain_order=True)
    strange = [app for app in apps if app not in known]
    if not strange:
        return None
    return f"The rule looks at {', '.join(asked)}, and the registry does not know {', '.join(strange)}, {remedy}."


def _judges(rules: Sequence[Rule]) -> list[Rule]:
    return [each for each in rules if not each.is_correlation]


def rows_of(given: Given, needs: frozenset[str], config: Config) -> pl.DataFrame:
    """The events as rows with every column that a rule needs."""
    own = frozenset(name for name in needs if not name.startswith(("app.", "catalogue.")))
    fields = own | Registry.fields(needs) | {*INDEX, *PEOPLE, "redaction.kinds"}
    decoder = NdjsonDecoder()
    decoded = decoder.decode(RawBatch("given", "ndjson", given.lines, 0, len(given.lines)), fields)
    if decoded.dead_letters:
        letter = decoded.dead_letters[0]
        raise Refused(f"this is no event ({letter.reason}): {letter.detail}", USAGE)
    if not 1 <= decoded.frame.height <= EVENTS_MAX:
        raise Refused(
            f"{counted(decoded.frame.height, 'event')}; from 1 to {EVENTS_MAX} can be explained at once", USAGE
        )
    kept = given.kept
    if kept is None:
        frame, time, late = Door(given.people, decoder).admit(decoded, fields).frame, pl.col("@timestamp"), False
    else:
        frame = decoded.frame.with_columns(kept.select(*INDEX, *KEPT))  # a redacted line does not give all of it back
        time, late = pl.lit(kept[TIME][0], dtype=pl.Int64), bool(kept[LATE][0])
    frame = frame.with_columns(
        time.alias(TIME),
        time.alias(ARRIVAL),
        pl.lit(-1, dtype=pl.Int64).alias(WATERMARK),
        pl.col(LINE).hash().alias(HASH),
        pl.lit("given").alias(PARTITION),
        pl.lit(late).alias(LATE),
        *(pl.lit(value=False).alias(name) for name in (FUTURE, DUPLICATE)),
    )
    return Registry(_records(config)).join(frame, needs)


def _records(config: Config) -> list[AppRecord]:
    """The installation's registry; an empty one where there is no installation."""
    if not may_have_record(config):
        return []
    store = open_record(config, read_only=True)
    try:
        return list(store.apps())
    finally:
        store.close()
