"""Statistics at work: batches in, findings out. Windows are closed in order, and what each statistic finds unusual is chosen among."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.event import END_OF_TIME, LATE, TIME, Batch
from detectors.finding import Sighting
from detectors.statistical.choosing import Chooser, ChoosingConfig
from detectors.statistical.cohort import Cohort, CohortConfig
from detectors.statistical.exfiltration import Exfiltration, ExfiltrationConfig
from detectors.statistical.fanout import Fanout, FanoutConfig
from detectors.statistical.hashes import NEEDS as HASHED
from detectors.statistical.hashes import hashed
from detectors.statistical.levels import Levels, LevelsConfig
from detectors.statistical.novelty import Novelty, NoveltyConfig
from detectors.statistical.outcomes import Outcomes, OutcomesConfig
from detectors.statistical.pending import WINDOW
from detectors.statistical.profile import Profile, ProfileConfig
from detectors.statistical.regularity import Regularity, RegularityConfig
from detectors.statistical.series import Series, SeriesConfig
from detectors.statistical.shown import Shown, ShownConfig
from detectors.statistical.spreading import Spreading, SpreadingConfig
from detectors.statistical.statistic import Statistic
from detectors.statistical.together import Together
from detectors.statistical.windows import WINDOW_US, WINDOWS_PER_DAY, Window, endings

NAME: Final = "statistical"

WAITING_MAX: Final = 100_000
"""Rows that wait to be counted together: few at a time would cost several times as much."""

WAITING_PARTS_MAX: Final = 64
"""Of more batches that wait one is made: a frame of a single row takes as much memory as one of some thousands."""

PARTS_MAX: Final = 8
"""Texts of more batches are brought together before they are looked at: of a few it is not worth it, for few rows are asked for their texts."""

SILENT_WINDOWS_MAX: Final = 8 * WINDOWS_PER_DAY
"""Windows without events that are closed one by one; a longer pause is skipped: nothing was there to be usual."""


class StatisticsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is remembered, and what is afforded."""

    series: SeriesConfig = SeriesConfig()
    fanout: FanoutConfig = FanoutConfig()
    regularity: RegularityConfig = RegularityConfig()
    shown: ShownConfig = ShownConfig()
    novelty: NoveltyConfig = NoveltyConfig()
    exfiltration: ExfiltrationConfig = ExfiltrationConfig()
    spreading: SpreadingConfig = SpreadingConfig()
    outcomes: OutcomesConfig = OutcomesConfig()
    profile: ProfileConfig = ProfileConfig()
    cohort: CohortConfig = CohortConfig()
    levels: LevelsConfig = LevelsConfig()
    choosing: ChoosingConfig = ChoosingConfig()


class StatisticalDetector:
    """Runs all statistics."""

    def __init__(self, config: StatisticsConfig | None = None) -> None:
        self.config = config or StatisticsConfig()
        self._series = Series(self.config.series)
        shown = Shown(self.config.shown)
        self._statistics: tuple[Statistic, ...] = (
            self._series,
            Fanout(self.config.fanout),
            Regularity(self.config.regularity),
            shown,  # before those who look at its hours
            Novelty(shown, self.config.novelty),
            Exfiltration(shown, self.config.exfiltration),
            Spreading(shown, self.config.spreading),
            Outcomes(self._series, shown, self.config.outcomes),
            Profile(shown, self.config.profile),
            Cohort(shown, self.config.cohort),
            Levels(self.config.levels),
        )
        self._together = Together()
        self._chooser = Chooser(self.config.choosing)
        self._next: int | None = None  # the first window that has not ended
        self._latest = 0  # the last in which something was counted
        self._waiting: list[pl.DataFrame] = []
        self._rows_waiting = 0
        self._nothing = pl.Series(dtype=pl.String)  # for fields that no event has: made once, for it is long
        self._needs = HASHED.union(*(each.needs for each in self._statistics))

    @property
    def name(self) -> str:
        return NAME

    @property
    def needs(self) -> frozenset[str]:
        return self._needs

    @property
    def remembered(self) -> int:
        """Counts that have a place."""
        return self._series.remembered

    @property
    def bytes(self) -> int:
        """What the memory of counts takes."""
        return self._series.bytes

    @property
    def held_back(self) -> int:
        """Findings that were not told: too many in an hour."""
        return self._chooser.overflown

    @property
    def forgotten(self) -> int:
        return sum(each.forgotten for each in self._statistics)

    def again(self) -> StatisticalDetector:
        """Another that remembers nothing yet."""
        return StatisticalDetector(self.config)

    def take_over(self, before: StatisticalDetector) -> None:
        """Go on with the memory of one that ends; where it was set otherwise, what is remembered is bounded anew as it comes."""
        if before.config == self.config:
            self._together = before._together
            self._latest = before._latest
            self._series, self._statistics, self._chooser = before._series, before._statistics, before._chooser
            self._next = before._next
            self._waiting, self._rows_waiting = before._waiting, before._rows_waiting
        else:
            self.restore(before.snapshot())

    def observe(self, batch: Batch) -> list[Sighting]:
        rows, at = self._rows(batch)
        if self._next is None:
            if not rows.height:
                return []
            self._next = int(rows[WINDOW].min())  # type: ignore[arg-type]  # whole numbers, and there are some
        waited = 0
        found: list[Sighting] = []
        for row, ended in endings(batch, self._next):
            until = int(np.searchsorted(at, row, side="right"))
            self._wait(rows[waited:until])
            waited = until
            self._count()
            found += self._closed(min(ended, self._latest + 1) if batch.watermark >= END_OF_TIME else ended, row)
        self._wait(rows[waited:])
        if self._rows_waiting >= WAITING_MAX:
            self._count()
        return found

    def _wait(self, rows: pl.DataFrame) -> None:
        """Before windows end what came until then is counted, and nothing else: so it is the same however the stream is cut."""
        if rows.height:
            self._latest = max(self._latest, int(rows[WINDOW].max()))  # type: ignore[arg-type]  # there are some
            self._waiting.append(rows)
            self._rows_waiting += rows.height
            if len(self._waiting) >= WAITING_PARTS_MAX:
                self._waiting = [_joined(self._waiting)]

    def _count(self) -> None:
        """Count the rows that wait."""
        if not self._waiting:
            return
        rows = _joined(self._waiting)
        self._waiting, self._rows_waiting = [], 0
        missing = sorted(self._needs - set(rows.columns))
        if rows.height > len(self._nothing):
            self._nothing = pl.Series([None], dtype=pl.String).new_from_index(0, 2 * rows.height)
        nothing = self._nothing[: rows.height]
        rows = hashed(rows.hstack([nothing.alias(name) for name in missing]))
        for each in self._statistics:
            each.count(rows)

    def _rows(self, batch: Batch) -> tuple[pl.DataFrame, npt.NDArray[np.int64]]:
        """What is counted of a batch, and which of its rows those are."""
        frame = batch.frame
        windows = pl.Series(WINDOW, frame[TIME].to_numpy() // WINDOW_US)
        rows = frame[[TIME, *sorted(name for name in self._needs if name in frame.columns)]].hstack([windows])
        if not frame[LATE].any():
            return rows, np.arange(frame.height)
        return rows.filter(~frame[LATE]), np.flatnonzero(~frame[LATE].to_numpy())

    def _closed(self, ended: int, row: int) -> list[Sighting]:
        assert self._next is not None  # noqa: S101 - it was set before
        first = self._next
        if ended - first > SILENT_WINDOWS_MAX:
            first = ended - SILENT_WINDOWS_MAX
        found = []
        for index in range(first, ended):
            window = Window(index)
            unusual: list[pl.DataFrame] = []
            made: dict[str, int] = {}
            for each in self._statistics:
                unusual += each.close(window)
                made |= each.tests.made()
            unusual += self._together.close(window, unusual, self._series.apps)
            made |= self._together.tests.made()
            chosen = self._chooser.choose(window, unusual, made, self._series.apps)
            found += [Sighting(row, finding, is_part=True) for finding, _ in chosen]
        self._next = ended
        return found

    def snapshot(self) -> State:
        self._count()
        frames: dict[str, pl.DataFrame] = {
            "next": pl.DataFrame(
                {"window": [self._next], "latest": [self._latest]}, schema={"window": pl.Int64(), "latest": pl.Int64()}
            )
        }
        for each in self._statistics:
            frames |= each.snapshot()
        return {**frames, **self._together.snapshot(), **self._chooser.snapshot()}

    def restore(self, state: State) -> None:
        if "next" not in state:
            raise ValueError(f"not a snapshot of the statistical detector: frames {', '.join(sorted(state))}")
        self._next, self._latest = state["next"].row(0)
        self._waiting, self._rows_waiting = [], 0
        for each in self._statistics:
            each.restore(state)
        self._together.restore(state)
        self._chooser.restore(state)


def _joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of several batches; those of one that lacks a column have nothing there."""
    alike = all(rows.columns == parts[0].columns for rows in parts)
    return pl.concat(parts, how="vertical" if alike else "diagonal", rechunk=len(parts) > PARTS_MAX)
