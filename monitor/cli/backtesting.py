"""``miniwatch backtest``: rules over events that are past."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer import Option

from monitor.cli.leaving import USAGE, Refused, say
from monitor.cli.options import ConfigFile, DataDir, Form, From, Output, Since, Until
from monitor.cli.past import Cost, Dataset, Sources, go, opened_past, past_configuration, say_end
from monitor.cli.printing import Column, ObjectWriter, write_rows
from monitor.cli.terminal import visible
from monitor.counting import counted

if TYPE_CHECKING:
    from detectors.sigma import Rule
    from monitor.backtest.comparison import Change
    from monitor.backtest.record import PastRecord
    from monitor.backtest.rerun import Past
    from monitor.backtest.tally import Line
    from monitor.config import Config

PROBLEMS_TOLD_MAX: Final = 10
"""Problems of rules told one by one."""

LINES: Final[list[Column[Line]]] = [
    ("SEVERITY", lambda row: row.rule.severity.value),
    ("FINDINGS", lambda row: row.findings),
    ("EVENTS", lambda row: row.events),
    ("ENTITIES", lambda row: len(row.entities)),
    ("WOULD DECIDE", lambda row: row.decided),
    ("TITLE", lambda row: row.rule.title),
]


def _decided(row: Change) -> str:
    kinds: Sequence[tuple[str, Mapping[str, int]]] = (
        ("+", row.decisions_added), ("-", row.decisions_gone), ("~", row.decisions_changed),
    )  # fmt: skip
    return ", ".join(f"{sign}{count} {act}" for sign, counts in kinds for act, count in sorted(counts.items()))


CHANGES: Final[list[Column[Change]]] = [
    ("RULE", lambda row: row.rule[:8]),
    ("BEFORE", lambda row: row.before),
    ("NOW", lambda row: row.findings),
    ("ADDED", lambda row: row.added),
    ("GONE", lambda row: row.gone),
    ("CHANGED", lambda row: row.changed),
    ("DECISIONS", _decided),
    ("TITLE", lambda row: row.title),
]


def backtest(
    rules: Annotated[
        list[Path] | None,
        Option(
            "--rules", "-r", metavar="PATH", help="Rule files or folders, tested or not. Default: the configured rules."
        ),
    ] = None,
    against: Annotated[
        list[Path] | None,
        Option("--against", metavar="PATH", help="Rules to compare with: tell what is found and decided otherwise."),
    ] = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    dataset: Dataset = None,
    whence: From = None,
    verdicts: Annotated[
        bool, Option("--verdicts", help="Write only which rule is true of which event, an object a line.")
    ] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Run rules over past events, of files or of the archive: what they would find, and what would be decided.

    Nothing is done, kept or sent. With -o ndjson it gives the findings; with --against the differences, a rule a line.
    """
    from monitor import process

    process.prepare()
    if verdicts and against:
        raise typer.BadParameter("does not go with --against", param_hint="--verdicts")
    loaded = past_configuration(config, data_dir, source, since, until, whence)
    now = rule_set(rules, loaded)
    before = rule_set(against, loaded) if against else None
    with opened_past(loaded, since, until, dataset) as past:
        if verdicts:
            _verdicts(past, now)
        elif before is not None:
            _compare(past, now, before, output)
        else:
            _find(past, now, output)


def rule_set(paths: Sequence[Path] | None, config: Config) -> tuple[Rule, ...]:
    """The rules under some paths, tested or not, or those of the configuration; those that cannot be used are told."""
    from detectors.sigma import parse_rules
    from monitor.cli.rule_check import read_rules
    from monitor.cli.telling import problem_text
    from monitor.content.in_force import rules_of
    from monitor.rules.cache import cache_beside

    cache = cache_beside(config.data_dir)
    if paths:
        found, _, refused = read_rules(paths, config, cache.tries.parse if cache else parse_rules)
        rules, problems = found.rules, [each.text for each in refused if not each.is_said]
    else:
        loaded = rules_of(config, cache)
        rules, problems = loaded.rules, [problem_text(problem) for problem in loaded.problems]
    for problem in problems[:PROBLEMS_TOLD_MAX]:
        say(visible(problem))
    if problems:
        say(f"{counted(len(problems), 'problem')}; {counted(len(rules), 'rule')} can be used.")
    if not rules:
        raise Refused("there is no rule to run", USAGE)
    return tuple(rules)


def _verdicts(past: Past, rules: Sequence[Rule]) -> None:
    from detectors.sigma import SigmaDetector
    from monitor.backtest.record import PastRecord
    from monitor.backtest.verdicts import Verdicts

    singles = [rule for rule in rules if not rule.is_correlation]
    record = PastRecord()
    watching = Verdicts(SigmaDetector(singles), sys.stdout.buffer)
    cost = go(past, [watching], record)
    sys.stdout.buffer.flush()
    say_end(record, cost, f"{counted(int(watching.counts.sum()), 'verdict')} of {counted(len(singles), 'rule')}")
    if len(singles) < len(rules):
        say(f"{counted(len(rules) - len(singles), 'correlation')} left out: a verdict is on a single event.")


def _find(past: Past, rules: Sequence[Rule], output: Form) -> None:
    from monitor.backtest.tally import Tally
    from monitor.cli.rule_files import handles

    tally = Tally(rules)
    writer = ObjectWriter(output) if output is not Form.TABLE else None

    def final(finding: Any) -> None:
        tally.add(finding)
        if writer is not None:
            writer.add(finding)

    record, cost = _run(past, rules, final)
    tally.decided(record.decisions.values())
    lines = tally.most_first()
    if writer is not None:
        writer.close()
    else:
        called = handles(rules)
        named: Column[Line] = ("RULE", lambda row: called[row.rule.id])
        write_rows(output, [line for line in lines if line.findings], [named, *LINES])
    found = sum(line.findings for line in lines)
    quiet = sum(not line.findings for line in lines)
    say_end(record, cost, f"{counted(found, 'finding')}, {counted(quiet, 'rule')} found nothing")


def _compare(past: Past, now: Sequence[Rule], before: Sequence[Rule], output: Form) -> None:
    from monitor.backtest.comparison import Comparison

    if any(source.uri.startswith("stdin:") for source in past.config.sources):
        raise Refused("standard input can be read only once; give a file to compare over", USAGE)
    comparison = Comparison(now, before)
    for side, rules, title in ((comparison.before, before, "before"), (comparison.now, now, "now")):
        record, cost = _run(past, rules, side.found.add, title)
        side.decisions = tuple(record.decisions.values())
    changes = comparison.changes()
    if output is Form.TABLE:
        told = [change for change in changes if not change.is_none]
        if told:
            write_rows(output, told, CHANGES)
        else:
            say("Both find and decide the same.")
    else:
        write_rows(output, [change.row() for change in changes], [])
    left_out = comparison.now.found.left_out + comparison.before.found.left_out
    if left_out:
        say(f"{counted(left_out, 'finding')} beyond what is compared were left out.")
    totals = [sum(getattr(change, name) for change in changes) for name in ("added", "gone", "changed")]
    say_end(record, cost, "{:,} findings added, {:,} gone, {:,} changed".format(*totals))


def _run(past: Past, rules: Sequence[Rule], final: Any, title: str = "reading") -> tuple[PastRecord, Cost]:
    from detectors.sigma import SigmaDetector
    from monitor.backtest.record import PastRecord

    windows = {rule.id for rule in rules if rule.is_correlation}
    record = PastRecord(final, whole_at_once=windows, standings=past.standings, marks=past.marks)
    detector = SigmaDetector(rules, past.config.rules.window_events_max)
    cost = go(past, [detector], record, title)
    if detector.forgotten:
        say(f"Windows forgot {counted(detector.forgotten, 'event')}: rules.window_events_max is less than they hold.")
    return record, cost
