"""Which unusual numbers become findings: so many false ones are afforded a day, and one happening is told once.

Every test has its part (`WEIGHTS`) of what is afforded for each thousand apps and day. Divided by how many numbers it looks at in a day
that gives the probability, and so the worth, from which on one is told. What several tests or keys of one entity show within a day of
each other is one finding; it is told again only where something else comes to light: the sign of another behaviour, or another number, about something else,
that is far less probable than all before. Sums over days are as high for long after what brought them about, so they are told again only where
they have grown. What many apps show at once is one finding about what they share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors.finding import Entity, Evidence, Finding, Measured, Related, RuleRef, Scope, Severity, finding_id
from detectors.statistical.statistic import FLAGGED
from detectors.statistical.windows import WINDOWS_PER_HOUR, Window

MEASURED_MAX: Final = 5
"""Numbers that a finding shows."""

RELATED_MAX: Final = 20
"""Apps that a finding about what many share names."""

EPISODES_MAX: Final = 200_000
"""Happenings that are remembered; of more, those that are over longest are forgotten."""

WEIGHTS: Final = {
    **dict.fromkeys(("exfiltration", "exfiltration_slow", "novelty_slow", "spreading", "regularity", "large"), 5.0),
    **dict.fromkeys(("rate", "level", "rise"), 1 / 3),
    "fall": 0.5,
}
"""Of what is afforded tests have parts in this proportion, others 1: those have more that hardly anything honest comes to, and those less whose
numbers change with an app's fortune. Weighted as by Genovese, Roeder and Wasserman (*False discovery control with p-value weighting*, 2006)."""

FARTHER: Final = 4.0
"""What another number must be worth beyond all that a happening has shown to be told by itself: it is ten thousand times less probable."""

SUMMED_UP: Final = frozenset({"drip", "novelty_slow", "exfiltration_slow", "refusals_slow"})
SUMS: Final = SUMMED_UP | {"rise", "fall", "repeats", "together"}
LASTING_H: Final = 72
GROWN: Final = 1.0
"""Tests that sum over time (`SUMS`): until so many hours after it was last seen the same is told again only where it is worth so much more, ten
times less probable."""

NUMBERS_MAX: Final = 20
"""Numbers of a happening that are remembered, those that are worth most."""

SEVERITIES: Final = {
    "silence": Severity.LOW,
    "fall": Severity.LOW,
    "failing": Severity.LOW,
    "owner": Severity.LOW,
    "together": Severity.LOW,
}
"""Of tests that see what may be no misbehaviour at all; of others, medium."""


class ChoosingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is afforded."""

    false_per_thousand_apps_day: float = 1.0
    per_hour_max: int = 200
    shared_apps_min: int = 8
    shared_share: float = 0.02
    quiet_h: int = 12

    def __post_init__(self) -> None:
        if not 0 < self.false_per_thousand_apps_day <= 1000:
            raise ValueError(
                f"false_per_thousand_apps_day is {self.false_per_thousand_apps_day}; it must be above 0, up to 1000"
            )


Numbers = dict[str, tuple[float, int, bool]]
"""By what was counted: the most that it was worth, the window in which it was last shown, and whether it was told rather than added."""

_NEVER: Final = (0.0, 0, False)


@dataclass(slots=True)
class _Episode:
    """A happening that was told: until when (window), as which finding, and what it has shown."""

    last: int
    finding: str
    rule: str
    time: int
    shown: dict[int, int]  # the behaviours of the taxonomy (0: none), each with the window in which it was last shown
    numbers: Numbers  # what it has shown

    def is_far(self, row: dict[str, Any]) -> bool:
        """Whether this is about something else than what was told, and far less probable than all before."""
        about = _about(_number_of(row))
        told = any(told and _about(name) == about for name, (_, _, told) in self.numbers.items())
        farthest = max((worth for worth, _, _ in self.numbers.values()), default=0.0)
        return not told and row["worth"] >= farthest + FARTHER

    def not_told(self, rows: list[dict[str, Any]], window: int) -> list[dict[str, Any]]:
        """Without the sums that were told before and have not grown."""
        found = []
        for row in rows:
            name = _number_of(row)
            worth, last, told = self.numbers.get(name, _NEVER)
            lasts = row["test"] in SUMS and window - last <= LASTING_H * WINDOWS_PER_HOUR
            if lasts and row["worth"] < worth + GROWN:
                self.numbers[name] = worth, window, told
            else:
                found.append(row)
        return found


class Chooser:
    """Chooses among the unusual numbers of each window, in the order of windows."""

    def __init__(self, config: ChoosingConfig | None = None) -> None:
        self.config = config or ChoosingConfig()
        self._today: dict[str, int] = {}
        self._per_day: dict[str, int] = {}
        self._apps = 1
        self._days = 0
        self._hour = 0
        self._told_in_hour = 0  # of that hour
        self._episodes: dict[tuple[str, str], _Episode] = {}
        self.overflown = 0
        self._version = hashlib.sha256(msgspec.json.encode(self.config)).hexdigest()[:16]

    def bound(self, test: str) -> float:
        """The worth from which on a number of this test is told."""
        tests = {**self._per_day, **self._today, test: 0}
        made = max(self._per_day.get(test, 0), self._today.get(test, 0), 1)
        part = WEIGHTS.get(test, 1.0) / sum(WEIGHTS.get(one, 1.0) for one in sorted(tests))
        afforded = self.config.false_per_thousand_apps_day / 1000 * self._apps * part
        return max(FLAGGED, float(np.log10(made / afforded)))

    def choose(self, window: Window, unusual: Sequence[pl.DataFrame], made: Mapping[str, int], apps: int) -> list[tuple[Finding, bool]]:  # fmt: skip
        """What is told of a window, each with whether it is a part of what was told before.

        `made` is how many numbers each test has looked at in this window, `apps` how many apps were seen lately.
        """
        for test, count in made.items():
            self._today[test] = self._today.get(test, 0) + count
        self._apps = max(apps, 1)
        if window.hour != self._hour:
            self._hour, self._told_in_hour = window.hour, 0
        found = list(self._chosen(window, unusual))
        if window.ends_day:
            self._per_day, self._today = self._today, dict.fromkeys(self._today, 0)
        return found

    def _chosen(self, window: Window, unusual: Sequence[pl.DataFrame]) -> Iterator[tuple[Finding, bool]]:
        if not unusual:
            return
        whole = pl.concat(unusual)
        bounds = {test: self.bound(test) for test in whole["test"].unique().sort()}
        over = whole.filter(pl.col("worth") >= pl.col("test").replace_strict(bounds, return_dtype=pl.Float64)).sort(
            "worth", "scope", "entity", "test", "about", descending=[True, False, False, False, False]
        )
        over, shared = self._parted(over)
        for finding in shared:
            yield from self._one(window, *finding)
        for (scope, entity), rows in sorted(_by_entity(over).items(), key=lambda one: (-one[1][0]["worth"], one[0])):
            yield from self._one(window, Entity(Scope(scope), entity), rows, ())

    def _parted(
        self, over: pl.DataFrame
    ) -> tuple[pl.DataFrame, list[tuple[Entity, list[dict[str, Any]], tuple[Related, ...]]]]:
        """What many apps show at once, as one; and the rest."""
        many = max(self.config.shared_apps_min, int(self._apps * self.config.shared_share))
        of_apps = over.filter((pl.col("scope") == Scope.APP.value) & (pl.col("about") != ""))
        if of_apps["entity"].n_unique() < many:
            return over, []
        groups = of_apps.group_by("test", "measure", "about").agg(pl.col("entity").n_unique().alias("apps"))
        shared = groups.filter(pl.col("apps") >= many).sort("test", "measure", "about")
        found = []
        for test, measure, about, _ in shared.iter_rows():
            mine = (pl.col("test") == test) & (pl.col("measure") == measure) & (pl.col("about") == about)
            rows = over.filter(mine)
            scope = Scope.DOMAIN if measure.endswith("requests") else Scope.API
            related = tuple(
                Related(Scope.APP, app, "carrier") for app in rows["entity"].unique(maintain_order=True)[:RELATED_MAX]
            )
            first = rows.row(0, named=True) | {"owner": None, "count": int(rows["count"].sum()), "value": rows["value"].sum(), "usual": rows["usual"].sum()}  # fmt: skip
            found.append((Entity(scope, about), [first], related))
            over = over.filter(~mine)
        return over, found

    def _one(
        self, window: Window, entity: Entity, rows: list[dict[str, Any]], related: tuple[Related, ...]
    ) -> Iterator[tuple[Finding, bool]]:
        """What an entity shows: a new finding, a part of the one that was told, or nothing new."""
        key = (entity.scope.value, entity.value)
        episode = self._episodes.get(key)
        quiet = self.config.quiet_h * WINDOWS_PER_HOUR
        goes_on = episode is not None and window.index - episode.last <= quiet
        if episode is not None and not goes_on:
            rows = episode.not_told(rows, window.index)
            if not rows:
                return
        shown = {row["behaviour"] or 0: window.index for row in rows}
        before = {} if episode is None else episode.numbers if goes_on else _lasting(episode.numbers)
        if episode is not None and goes_on:
            lately = {behaviour for behaviour, last in episode.shown.items() if window.index - last <= quiet}
            fresh = [
                row for row in rows if (row["behaviour"] and row["behaviour"] not in lately) or episode.is_far(row)
            ]
            episode.last = window.index
            episode.shown |= shown
            episode.numbers = _numbers(before, rows, window.index, told=False)
            if not fresh:
                yield self._finding(window, entity, rows, related, episode), True
                return
            rows = fresh
        if self._told_in_hour >= self.config.per_hour_max:
            self.overflown += 1
            return
        self._told_in_hour += 1
        shown_before = episode.shown if episode is not None and goes_on else {}
        finding = self._finding(window, entity, rows, related, None)
        self._episodes.pop(key, None)
        self._episodes[key] = _Episode(
            window.index,
            finding.id,
            finding.rule.id,
            finding.time,
            shown_before | shown,
            _numbers(before, rows, window.index, told=True),
        )
        while len(self._episodes) > EPISODES_MAX:
            del self._episodes[next(iter(self._episodes))]
        yield finding, False

    def _finding(
        self,
        window: Window,
        entity: Entity,
        rows: list[dict[str, Any]],
        related: tuple[Related, ...],
        episode: _Episode | None,
    ) -> Finding:
        best = rows[0]
        rule = f"statistical.{best['test']}" if episode is None else episode.rule
        over = best["worth"] - self.bound(best["test"])
        behaviours = dict.fromkeys(row["behaviour"] for row in rows if row["behaviour"] is not None)
        return Finding(
            id=finding_id(rule, entity, window.end) if episode is None else episode.finding,
            time=window.end - 1 if episode is None else episode.time,
            first_event=min(row["begins"] for row in rows),
            last_event=window.end - 1,
            detector="statistical",
            kind="statistical",
            rule=RuleRef(rule, self._version),
            entity=entity,
            owner=best["owner"],
            related=related,
            severity=SEVERITIES.get(best["test"], Severity.MEDIUM),
            confidence=round(min(0.95, 0.6 + 0.05 * over), 3),
            score=round(best["worth"], 3),
            title=title(best),
            evidence=Evidence(
                count=sum(row["count"] for row in rows),
                values={"unusual": "; ".join(title(row) for row in rows[:MEASURED_MAX])},
            ),
            tags=tuple(f"behaviour.{number}" for number in behaviours),
            measured=tuple(_measured(row) for row in rows[:MEASURED_MAX]),
        )

    def snapshot(self) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        kept = {
            "today": self._today,
            "per_day": self._per_day,
            "apps": self._apps,
            "hour": self._hour,
            "told_in_hour": self._told_in_hour,
            "overflown": self.overflown,
        }
        rows = [
            (
                *key,
                one.last,
                one.finding,
                one.rule,
                one.time,
                *(msgspec.json.encode(each).decode() for each in (one.shown, one.numbers)),
            )
            for key, one in self._episodes.items()
        ]
        episodes = pl.DataFrame(rows, schema=_EPISODES, orient="row")
        return {"chosen": episodes, "chosen.kept": pl.DataFrame({"kept": [msgspec.json.encode(kept).decode()]})}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not of this kind."""
        if "chosen" not in state or "chosen.kept" not in state:
            raise ValueError("there is no chosen")
        kept = msgspec.json.decode(state["chosen.kept"]["kept"][0])
        self._today, self._per_day = kept["today"], kept["per_day"]
        self._apps, self.overflown = kept["apps"], kept["overflown"]
        self._hour, self._told_in_hour = kept["hour"], kept["told_in_hour"]
        self._episodes = {
            (scope, entity): _Episode(
                last,
                finding,
                rule,
                time,
                msgspec.json.decode(shown, type=dict[int, int]),
                msgspec.json.decode(numbers, type=Numbers),
            )
            for scope, entity, last, finding, rule, time, shown, numbers in state["chosen"].iter_rows()
        }


_EPISODES: Final = pl.Schema(
    {
        "scope": pl.String(),
        "entity": pl.String(),
        "last": pl.Int64(),
        "finding": pl.String(),
        "rule": pl.String(),
        "time": pl.Int64(),
        "shown": pl.String(),
        "numbers": pl.String(),
    }
)


def _number_of(row: Mapping[str, Any]) -> str:
    """What was counted; sums over all that is new of an app are one, whatever is the most of it now."""
    about = "" if row["test"] in SUMMED_UP else row["about"]
    return f"{row['test']}\t{row['measure']}\t{about}"


def _about(name: str) -> str:
    """What a number is about; the test where that is all there is to say."""
    test, _, about = name.split("\t", 2)
    return about or test


def _lasting(numbers: Numbers) -> Numbers:
    """Those that are remembered when a happening is over."""
    return {name: kept for name, kept in numbers.items() if name.partition("\t")[0] in SUMS}


def _numbers(before: Numbers, rows: Sequence[Mapping[str, Any]], window: int, *, told: bool) -> Numbers:
    """What a happening has shown, with these: of each number the most; of too many those that are worth most."""
    numbers = dict(before)
    for row in rows:
        name = _number_of(row)
        worth, _, was_told = numbers.get(name, _NEVER)
        numbers[name] = max(worth, row["worth"]), window, told or was_told
    most = sorted(numbers.items(), key=lambda one: (-one[1][0], one[0]))
    return dict(most[:NUMBERS_MAX])


def _by_entity(over: pl.DataFrame) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows by entity, the most unusual first."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in over.iter_rows(named=True):
        groups.setdefault((row["scope"], row["entity"]), []).append(row)
    return groups


def _measured(row: Mapping[str, Any]) -> Measured:
    return Measured(
        name=f"{row['measure']} of {row['about']}" if row["about"] else row["measure"],
        test=row["test"],
        value=round(row["value"], 3),
        usual=round(row["usual"], 3),
        worth=round(row["worth"], 2),
        learned_h=row["learned"],
    )


def title(row: Mapping[str, Any]) -> str:
    """An unusual number in words."""
    if row["test"] == "together":
        return "many numbers of one app are a little unusual at once"
    if row["test"] == "owner":
        return f"several apps of one owner come to more, or less, of {row['about']} than usual at once"
    if row["test"] == "spreading":
        return f"{_number(row['value'])} apps ask one host for the first time, where {_number(row['usual'])} are usual: {row['about']}"
    name = f"{row['measure']} of {row['about']}" if row["about"] else row["measure"]
    return f"{name}: {_number(row['value'])}, where {_number(row['usual'])} are usual"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3g}"
