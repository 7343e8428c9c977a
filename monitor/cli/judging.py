"""Single events put before a rule, as the daemon would put them: decoded, through the door, with the registry's columns."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

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
from monitor.app import rules_of
from monitor.cli.events import event_starting
from monitor.cli.leaving import USAGE, Refused
from monitor.cli.opening import record
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.registry import Registry
from monitor.sealing import Seal, key_at
from monitor.sources import RawBatch
from monitor.stores.places import Places
from monitor.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from monitor.config import Config

EVENTS_MAX: Final = 100
"""Events explained at once."""


class Given:
    """Lines to be judged: archived ones have been through the door, foreign ones go through it here."""

    def __init__(
        self, lines: bytes, *, kinds: str | None = None, is_clean: bool, people: PeopleHash | None = None
    ) -> None:
        self.lines = lines
        self.kinds = kinds
        self.is_clean = is_clean
        self.people = people or PeopleHash(secrets.token_bytes(32))


def archived(key: str, config: Path | None, data_dir: Path | None) -> Given:
    """An event of the archive, by its id or the beginning of one."""
    with record(config, data_dir) as opened:
        frame = event_starting(opened, key)
    if frame is None:
        raise Refused(f"there is no event {key}; give an event itself with @FILE or -", USAGE)
    return Given(frame[LINE][0].encode() + b"\n", kinds=frame["redaction.kinds"][0], is_clean=True)


def foreign(lines: bytes, config: Config) -> Given:
    """Events from outside. People are hashed with the installation's key where there is one."""
    key = Places(config.data_dir).people_key
    people = PeopleHash(key_at(key)) if config.people.key is None and key.is_file() else None
    return Given(lines if lines.endswith(b"\n") else lines + b"\n", is_clean=False, people=people)


def explanations(rule: Rule, given: Given, config: Config) -> Iterator[tuple[Rule, Explanation]]:
    """How a rule, or each rule that it counts, judges each event."""
    by_id = {each.id: each for each in rules_of(config).rules}
    judges = [by_id[base] for base in dict.fromkeys(rule.window.bases)] if rule.window else [rule]
    for judge in judges:
        frame = _frame(given, judge.needs, config)
        for row in range(frame.height):
            yield judge, explain(judge, Batch(frame, END_OF_TIME), row)


def _frame(given: Given, needs: frozenset[str], config: Config) -> pl.DataFrame:
    """The events as rows with every column that a rule needs."""
    own = frozenset(name for name in needs if not name.startswith(("app.", "catalogue.")))
    fields = own | Registry.fields(needs) | {*INDEX, *PEOPLE, "redaction.kinds"}
    decoder = NdjsonDecoder()
    decoded = decoder.decode(RawBatch("given", "ndjson", given.lines, 0, len(given.lines)), fields)
    if decoded.dead_letters:
        letter = decoded.dead_letters[0]
        raise Refused(f"this is no event ({letter.reason}): {letter.detail}", USAGE)
    if not 1 <= decoded.frame.height <= EVENTS_MAX:
        raise Refused(f"{decoded.frame.height} events; from 1 to {EVENTS_MAX} can be explained at once", USAGE)
    if given.is_clean:
        frame = decoded.frame.with_columns(pl.lit(given.kinds, dtype=pl.String).alias("redaction.kinds"))
    else:
        frame = Door(given.people, decoder).admit(decoded, fields).frame
    time = pl.col("@timestamp")
    frame = frame.with_columns(
        time.alias(TIME),
        time.alias(ARRIVAL),
        pl.lit(-1, dtype=pl.Int64).alias(WATERMARK),
        pl.col(LINE).hash().alias(HASH),
        pl.lit("given").alias(PARTITION),
        *(pl.lit(value=False).alias(name) for name in (LATE, FUTURE, DUPLICATE)),
    )
    return _registry(config).join(frame, needs)


def _registry(config: Config) -> Registry:
    """The installation's registry; an empty one where there is no installation."""
    places = Places(config.data_dir)
    if not places.database.is_file():
        return Registry(())
    store = SqliteStore(places.database, seal=Seal(key_at(places.seal_key)))
    try:
        return Registry(list(store.apps()))
    finally:
        store.close()
