"""Which hours of apps are told: as many false ones as are afforded, the strangest first, and what goes on is told once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.finding import Entity, Evidence, Finding, Measured, RuleRef, Scope, Severity, finding_id
from detectors.learned.features import FEATURES, Matrix, Rows, Unit, read_as
from detectors.learned.hours import HOUR_US, SLOT_US, SLOTS
from detectors.learned.model import Model
from detectors.statistical.statistic import FLAGGED

Numbers = npt.NDArray[np.float64]

NAME: Final = "learned"

NAMED_MAX: Final = 5
"""Features that a finding names: the rarest."""

NAMED_MIN: Final = 1.0
"""A feature that one in ten comes as far in explains nothing."""

HOURS_A_DAY: Final = 24
"""How often an app is looked at in a day, at most."""

EPISODES_MAX: Final = 200_000
"""Happenings that are remembered; of more, those that are over longest are forgotten."""

CONFIDENCE_MIN: Final = 0.3
CONFIDENCE_MAX: Final = 0.5
"""A model alone never leads beyond a warning, and so it never says that it is sure."""

SURE: Final = 1.0
"""What is worth so much more than what is just told is of medium severity; ten times rarer."""

BEHAVIOURS: Final = {"sharing": 7, "login": 8, "payment": 12, "leaving": 23, "clipboard": 24}
"""Behaviours of the taxonomy that a high share speaks of."""

FALSE_POSITIVES: Final = (
    "An honest app that is unlike others of its category: of a new kind, or in the wrong category of the registry.",
    "A campaign or a release that changes what people do.",
)


class TellingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is afforded. Where `changed_share` of all apps are strange within an hour the world has changed, and none is told."""

    false_per_1000_apps_day: float = 1.0
    per_hour_max: int = 100
    quiet_h: int = 24
    changed_share: float = 0.05
    changed_apps_min: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.false_per_1000_apps_day <= 1000:
            raise ValueError(
                f"false_per_1000_apps_day is {self.false_per_1000_apps_day}; it must be above 0, up to 1000"
            )

    @property
    def bound(self) -> float:
        """The worth from which on an hour of an app is told."""
        return max(FLAGGED, float(np.log10(1000 * HOURS_A_DAY / self.false_per_1000_apps_day)))


@dataclass(frozen=True, slots=True)
class Strange:
    """What a model says of an hour's apps: a number a row, a rarity a row and feature, and whose forest was asked."""

    worth: Numbers
    rarity: Numbers
    which: npt.NDArray[np.int64]


@dataclass(slots=True)
class _Episode:
    """A happening that was told: the last hour of it (its index), and as which finding."""

    last: int
    finding: str
    rule: str
    time: int


@dataclass(slots=True)
class _Looked:
    """One look: at how many apps, how many of them were strange, and how many new findings were made."""

    index: int
    apps: int
    strange: int
    new: int = 0


class Teller:
    """Makes findings of what one model finds strange, slot by slot; what is afforded is of the last hour."""

    def __init__(self, config: TellingConfig) -> None:
        self.config = config
        self._episodes: dict[str, _Episode] = {}
        self._looks: list[_Looked] = []  # of the last hour
        self.overflown = 0

    def tell(self, model: Model, rows: Rows, strange: Strange) -> list[Finding]:
        """What is told of an hour: new findings, and parts of those that go on."""
        over = np.flatnonzero(strange.worth >= self.config.bound)
        look = _Looked(rows.index, len(rows), len(over))
        self._looks = [*(one for one in self._looks if one.index > rows.index - SLOTS), look]
        apps, odd = sum(one.apps for one in self._looks), sum(one.strange for one in self._looks)
        if odd > max(self.config.changed_apps_min, self.config.changed_share * apps):
            self.overflown += len(over)
            return []
        found = []
        room = self.config.per_hour_max - sum(one.new for one in self._looks)
        for row in over[np.lexsort((over, -strange.worth[over]))].tolist():
            app = rows.frame["app"][row]
            episode = self._episodes.pop(app, None)
            if episode is None or rows.index - episode.last > self.config.quiet_h * SLOTS:
                if look.new >= room:
                    self.overflown += 1
                    continue
                look.new += 1
                rule, end = f"{NAME}.{model.names[strange.which[row]]}", rows.index * SLOT_US + HOUR_US
                entity = Entity(Scope.APP, app)
                episode = _Episode(rows.index, finding_id(rule, entity, end), rule, end - 1)
            episode.last = rows.index
            self._episodes[app] = episode
            found.append(self._finding(model, rows, row, strange, episode))
        while len(self._episodes) > EPISODES_MAX:
            del self._episodes[next(iter(self._episodes))]
        return found

    def _finding(self, model: Model, rows: Rows, row: int, strange: Strange, episode: _Episode) -> Finding:
        app, owner, events = rows.frame.select("app", "owner", "events").row(row)
        name = model.names[strange.which[row]]
        measured = measured_of(model, name, rows.matrix[row], strange.rarity[row])
        worth = float(strange.worth[row])
        over = worth - self.config.bound
        return Finding(
            id=episode.finding,
            time=episode.time,
            first_event=rows.index * SLOT_US,
            last_event=rows.index * SLOT_US + HOUR_US - 1,
            detector=NAME,
            kind=NAME,
            rule=RuleRef(episode.rule, model.digest[:16]),
            entity=Entity(Scope.APP, app),
            owner=owner,
            severity=Severity.MEDIUM if over >= SURE else Severity.LOW,
            confidence=round(min(CONFIDENCE_MAX, CONFIDENCE_MIN + 0.05 * over), 3),
            score=round(worth, 3),
            title=_title(name, measured),
            evidence=Evidence(count=events, values={"unlike others": "; ".join(in_words(one) for one in measured)}),
            tags=tuple(f"behaviour.{BEHAVIOURS[one.name]}" for one in measured[:1] if one.name in BEHAVIOURS),
            false_positives=FALSE_POSITIVES,
            measured=measured,
        )

    def go_on(self, before: Teller) -> None:
        """With what another has told."""
        self._episodes, self._looks, self.overflown = before._episodes, before._looks, before.overflown

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        rows = [(app, one.last, one.finding, one.rule, one.time) for app, one in self._episodes.items()]
        looks = [(one.index, one.apps, one.strange, one.new) for one in self._looks]
        return {
            f"{name}.told": pl.DataFrame(rows, schema=_EPISODES, orient="row"),
            f"{name}.looks": pl.DataFrame(looks, schema=_LOOKS, orient="row"),
            f"{name}.counts": pl.DataFrame({"overflown": [self.overflown]}),
        }

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not there."""
        if missing := {f"{name}.told", f"{name}.looks", f"{name}.counts"} - state.keys():
            raise ValueError(f"there is no {min(missing)}")
        self._episodes = {app: _Episode(*told) for app, *told in state[f"{name}.told"].iter_rows()}
        self._looks = [_Looked(*look) for look in state[f"{name}.looks"].iter_rows()]
        self.overflown = int(state[f"{name}.counts"]["overflown"][0])


_EPISODES: Final = pl.Schema(
    {"app": pl.String(), "last": pl.Int64(), "finding": pl.String(), "rule": pl.String(), "time": pl.Int64()}
)

_LOOKS: Final = pl.Schema({"index": pl.Int64(), "apps": pl.Int64(), "strange": pl.Int64(), "new": pl.Int64()})


def measured_of(model: Model, name: str, values: Matrix, rarity: Numbers) -> tuple[Measured, ...]:
    """The features that make a row strange, the rarest first, with what is usual by the expert of this name."""
    usual = model.experts[name].usual
    order = np.lexsort((np.arange(len(rarity)), -rarity))[:NAMED_MAX]
    return tuple(
        Measured(
            name=FEATURES[place].name,
            test=f"{NAME}.{name}",
            value=round(read_as(place, float(values[place])), 4),
            usual=round(read_as(place, float(usual.middles[place])), 4),
            worth=round(float(rarity[place]), 2),
            learned_h=model.learned_h,
        )
        for place in order.tolist()
        if rarity[place] >= NAMED_MIN
    )


def in_words(one: Measured) -> str:
    """A feature as people read it."""
    feature = _BY_NAME[one.name]
    value, usual = (_number(number, feature.unit) for number in (one.value, one.usual))
    return f"{feature.words} {value}, where {usual} is usual"


def _title(name: str, measured: tuple[Measured, ...]) -> str:
    who = "other apps" if name == "all" else f"other apps of category {name}"
    return f"Unlike {who}: {in_words(measured[0])}" if measured else f"Unlike {who}, by many numbers together"


def _number(value: float, unit: Unit) -> str:
    if unit is Unit.SHARE:
        return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.3g}"


_BY_NAME: Final = {feature.name: feature for feature in FEATURES}
