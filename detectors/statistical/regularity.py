"""Who does the same again and again at even intervals: bots.

Looked at are the gaps between events of one action of one person (or device) in one app: the variance of their logarithms. People's gaps
are heavy-tailed, with a standard deviation of about 1; a script's vary by what its author thought of. Gaps of less than 0.2 s are of one
tap, those above an hour are pauses; neither counts. From `GAPS_MIN` gaps within about a day on the variance is compared with what is usual for
everybody's gaps of the action in the app, for an app's own timers are even for all. It is judged again whenever there are twice as many.
Jitter of up to 40 % of the interval is found
within 45 gaps, 60 % within 120; of 80 %, which is nearly as uneven as people are, one in four within 300. Who was as even before enough was known, as the
platform's own health checks are, or within an hour of when the app was first seen to do this, as its panels are, is usual. The first few who meet a new timer of an app may be told. A finding says who it is at their next event, for only numbers are kept of all others.

What fools it: who acts less often than every five minutes; jitter of 80 % and more; who stops within minutes after being found; gaps
drawn from a heavy-tailed distribution; fewer than 20 of an action in a day; an action that bots alone do in an app, or that more bots
than people do; who rotates people *and* devices; bots that were there from the first day on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors import kernel
from detectors.detector import State
from detectors.event import TIME
from detectors.finding import Scope
from detectors.statistical import tails
from detectors.statistical.calibration import LEARNED_MIN
from detectors.statistical.hashes import ACTION, APP, WHO
from detectors.statistical.pending import WINDOW
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import FLAGGED, UNUSUAL, Suite
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOW_S, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Keys = npt.NDArray[np.uint64]
Array = npt.NDArray[Any]

TIME_BITS: Final = 19
"""Of a row: the millisecond within the window."""

SUBJECT_BITS: Final = 24
"""Of a key: who; the 21 above say which action of which app."""

MILLISECONDS: Final = 1_000

GAP_MS_MIN: Final = 200
GAP_MS_MAX: Final = 3_600_000

UNIT: Final = 1_024
"""Logarithms of gaps are whole numbers of this part."""

GAPS_MIN: Final = 20

FREEDOM_MAX: Final = 100.0
"""Gaps of one person are alike for a while: more of them say no more than so many that are independent."""

TELLING: Final = 3
"""Events of a key in a window, or windows in which it was seen lately, from which on it is remembered."""

SKETCH: Final = 2**20
"""Counters of windows in which keys were seen, of those that are not remembered."""

POOL_GAPS: Final = 4
"""So many gaps of one person in a window count for what is usual, and no more."""

TRUST: Final = 2.0
"""Gaps for which it counts what is usual for all actions."""

VARIANCE_MIN: Final = 1e-4
"""Nothing is more even than a hundredth."""

USUAL: Final = 1.0
"""Variance of people's logarithms of gaps, before anything is known."""

SELDOM_MS: Final = 300_000
"""Whose gaps are longer on the whole takes little and harms nobody, however even they are: a screen on a wall shows the same page so."""

EVEN: Final = 4.0
"""Score from which on gaps that are seen before enough is known are usual for who makes them."""

NEEDS: Final = frozenset({"event.action", "miniprogram.app_id", "miniprogram.developer_id", "user.id", "device.id"})


class RegularityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    rows_max: int = 1_000_000
    keys_max: int = 262_144
    actions_max: int = 100_000
    told_max: int = 10_000
    forget_days: int = 21


class Regularity:
    """The gaps of everybody's actions, and how even they are."""

    name = "regularity"

    def __init__(self, config: RegularityConfig | None = None) -> None:
        self.config = config or RegularityConfig()
        self._waiting: dict[int, list[Keys]] = {}
        self._sizes: dict[int, int] = {}
        self._shares: dict[int, int] = {}  # by window: of how many halvings of all subjects rows are kept
        self._rows = Rows(
            {
                "at": (np.int64, 1),  # ms of the last event
                "n": (np.int64, 1),
                "sum": (np.int64, 1),
                "squares": (np.int64, 1),
                "judged": (np.int64, 1),  # gaps when it was judged last
                "own_squares": (np.int64, 1),  # what it gave to what is usual …
                "own_freedom": (np.int64, 1),
                "usual": (np.int8, 1),  # was even before enough was known
            },
            self.config.keys_max,
        )
        self._actions = Rows({"squares": (np.int64, 1), "freedom": (np.int64, 1)}, self.config.actions_max)
        self._sketch = np.zeros(SKETCH, np.uint8)
        self._all = np.zeros(2, np.int64)  # squares and freedom of all actions
        self._told = _nobody()
        self._named: dict[int, tuple[str, str, str, str | None]] = {}
        self.tests = Suite(self.name, {"regularity": 1})
        self._left_out = 0

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def forgotten(self) -> int:
        rows = self._rows.forgotten + self._rows.refused + self._actions.forgotten + self._actions.refused
        return self._left_out + rows

    @property
    def bytes(self) -> int:
        """What is remembered beyond a window takes so much."""
        return self._rows.bytes + self._actions.bytes + self._sketch.nbytes

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        window, time, who, action, app = (rows[name].to_numpy() for name in (WINDOW, TIME, WHO, ACTION, APP))
        known = action != 0
        if rows["user.id"].null_count():
            known &= (rows["user.id"].is_not_null() | rows["device.id"].is_not_null()).to_numpy()
        if not known.all():
            rows = rows.filter(pl.Series(known))
            window, time, who, action, app = (each[known] for each in (window, time, who, action, app))
        if not len(window):
            return
        what = (action * np.uint64(3) + app) >> np.uint64(SUBJECT_BITS + TIME_BITS)
        key = what << np.uint64(SUBJECT_BITS) | who >> np.uint64(64 - SUBJECT_BITS)
        time = time // MILLISECONDS - window * (WINDOW_S * MILLISECONDS)
        packed = key << np.uint64(TIME_BITS) | time.astype(np.uint64)
        first, last = int(window.min()), int(window.max())
        if first == last:
            self._park(first, packed)
        else:
            for one in np.unique(window).tolist():
                self._park(one, packed[window == one])
        if len(self._told["key"]):
            self._name(rows, key)

    def _park(self, window: int, packed: Keys) -> None:
        share = self._shares.get(window, 0)
        if share:
            whole = packed
            packed = self._sampled(whole, share)
            self._left_out += len(whole) - len(packed)
        self._waiting.setdefault(window, []).append(packed)
        self._sizes[window] = self._sizes.get(window, 0) + len(packed)
        while self._sizes[window] > self.config.rows_max:
            share += 1
            whole = np.concatenate(self._waiting[window])
            kept = self._sampled(whole, share)
            if share >= SUBJECT_BITS:  # whoever is left is never sampled out
                kept = np.sort(kept)[: self.config.rows_max]
            self._left_out += len(whole) - len(kept)
            self._waiting[window], self._sizes[window], self._shares[window] = [kept], len(kept), share

    def _sampled(self, packed: Keys, share: int) -> Keys:
        """The rows of some subjects: always the same."""
        subject = packed >> np.uint64(TIME_BITS) & np.uint64(2**SUBJECT_BITS - 1)
        return packed[subject < np.uint64(2 ** max(SUBJECT_BITS - share, 0))]

    def _name(self, done: pl.DataFrame, key: Keys) -> None:
        """Say who they are that were found, as soon as they do something."""
        found = np.flatnonzero(np.isin(key, self._told["key"]))
        for row in found.tolist():
            one = int(key[row])
            if one not in self._named:
                user, device, action, owner = done[row].select("user.id", "device.id", "event.action", "miniprogram.developer_id").row(0)  # fmt: skip
                scope = Scope.DEVICE if user is None else Scope.USER
                self._named[one] = (scope.value, device if user is None else user, action, owner)

    # Judging

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        waiting = self._waiting.pop(window.index, None)
        self._sizes.pop(window.index, None)
        self._shares.pop(window.index, None)
        found = self._found(window)
        if waiting is not None:
            packed = np.concatenate(waiting)
            packed.sort()
            self._judge(packed, window)
        if window.ends_hour:
            self._sketch >>= 1
        if window.ends_day:
            self._day(window)
        return [] if found is None else [found]

    def _judge(self, packed: Keys, window: Window) -> None:
        """Take the gaps of a window in, and look at those of whom enough is known."""
        packed, place = self._of_note(packed, window)
        if not len(packed):
            return
        key = packed >> np.uint64(TIME_BITS)
        time = (packed & np.uint64(2**TIME_BITS - 1)).astype(np.int64) + window.start // MILLISECONDS
        starts = _starts(key)
        ends = np.append(starts[1:], len(key)) - 1
        gap = np.diff(time, prepend=time[:1])
        before = self._rows["at"][place]
        gap[starts] = np.where(before > 0, time[starts] - before, 0)
        counts = (gap >= GAP_MS_MIN) & (gap <= GAP_MS_MAX)
        value = np.rint(np.log(np.maximum(gap, 1)) * UNIT).astype(np.int64) * counts
        n = np.add.reduceat(counts.astype(np.int64), starts)
        summed, squares = np.add.reduceat(value, starts), np.add.reduceat(value * value, starts)
        self._pool(key[starts], place, n, summed, squares, window)
        self._rows["at"][place] = time[ends]
        for name, each in (("n", n), ("sum", summed), ("squares", squares)):
            self._rows[name][place] += each
        self._test_those(place, key[starts], window)

    def _of_note(self, packed: Keys, window: Window) -> tuple[Keys, Array]:
        """Without the rows of keys that have no place; and the places of the others. Those that are seen often get one."""
        packed, self._sketch = of_note(packed, self._rows.keys, self._sketch)
        key = packed >> np.uint64(TIME_BITS)
        starts = _starts(key)
        place, _ = self._rows.seen(key[starts], window.index)
        here = place != NOWHERE
        if here.all():
            return packed, place
        return packed[np.repeat(here, np.diff(starts, append=len(key)))], place[here]

    def _pool(self, keys: Keys, place: Array, n: Array, summed: Array, squares: Array, window: Window) -> None:
        """Learn what is usual for an action, from what everybody did within the window."""
        some = n > 2
        if not some.any():
            return
        n, total = n[some].astype(np.float64), summed[some].astype(np.float64)
        variance = np.maximum(squares[some] - total * total / n, 0.0) / (n - 1.0)
        freedom = np.minimum(n - 1.0, POOL_GAPS)
        part = np.rint(variance * freedom).astype(np.int64)
        self._all += (int(part.sum()), int(freedom.sum()))
        self._rows["own_squares"][place[some]] += part
        self._rows["own_freedom"][place[some]] += freedom.astype(np.int64)
        actions, of = np.unique(keys[some] >> np.uint64(SUBJECT_BITS), return_inverse=True)
        at, _ = self._actions.seen(actions, window.index)
        known = at[of] != NOWHERE
        np.add.at(self._actions["squares"], at[of][known], part[known])
        np.add.at(self._actions["freedom"], at[of][known], freedom[known].astype(np.int64))

    def _usual(self, at: Array, keys: Keys) -> Numbers:
        """The variance that others' gaps of the same actions have as a rule; where few are known, that of all actions."""
        squares, freedom = self._all.tolist()
        of_all = np.log((squares / UNIT**2 + USUAL) / (freedom + 1.0))
        action = self._actions.find(keys >> np.uint64(SUBJECT_BITS))
        if not len(self._actions):
            return np.full(len(keys), np.exp(of_all))
        known = action != NOWHERE
        others = np.where(known, self._actions["squares"][action] - self._rows["own_squares"][at], 0)
        count = np.maximum(np.where(known, self._actions["freedom"][action] - self._rows["own_freedom"][at], 0), 0)
        here = np.log(np.maximum(others / UNIT**2 / np.maximum(count, 1), VARIANCE_MIN))
        usual: Numbers = np.exp((here * count + of_all * TRUST) / (count + TRUST))
        return usual

    def _came_with_action(self, at: Array, keys: Keys) -> npt.NDArray[np.bool_]:
        """Who has been there since the action was first seen in the app, within an hour: its own checks and panels come with an app."""
        if not len(self._actions):
            return np.zeros(len(keys), np.bool_)
        action = self._actions.find(keys >> np.uint64(SUBJECT_BITS))
        since = self._rows["first"][at].astype(np.int64) - self._actions["first"][action]
        came: npt.NDArray[np.bool_] = (action != NOWHERE) & (since <= WINDOWS_PER_HOUR)
        return came

    def _test_those(self, at: Array, keys: Keys, window: Window) -> None:
        n = self._rows["n"][at]
        due = (n >= GAPS_MIN) & (n >= 2 * self._rows["judged"][at])
        at, keys = at[due], keys[due]
        if not len(at):
            return
        self._rows["judged"][at] = self._rows["n"][at]
        many = self._rows["n"][at].astype(np.float64)
        total = self._rows["sum"][at].astype(np.float64)
        variance = np.maximum(self._rows["squares"][at] - total * total / many, 0.0) / (many - 1.0) / UNIT**2
        variance = np.maximum(variance, VARIANCE_MIN)
        usual = self._usual(at, keys)
        freedom = np.minimum(many - 1.0, FREEDOM_MAX)
        score = tails.variance_below(variance * freedom, usual, freedom)
        came_with_it = self._came_with_action(at, keys)
        if int(self.tests["regularity"].calibration.tests[0]) < LEARNED_MIN:
            came_with_it[:] = True
        self._rows["usual"][at] |= came_with_it & (score >= EVEN)
        often = total / many <= np.log(SELDOM_MS) * UNIT
        judged = often & (self._rows["usual"][at] == 0)
        worth = np.zeros(len(at))
        worth[judged] = self.tests["regularity"].worth(score[judged])
        flagged = worth >= FLAGGED
        room = self.config.told_max - len(self._told["key"])
        which = np.flatnonzero(flagged & ~np.isin(keys, self._told["key"]))
        self._left_out += max(len(which) - room, 0)
        which = which[:room]
        begun = np.maximum(self._rows["first"][at].astype(np.int64), window.index - WINDOWS_PER_DAY + 1)
        new = (keys, worth, np.sqrt(variance), np.sqrt(usual), self._rows["n"][at] + 1, begun, np.full(len(at), window.index))  # fmt: skip
        self._told = {
            name: np.concatenate([old, each[which].astype(old.dtype)])
            for (name, old), each in zip(self._told.items(), new, strict=True)
        }

    def _found(self, window: Window) -> pl.DataFrame | None:
        """Those of whom it is known by now who they are."""
        if not len(self._told["key"]):
            return None
        told = self._told
        who = [self._named.pop(one, None) for one in told["key"].tolist()]
        is_named = np.array([one is not None for one in who])
        left = ~is_named & (window.index - told["window"] < WINDOWS_PER_DAY)
        self._told = {name: each[left] for name, each in told.items()}
        if not is_named.any():
            return None
        named = [one for one in who if one is not None]
        mine = {name: each[is_named] for name, each in told.items()}
        values = {
            "scope": [one[0] for one in named],
            "entity": [one[1] for one in named],
            "owner": [one[3] for one in named],
            "about": [one[2] for one in named],
            "test": ["regularity"] * len(named),
            "measure": ["variation of intervals"] * len(named),
            "behaviour": [22] * len(named),
            "worth": mine["worth"],
            "value": mine["value"],
            "usual": mine["usual"],
            "count": mine["count"],
            "begins": [Window(one).start for one in mine["begun"].tolist()],
            "learned": (window.index - mine["begun"] + 1) // WINDOWS_PER_HOUR,
        }
        return pl.DataFrame(values, schema=UNUSUAL)

    def _day(self, window: Window) -> None:
        """What was counted counts half from now on, and who was not there for long is forgotten."""
        n = self._rows["n"].copy()
        for name in ("n", "judged"):
            self._rows[name][:] //= 2
        for name in ("sum", "squares"):  # by as much as the number, or the mean would move
            self._rows[name][:] = self._rows[name] * self._rows["n"] // np.maximum(n, 1)
        for name in ("own_squares", "own_freedom"):
            self._rows[name][:] -= self._rows[name] // 4
        for name in ("squares", "freedom"):
            self._actions[name][:] -= self._actions[name] // 4
        self._all -= self._all // 4
        before = window.index - self.config.forget_days * WINDOWS_PER_DAY
        self._rows.forget_unseen(before)
        self._actions.forget_unseen(before)
        self.tests.fade()

    # Memory

    def snapshot(self) -> State:
        frames: dict[str, pl.DataFrame] = {}
        for window, waiting in sorted(self._waiting.items()):
            frames[f"regularity.waiting.{window}.{self._shares.get(window, 0)}"] = pl.DataFrame(
                {"row": np.sort(np.concatenate(waiting))}, schema={"row": pl.UInt64()}
            )
        slots = np.flatnonzero(self._sketch)
        return {
            **frames,
            **self._rows.snapshot("regularity"),
            **self._actions.snapshot("regularity.actions"),
            **self.tests.snapshot(),
            "regularity.sketch": pl.DataFrame({"slot": slots, "count": self._sketch[slots]}),
            "regularity.told": pl.DataFrame(self._told),
            "regularity.named": pl.DataFrame(
                [(key, *one) for key, one in sorted(self._named.items())], schema=_NAMED, orient="row"
            ),
            "regularity.counts": pl.DataFrame(
                {"squares": [int(self._all[0])], "freedom": [int(self._all[1])], "left_out": [self._left_out]}
            ),
        }

    def restore(self, state: State) -> None:
        self._rows.restore("regularity", state)
        self._actions.restore("regularity.actions", state)
        self.tests.restore(state)
        for name in ("sketch", "told", "named", "counts"):
            if f"regularity.{name}" not in state:
                raise ValueError(f"there is no regularity.{name}")
        self._waiting, self._sizes, self._shares = {}, {}, {}
        for name, frame in state.items():
            if name.startswith("regularity.waiting."):
                window, share = map(int, name.split(".")[2:])
                self._waiting[window] = [frame["row"].to_numpy().copy()]
                self._sizes[window], self._shares[window] = frame.height, share
        self._sketch[:] = 0
        sketch = state["regularity.sketch"]
        self._sketch[sketch["slot"].to_numpy()] = sketch["count"].to_numpy()
        self._told = {name: state["regularity.told"][name].to_numpy().copy() for name in _nobody()}
        self._named = {key: (scope, who, about, owner) for key, scope, who, about, owner in state["regularity.named"].iter_rows()}  # fmt: skip
        counts = state["regularity.counts"]
        self._all[:] = counts["squares"][0], counts["freedom"][0]
        self._left_out = int(counts["left_out"][0])


def of_note(packed: Keys, known: Keys, sketch: Array) -> tuple[Keys, Array]:
    """Rows in order without those of keys that are neither known nor come often, and the sketch with those that are not known."""
    if kernel.available():
        kept, counted = kernel.module.of_note(packed, TIME_BITS, known, sketch.tobytes(), TELLING)
        return np.frombuffer(kept, np.uint64), np.frombuffer(bytearray(counted), np.uint8)
    key = packed >> np.uint64(TIME_BITS)
    starts = _starts(key)
    sizes = np.diff(starts, append=len(key))
    each = key[starts]
    wanted = np.zeros(len(each), np.bool_)
    if len(known):
        wanted = known[np.minimum(np.searchsorted(known, each), len(known) - 1)] == each
    new = ~wanted
    slot = (each[new] % np.uint64(len(sketch))).astype(np.int64)
    sketch = sketch.copy()
    sketch[slot] = np.minimum(sketch[slot].astype(np.int64) + 1, 255)
    wanted[new] = (sizes[new] >= TELLING) | (sketch[slot] >= TELLING)
    return packed[np.repeat(wanted, sizes)], sketch


def _starts(key: Keys) -> Array:
    """Where each of keys in order begins."""
    first = np.ones(len(key), np.bool_)
    np.not_equal(key[1:], key[:-1], out=first[1:])
    return np.flatnonzero(first)


def _nobody() -> dict[str, Array]:
    """Those who were found and are not known yet, by what is told of them: none."""
    types = {"key": np.uint64, "worth": np.float64, "value": np.float64, "usual": np.float64, "count": np.int64, "begun": np.int64, "window": np.int64}  # fmt: skip
    return {name: np.empty(0, dtype) for name, dtype in types.items()}


_NAMED: Final = pl.Schema(
    {"key": pl.UInt64(), "scope": pl.String(), "who": pl.String(), "about": pl.String(), "owner": pl.String()}
)
