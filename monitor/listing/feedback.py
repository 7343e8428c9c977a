"""What marks come to, as programs and people read it: how often rules and detectors are right, and what would be silenced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from monitor.counting import counted
from monitor.listing.wire import Told, wire
from monitor.stores.undos import Verdict
from playbooks.precision import Precision

if TYPE_CHECKING:
    from monitor.backtest.silencing import Silenced
    from monitor.stores.marks import Judged
    from monitor.stores.sql import SqlStore

UNMARKED: Final = Precision()


class Precisions(msgspec.Struct, frozen=True, kw_only=True):
    """How often people found what was found right: by the rule's id, by the detector's name, by the kind of detector."""

    rules: Mapping[str, Precision]
    detectors: Mapping[str, Precision]
    kinds: Mapping[str, Precision]

    def of_rule(self, rule: str) -> Precision:
        return self.rules.get(rule, UNMARKED)

    def of_detector(self, detector: str) -> Precision:
        return self.detectors.get(detector, UNMARKED)


def precisions(store: SqlStore) -> Precisions:
    """What all marks in the record come to, those that are input of nothing any more included."""
    judged = store.judged()
    return Precisions(
        rules=_summed((one.rule, one) for one in judged),
        detectors=_summed((one.detector, one) for one in judged),
        kinds=_summed((one.kind, one) for one in judged),
    )


def precision_of_detector(store: SqlStore, detector: str) -> Precision:
    """What the marks of a detector's findings come to: a model's, say."""
    return precisions(store).of_detector(detector)


def _summed(judged: Iterable[tuple[str, Judged]]) -> dict[str, Precision]:
    found: dict[str, Precision] = {}
    for key, one in judged:
        found[key] = found.get(key, UNMARKED) + _of(one)
    return found


def _of(one: Judged) -> Precision:
    names = {Verdict.TRUE: "true", Verdict.FALSE: "false", Verdict.BENIGN_KNOWN: "benign_known"}
    return Precision(**{names[one.verdict]: one.findings})


def precision_told(one: Precision) -> Told | None:
    """For programs; null where nothing was marked. Shares are 0 to 1, and null where nothing was judged true or false."""
    if not one.marked:
        return None
    low, high = one.interval or (None, None)
    counts = {"marked": one.marked, "true": one.true, "false": one.false, "benign_known": one.benign_known}
    return {"precision": one.share, "low": low, "high": high, **counts}


def share_text(one: Precision) -> str:
    """In a cell: `75 % (47 to 91)`."""
    if one.share is None or one.interval is None:
        return ""
    low, high = one.interval
    return f"{one.share:.0%} ({low:.0%} to {high:.0%})".replace("%", " %")


def precision_text(one: Precision) -> str:
    """In a sentence, for people; empty where nothing was marked."""
    if not one.marked:
        return ""
    benign = f"; {one.benign_known:,} benign-known" if one.benign_known else ""
    if not one.judged:
        return f"{counted(one.marked, 'finding')} marked{benign}"
    of = f"{one.true:,} of {counted(one.judged, 'marked finding')} true"
    return f"{share_text(one)} at 95 %: {of}{benign}"


def silenced_told(one: Silenced) -> Told:
    """What would be silenced, for programs."""
    return {**wire(one), "decisions": [wire(decision) for decision in one.decisions]}
