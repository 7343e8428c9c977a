"""Why a rule does not speak of an app: the event that came nearest to it, or the windows that did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors.event import END_OF_TIME, TIME, Batch
from detectors.sigma import Rule, explain
from detectors.sigma.fields import covers
from detectors.sigma.miss import Miss, nearest_miss
from detectors.sigma.seen import seen
from monitor.cli.leaving import USAGE, Refused
from monitor.cli.moments import short, stamp
from monitor.cli.opening import record
from monitor.cli.options import Form
from monitor.cli.printing import write_one, write_text
from monitor.cli.rule_named import rule_and_counted
from monitor.cli.spelling import as_written
from monitor.cli.terminal import visible
from monitor.cli.window_telling import window_lines, windows_told
from monitor.counting import counted
from monitor.pipeline import decoded_fields
from monitor.recall import recalled
from monitor.registry import Registry

if TYPE_CHECKING:
    from monitor.cli.opening import Opened

EVENTS_MAX: Final = 50_000
"""Events of the app that are looked at, the newest."""

TRUE_NAMED_MAX: Final = 5
"""Events named of those that a rule is true of."""

Row = dict[str, Any]


def why_not(app: str, name: str, output: Form, config: Path | None, data_dir: Path | None) -> None:
    """Tell how near a rule came to speaking of an app, by the app's archived events."""
    with record(config, data_dir) as opened:
        rule, rules = rule_and_counted(name, opened.config)
        frame = _events(opened, app, frozenset[str]().union(*(each.needs for each in rules)))
    if not frame.height:
        raise Refused(f"the archive has no event of app {app}", USAGE)
    told = {"app": app, "rule": rule.id, "title": rule.title, "events": frame.height, **_times(frame)}
    if rule.window is not None:
        told |= _windows(rule, rules, frame)
    else:
        told |= _single(rule, frame)
    tree = told.get("nearest", {}).get("tree") if output is Form.TABLE else None
    write_one(output, _plain(told), _lines(told))
    if tree is not None:
        write_text("\nThe whole of it:\n" + "\n".join(visible(line) for line in tree))


def _events(opened: Opened, app: str, needs: frozenset[str]) -> pl.DataFrame:
    """The app's newest events, in the order of processing, with every column that the rules need."""
    fields = decoded_fields(needs)
    frames: list[pl.DataFrame] = []
    left = EVENTS_MAX
    where = pl.col("miniprogram.app_id") == app
    for frame in opened.archive().scan(opened.archived(), where=where, newest_first=True):
        frames.append(recalled(frame.head(left).reverse(), fields))
        left -= frames[-1].height
        if left <= 0:
            break
    if not frames:
        return pl.DataFrame()
    return Registry(list(opened.store.apps())).join(pl.concat(frames[::-1]), needs)


def _times(frame: pl.DataFrame) -> Row:
    time = frame.get_column(TIME).to_numpy()
    return {"from": int(time.min()), "to": int(time.max())}


def _single(rule: Rule, frame: pl.DataFrame) -> Row:
    """How near a rule on single events came."""
    about = frame.filter(_is_about(rule, frame))
    miss = nearest_miss(rule, about)
    if miss is None:
        others = frame.get_column("event.dataset").drop_nulls().value_counts(sort=True)["event.dataset"].to_list()
        return {"of_datasets": 0, "datasets": list(rule.datasets), "other_datasets": others, "true_of": 0}
    told: Row = {"of_datasets": about.height, "datasets": list(rule.datasets), "true_of": miss.true_of}
    if miss.true_of:
        return told | {"true": _true(rule, about)}
    return told | {"nearest": _nearest(rule, about, miss)}


def _is_about(rule: Rule, frame: pl.DataFrame) -> pl.Series:
    datasets = frame.get_column("event.dataset")
    fitting = [one for one in datasets.drop_nulls().unique() if any(covers(pattern, one) for pattern in rule.datasets)]
    return datasets.is_in(fitting).fill_null(value=False)


def _true(rule: Rule, frame: pl.DataFrame) -> list[str]:
    from detectors.sigma import SigmaDetector  # noqa: PLC0415 - most rules that are asked about are true of nothing

    rows = SigmaDetector([rule]).matches(Batch(frame, END_OF_TIME))[rule.id]
    return frame.get_column("event.id")[pl.Series(rows[-TRUE_NAMED_MAX:], dtype=pl.UInt32)].to_list()


def _nearest(rule: Rule, frame: pl.DataFrame, miss: Miss) -> Row:
    row = frame[miss.row : miss.row + 1]
    explanation = explain(rule, Batch(frame, END_OF_TIME), miss.row)
    written = as_written(rule, explanation)
    spelt = dict(zip(_asked(explanation), _asked(written), strict=True))
    unmet = []
    for one in miss.unmet:
        what = seen(one.predicate, row, true=not one.must)
        found = "nothing is there" if what.found is None else f"found {what.found!r}"
        other = f", {one.predicate.operands[0]} {'is missing' if what.other is None else f'is {what.other!r}'}"
        found += other if one.predicate.op == "compared with the field" else ""
        asks = spelt.get(str(one.predicate), str(one.predicate))
        unmet.append({"asks": asks, "must": one.must, "found": what.found, "why": found})
    return {
        "event": row["event.id"][0],
        "time": int(row[TIME][0]),
        "unmet": unmet,
        "why": written.row(),
        "tree": written.lines(1),
    }


def _asked(explanation: Any) -> list[str]:
    return [explanation.text, *(text for part in explanation.parts for text in _asked(part))]


def _windows(rule: Rule, rules: Sequence[Rule], frame: pl.DataFrame) -> Row:
    """How near the windows of a correlation came; and where nothing is counted, how near an event came."""
    assert rule.window is not None  # noqa: S101 - the caller has looked
    told, matches = windows_told(rule, rules, frame)
    by_id = {each.id: each for each in rules}
    silent = [by_id[base] for base in rule.window.bases if not by_id[base].is_correlation and base not in matches]
    if silent and not told["windows"]:
        told |= {"base": silent[0].name or silent[0].title, **_single(silent[0], frame)}
    return told


def _plain(told: Row) -> Row:
    """For programs: times as RFC 3339, and no lines for people."""
    row = {
        key: stamp(value) if key in ("from", "to", "time") else value for key, value in told.items() if key != "tree"
    }
    return {
        key: _plain(value) if isinstance(value, dict) else [_plain(one) if isinstance(one, dict) else one for one in value] if isinstance(value, list) else value
        for key, value in row.items()
    }  # fmt: skip


def _lines(told: Row) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = [
        ("Rule", f"{told['title']} ({told['rule']})"),
        ("App", told["app"]),
        (
            "Looked at",
            f"{counted(told['events'], 'event')} of the app, {short(told['from'])} to {short(told['to'])} UTC",
        ),
    ]
    if "hits" in told:
        lines += window_lines(told)
    if "of_datasets" in told:
        base = f"{told['base']!r}: " if "base" in told else ""
        about = f"{base}{told['of_datasets']} of the events are of {' or '.join(told['datasets'])}"
        others = f"; others are of {', '.join(told['other_datasets'][:5])}" if told.get("other_datasets") else ""
        lines.append(("Datasets", about + others))
    if told.get("true"):
        lines.append(("True of", f"{counted(told['true_of'], 'event')}, such as {', '.join(told['true'])}"))
    if "nearest" in told:
        nearest = told["nearest"]
        lines.append(("Nearest event", f"{nearest['event']}, {short(nearest['time'])} UTC"))
        must = {True: "must be so", False: "must not be so"}
        lines.append(("It fails", [f"{must[one['must']]}: {one['asks']} ({one['why']})" for one in nearest["unmet"]]))
    return lines
