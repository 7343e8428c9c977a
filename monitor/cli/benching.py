"""``miniwatch rules bench``: what each rule costs."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.options import ConfigFile, DataDir, Form, Output, Since, Until
from monitor.cli.past import Dataset, Sources, go, opened_past, past_configuration
from monitor.cli.printing import Column, write_rows
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.backtest.profile import Profile

EVENTS_DEFAULT: Final = 50_000
EVENTS_MAX: Final = 2_000_000
"""Events held in memory and gone over several times."""

TOP: Final = 20
"""Rules in a table when nobody asks for more."""

Row = dict[str, Any]
COLUMNS: Final[list[Column[Row]]] = [
    ("NS AN EVENT", lambda row: f"{row['ns_an_event']:,.1f}"),
    ("SHARE", lambda row: f"{row['share']:.1%}"),
    ("HITS", lambda row: row["hits"]),
    ("TITLE", lambda row: row["title"]),
]


def bench(
    paths: Annotated[
        list[Path] | None,
        Argument(
            metavar="PATH",
            help="Rule files and folders, tested or not. Default: the configured rules.",
            show_default=False,
        ),
    ] = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    dataset: Dataset = None,
    events: Annotated[
        int, Option("--events", metavar="N", min=1, max=EVENTS_MAX, help="Go over so many events.")
    ] = EVENTS_DEFAULT,
    limit: Annotated[
        int | None,
        Option("--limit", metavar="N", min=1, help=f"At most so many rules. Default: {TOP} for a table, else all."),
    ] = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Say what each rule costs and how often it is true, over past events; the dearest first.

    Work that rules share is divided among those who share it, so that all shares add up to one.
    """
    from monitor import process

    process.prepare()
    from monitor.backtest.profile import profile
    from monitor.backtest.record import PastRecord
    from monitor.backtest.sample import Sample
    from monitor.cli.backtesting import rule_set
    from monitor.cli.rule_files import handles

    loaded = past_configuration(config, data_dir, source, since, until)
    rules = rule_set(paths, loaded)
    with opened_past(loaded, since, until, dataset) as past:
        sample = Sample(frozenset[str]().union(*(rule.needs for rule in rules)), events)
        go(past, [sample], PastRecord(), enough=lambda: sample.is_full)
    found = profile(rules, sample.batches, loaded.rules.window_events_max)
    shown = limit if limit is not None else (TOP if output is Form.TABLE else None)
    rows = _rows(found)
    called = handles(rules)
    write_rows(output, rows[:shown], [("RULE", lambda row: called[row["rule"]]), *COLUMNS])
    if output is Form.TABLE and shown is not None and len(rows) > shown:
        say(f"The {shown} dearest of {counted(len(rows), 'rule')}; --limit N shows more.")
    _say_whole(found)


def _rows(found: Profile) -> list[Row]:
    whole = sum(cost.cpu_ns for cost in found.costs)
    return [
        {
            "rule": cost.rule.id,
            "title": cost.rule.title,
            "path": cost.rule.path,
            "ns_an_event": cost.cpu_ns / max(found.events, 1),
            "share": cost.cpu_ns / whole if whole else 0.0,
            "hits": cost.hits,
        }
        for cost in found.costs
    ]


def _say_whole(found: Profile) -> None:
    """The rules without decoding and deciding."""
    if not found.events:
        say("No events to go over.")
        return
    ns = found.whole_s * 1e9 / found.events
    matching = found.match_s / found.whole_s if found.whole_s else 1.0
    say(
        f"{counted(found.events, 'event')}: {found.events / max(found.whole_s, 1e-9):,.0f} a CPU second, {ns:,.0f} ns an event; "
        f"{matching:.0%} of it matching, the rest windows and findings. Decoding is not in it."
    )
