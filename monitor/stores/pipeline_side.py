"""What the pipeline asks of the record and writes into it: a part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from detectors.finding import Entity
from monitor.audit import AuditEntry
from monitor.sealing import Seal
from monitor.stores import (
    Controlled,
    LetterBounds,
    Mark,
    Marked,
    Progress,
    Segment,
    Turn,
    clocks,
    deciding,
    operating,
    reading,
    rule_ages,
    standings,
    tables,
)
from monitor.stores.connection import Database
from monitor.stores.deciding import Tell, counter
from monitor.stores.turn import LAST_TIME, are_committed, last_turn, line_of, write_turns
from playbooks.clocks import Clock
from playbooks.decision import Decision
from playbooks.incident import Incident
from playbooks.risk import Risk


class PipelineSide:
    """Turns and what they rest on, and the archive's manifest."""

    _database: Database
    _stream: str
    _seal: Seal
    _tell: Tell
    _again_us: int | None
    _letter_bounds: LetterBounds
    _uncertain: Sequence[Turn]

    def last_turn(self) -> int:
        with self._database.reading() as connection:
            return last_turn(connection, self._stream)

    def last_time(self) -> int:
        """When the last turn was taken, by the daemon's clock; 0 before the first."""
        with self._database.reading() as connection:
            return counter(connection, LAST_TIME)

    def progress(self) -> dict[str, Progress]:
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.progress)).mappings()
            return {row["partition"]: Progress(**row) for row in rows}

    def last_mark(self) -> Mark | None:
        with self._database.reading() as connection:
            return reading.last_mark(connection, self._stream)

    def marks(self, after_turn: int) -> Sequence[Marked]:
        with self._database.reading() as connection:
            return reading.marks(connection, after_turn, self._stream)

    def controls(self, subject: str) -> Sequence[Controlled]:
        with self._database.reading() as connection:
            return reading.controls(connection, subject, self._stream)

    def content(self, digest: str) -> bytes | None:
        with self._database.reading() as connection:
            return reading.content(connection, digest)

    def forget_marks(self, before_turn: int) -> None:
        """Delete the marks of turns before one, the newest of all excepted, and old controls that were in force at none but them."""
        with self._database.writing("marks") as connection:
            operating.forget_marks(connection, before_turn, self._stream)

    def commit(self, turn: Turn) -> None:
        """Write a turn whole or not at all.

        After an error the same turn may be given again: had it been committed before the error came, nothing happens.
        """
        self.commit_together([turn])

    def commit_together(self, turns: Sequence[Turn]) -> None:
        """Write turns, each of another stream, all of them whole or none; after an error some of the same may be given again."""
        line = line_of(turns)
        heard = not line or any(turn.detected for turn in turns)
        with self._database.writing("turn", line, heard=heard) as connection:
            tried = {id(turn) for turn in self._uncertain}
            is_there = tried.issuperset(map(id, turns)) and are_committed(connection, turns)
            self._uncertain = ()
            if not is_there:
                write_turns(connection, turns, self._seal, self._letter_bounds, self._tell, self._again_us)
                for standing in (one for turn in turns for one in turn.standings):
                    standings.add_standing(connection, standing)
            self._uncertain = turns  # from here on: what is refused before is surely not committed
        self._uncertain = ()

    def known_findings(self, ids: Collection[str]) -> set[str]:
        with self._database.reading() as connection:
            return reading.known(connection, tables.findings, ids)

    def risks(self, entities: Collection[Entity]) -> dict[Entity, Risk]:
        with self._database.reading() as connection:
            return reading.risks(connection, entities)

    def open_incidents(self, entities: Collection[Entity]) -> dict[Entity, Incident]:
        with self._database.reading() as connection:
            return reading.open_incidents(connection, entities)

    def clocks_of(self, incidents: Collection[str]) -> Sequence[Clock]:
        with self._database.reading() as connection:
            return clocks.clocks_of(connection, incidents)

    def decisions_of(self, entities: Collection[Entity]) -> Mapping[Entity, Sequence[Decision]]:
        with self._database.reading() as connection:
            return reading.decisions_of(connection, entities)

    def decisions_of_owners(self, owners: Collection[str]) -> Mapping[str, Sequence[Decision]]:
        with self._database.reading() as connection:
            return reading.decisions_of_owners(connection, owners)

    def recent_decisions(self, since: int) -> Sequence[Decision]:
        with self._database.reading() as connection:
            return reading.recent_decisions(connection, since)

    def rulings_version(self) -> int:
        with self._database.reading() as connection:
            return deciding.counter(connection, deciding.RULINGS)

    def note_rules(self, rules: Mapping[str, Sequence[str]], now: int) -> Mapping[str, int]:
        """Keep since when rules, given with their versions, have been in force; gives that of each one's first version."""
        with self._database.writing("rules") as connection:
            return rule_ages.note_rules(connection, rules, now)

    def segments(self, day: str | None = None) -> Sequence[Segment]:
        with self._database.reading() as connection:
            return operating.segments(connection, day)

    def archived(self) -> tuple[int, int]:
        """How much all segments are: bytes, and events."""
        with self._database.reading() as connection:
            return operating.archived(connection)

    def replace_segments(self, old: Sequence[Segment], new: Sequence[Segment], audit: AuditEntry | None = None) -> None:
        with self._database.writing("segments") as connection:
            operating.replace_segments(connection, old, new, audit)
