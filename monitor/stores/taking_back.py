"""What the record can take back: a part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from monitor.stores import gathering, marks, undoing
from monitor.stores.acting import Acting
from monitor.stores.connection import Database
from monitor.stores.deciding import Tell
from monitor.stores.gathering import Gathered
from monitor.stores.marks import Judged
from monitor.stores.undos import FindingMark, MarkInForce, Undo, UndoAsked, Undone, Verdict
from playbooks.correction import Correction


class TakesBack:
    """Undos, and marks of findings."""

    _database: Database
    _tell: Tell

    def undo(
        self, asked: UndoAsked, correct: Callable[[Gathered], Correction], then: Callable[[Acting], None] | None = None
    ) -> tuple[Undo, list[Undone]]:
        """Carry out an undo, whole or not at all; `correct` says what must change in what was gathered.

        It is worked out beside all other writers. Where one of them has changed what it rests on meanwhile, it is worked out once
        more while nobody else writes. `then` goes on in the same transaction.
        """
        gathered = self._gathered(asked)
        correction = correct(gathered)
        with self._database.writing("undo") as connection:
            if not gathering.is_current(connection, gathered, asked):
                gathered = gathering.gather(connection, asked)
                correction = correct(gathered)
            undo = undoing.write_undo(connection, asked, gathered, correction, self._tell)
            if then is not None:
                then(Acting(connection, self._tell))
        return undo, undoing.fates(correction)

    def undo_foreseen(self, asked: UndoAsked, correct: Callable[[Gathered], Correction]) -> tuple[Undo, list[Undone]]:
        """What an undo would come to; nothing is written."""
        gathered = self._gathered(asked)
        became = undoing.fates(correct(gathered))
        return undoing.undo_of(asked, gathered, became), became

    def _gathered(self, asked: UndoAsked) -> Gathered:
        with self._database.reading() as connection:
            return gathering.gather(connection, asked)

    def undos(self, limit: int | None = None) -> Sequence[Undo]:
        """Undos that were carried out, the last first."""
        with self._database.reading() as connection:
            return undoing.undos(connection, limit)

    def undo_of(self, key: str) -> Undo | None:
        with self._database.reading() as connection:
            return undoing.undo(connection, key)

    def undone(self, key: str) -> Sequence[Undone]:
        """What became of each decision in an undo; each as it stands now."""
        with self._database.reading() as connection:
            return undoing.undone(connection, key)

    def finding_marks(self, findings: Collection[str]) -> Mapping[str, FindingMark]:
        """What was said of these findings, of those of which something was."""
        with self._database.reading() as connection:
            return gathering.marks_of(connection, findings)

    def marks_in_force(self, at: int, verdict: Verdict | None = None) -> Sequence[MarkInForce]:
        """The marks that have not expired at a time, and so are input of allow-lists and training; or those with one verdict.

        They are as they are now, whenever they were said: of a finding that was marked otherwise since, only the later word is known.
        """
        with self._database.reading() as connection:
            return marks.in_force(connection, at, verdict)

    def judged(self) -> Sequence[Judged]:
        """How many findings of each rule people have marked as what, those whose marks have expired included."""
        with self._database.reading() as connection:
            return marks.judged(connection)
