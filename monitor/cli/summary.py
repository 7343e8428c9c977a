"""What a run to the end says when it is done: what came in, what was found, what was decided, where to look next."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import heapq
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.cli.counting import counted
from monitor.cli.ledger import Account, account, total
from monitor.cli.moments import short, span
from monitor.cli.printing import STYLES, visible

if TYPE_CHECKING:
    from monitor.app import Daemon
    from monitor.stores.record import Counts
    from monitor.stores.sqlite import SqliteStore
    from playbooks.decision import Decision
    from playbooks.incident import Incident

RULES_SHOWN: Final = 8
INCIDENTS_SHOWN: Final = 5
DECISIONS_SHOWN: Final = 4
"""Of those in force, and as many of those held."""

DECISIONS_READ_MAX: Final = 20_000
WORDS: Final = ("critical", "high", "medium", "low", "informational")
GRAVEST_FIRST: Final = ("ban", "remove", "function-ban", "throttle", "captcha", "force-update", "warn")
"""Acts from the highest tier to the lowest; within a tier, what takes more away comes first."""

IN_FORCE: Final = ("active",)
HELD: Final = ("held", "awaiting-approval")
LABELS: Final = {
    "late": "late (rules that count did not see them; to try again use a new --data-dir)",
    "duplicate": "repeated",
    "future": "from the future",
}


@dataclass(frozen=True, slots=True)
class Before:
    """The record as it stood when the run began, so that the summary is about the run."""

    turn: int
    accounts: Mapping[str, Account]
    counts: Counts
    incidents: Mapping[str, int]  # how many findings each had
    decisions: frozenset[str]  # those in force and those held

    def had_incident(self, row: Incident) -> bool:
        """Whether the run has added nothing to an incident."""
        return self.incidents.get(row.id) == row.findings

    def had_decision(self, row: Decision) -> bool:
        """Whether a decision was there before the run."""
        return row.id in self.decisions


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is shown of incidents and decisions: what the run brought before what was there, then the gravest first."""

    incidents: Sequence[Incident]
    in_force: Sequence[Decision]
    held: Sequence[Decision]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its rows; cells of a row stand in columns, a row of one cell is a sentence."""

    title: str
    rows: Sequence[tuple[str, ...]]


def before(store: SqliteStore) -> Before:
    """Taken before the first turn."""
    return Before(
        turn=store.last_turn(),
        accounts={name: account(each) for name, each in store.progress().items()},
        counts=store.counts(),
        incidents={row.id: row.findings for row in store.incidents()},
        decisions=frozenset(row.id for row in _standing(store, (*IN_FORCE, *HELD))),
    )


def summary(daemon: Daemon, earlier: Before, given: str) -> list[Section]:
    """The sections of a finished run. `given`: the options with which further commands find the same data."""
    counts = daemon.kept.store.counts()
    chosen = _chosen(daemon.kept.store, earlier)
    return [
        _came_in(daemon, earlier, counts),
        _found(daemon, earlier, counts, chosen.incidents, given),
        _decided(earlier, counts, chosen),
        _next(earlier, given, chosen, counts),
    ]


def write_summary(sections: Sequence[Section]) -> None:
    """To standard output: with colours on a terminal, plain elsewhere."""
    if sys.stdout.isatty():
        _write_rich(sections)
        return
    for section in sections:
        sys.stdout.write(f"{section.title}\n")
        for line in _lines(section):
            sys.stdout.write(f"  {line}\n")
        sys.stdout.write("\n")


def _came_in(daemon: Daemon, earlier: Before, counts: Counts) -> Section:
    own = {intake.partition for intake in daemon.pipeline.intakes}
    now = {name: account(each) for name, each in daemon.kept.store.progress().items() if name in own}
    whole = _grown(total(now.values()), total(earlier.accounts[name] for name in now if name in earlier.accounts))
    if not whole["received"]:
        return Section("What came in", [("Nothing new: these sources had been read to their end before.",)])
    unaccounted = whole["imbalance"]
    balance = "every line is accounted for" if not unaccounted else f"{unaccounted:,} LINES ARE UNACCOUNTED FOR"
    events, dead_letters = counted(whole["processed"], "event"), counted(whole["dead_lettered"], "dead letter")
    rows = [
        ("lines", f"{whole['received']:,} = {events} + {dead_letters}; {balance}"),
        *_extent(daemon, earlier),
        ("sources", f"{len(own)}"),
    ]
    labels = [f"{whole[name]:,} {words}" for name, words in LABELS.items() if whole[name]]
    rows += [("of them", ", ".join(labels))] if labels else []
    letters = _more(counts.dead_letters_by_reason, earlier.counts.dead_letters_by_reason)
    rows += (
        [("dead letters", ", ".join(f"{count:,} {reason}" for reason, count in letters.most_common()))]
        if letters
        else []
    )
    return Section("What came in", rows)


def _extent(daemon: Daemon, earlier: Before) -> list[tuple[str, str]]:
    """Over what time, and of how many apps, the new events are."""
    kept = daemon.kept
    segments = [segment for segment in kept.store.segments() if segment.turn_last > earlier.turn]
    if not segments:
        return []
    first, last = min(segment.time_min for segment in segments), max(segment.time_max for segment in segments)
    apps: set[str] = set()
    for frame in kept.archive.scan(segments, columns=["miniprogram.app_id"], turn_after=earlier.turn):
        apps.update(frame.to_series().drop_nulls().unique().to_list())
    time = f"{short(first)} to {short(last)} UTC ({span(first, last)})" if first < last else f"{short(first)} UTC"
    return [("time", time), ("apps", f"{len(apps):,}")]


def _found(daemon: Daemon, earlier: Before, counts: Counts, incidents: Sequence[Incident], given: str) -> Section:
    severities = _more(counts.findings_by_severity, earlier.counts.findings_by_severity)
    rows: list[tuple[str, ...]] = (
        [*_findings(daemon, earlier, counts, severities)]
        if severities
        else [("Nothing new." if earlier.turn else "Nothing.",)]
    )
    if daemon.rules.problems:
        kept = counted(len(daemon.rules.problems), "problem")
        rows.append((f"{kept} kept rules from running; `miniwatch check` names them.",))
    asking = [rule for rule in daemon.rules.rules if any(name.startswith("app.") for name in rule.needs)]
    if asking and next(iter(daemon.kept.store.apps()), None) is None:
        told = f"No registry of apps was imported, so {counted(len(asking), 'rule')} that ask it may be silent or wrong"
        rows.append((f"{told}; `miniwatch apps import FILE{given}` takes one up.",))
    whole, new = counts.tables["incidents"], counts.tables["incidents"] - earlier.counts.tables["incidents"]
    if whole:
        opened = (
            f"{counted(new, 'new incident')}; {whole:,} in the whole record"
            if earlier.turn
            else counted(whole, "incident")
        )
        is_mixed = bool(earlier.incidents) and not earlier.had_incident(incidents[0])
        rows.append((f"{opened}{_order(whole, 'the highest risk', is_mixed=is_mixed)}:",))
    rows += [(f"{row.risk:.0f}", row.severity.value, row.title, counted(row.findings, "finding")) for row in incidents]
    rows += _rest(whole, len(incidents))
    return Section("What was found", rows)


def _findings(daemon: Daemon, earlier: Before, counts: Counts, severities: Counter[str]) -> Iterator[tuple[str, ...]]:
    """The run's findings: how grave, and of which rules."""
    words = ", ".join(f"{severities[word]:,} {word}" for word in WORDS if severities[word])
    rules = _more(counts.findings_by_rule, earlier.counts.findings_by_rule)
    known = {rule.id: rule for rule in daemon.rules.rules}
    found = f"{counted(severities.total(), 'finding')} ({words}) of {counted(len(rules), 'rule')}"
    yield (f"{found}, most often:" if len(rules) > 1 else f"{found}:",)
    for key, count in rules.most_common(RULES_SHOWN):
        rule = known.get(key)
        yield f"{count:,}", rule.severity.value if rule else "", rule.title if rule else key
    yield from _rest(len(rules), RULES_SHOWN)


def _decided(earlier: Before, counts: Counts, chosen: Chosen) -> Section:
    whole = counts.tables["decisions"]
    if not whole:
        return Section("What was decided", [("Nothing: no finding called for more than watching.",)])
    states = ", ".join(f"{count:,} {state}" for state, count in counts.decisions_by_state.items())
    rows: list[tuple[str, ...]] = [(f"{_acts(counts.decisions_by_type, 'decision')} ({states}).",)]
    where = ""
    if earlier.turn:
        new = _more(counts.decisions_by_type, earlier.counts.decisions_by_type)
        rows = [
            (f"{_acts(new, 'new decision')}." if new else "Nothing new.",),
            (f"In the whole record: {_acts(counts.decisions_by_type, 'decision')} ({states}).",),
        ]
        where = " in the whole record"
    is_live = any(row.mode == "live" for row in (*chosen.in_force, *chosen.held))
    if not is_live:
        rows.append(("These are what would have been decided then; nothing is enforced.",))
    if chosen.in_force:
        number = sum(counts.decisions_by_state.get(state, 0) for state in IN_FORCE)
        is_mixed = bool(earlier.decisions) and not earlier.had_decision(chosen.in_force[0])
        order = _order(number, "the gravest", is_mixed=is_mixed)
        rows.append((f"{'In force' if is_live else 'Would be in force'}{where}{order}:",))
        rows += [("", row.explanation) for row in chosen.in_force]
        rows += _rest(number, len(chosen.in_force))
    if chosen.held:
        number = sum(counts.decisions_by_state.get(state, 0) for state in HELD)
        rows.append((f"Held back{where}, for a person to look at; nothing is done about these:",))
        rows += [("", f"{row.explanation} [{row.reason.value}]") for row in chosen.held]
        rows += _rest(number, len(chosen.held))
    return Section("What was decided, and why", rows)


def _acts(by_type: Mapping[str, int], noun: str) -> str:
    told = ", ".join(f"{count:,} {act}" for act, count in by_type.items())
    return f"{counted(sum(by_type.values()), noun)}: {told}"


def _order(number: int, first: str, *, is_mixed: bool = False) -> str:
    """How a list is ordered; of a list of one there is nothing to say. Mixed: it holds also what was there before."""
    if number < 2:
        return ""
    return f", what this run brought before the rest, {first} first" if is_mixed else f", {first} first"


def _rest(number: int, shown: int) -> list[tuple[str, str]]:
    """How many more there are than are shown."""
    return [("", f"and {number - shown:,} more")] if number > shown else []


def _chosen(store: SqliteStore, earlier: Before) -> Chosen:
    incidents = heapq.nsmallest(
        INCIDENTS_SHOWN, store.incidents(), key=lambda row: (earlier.had_incident(row), -row.risk, -row.findings)
    )
    severities = {row.id: row.severity.rank for row in store.incidents()}

    def gravity(row: Decision) -> tuple[bool, int, int, int, str]:
        severity = severities.get(row.incident or "", 0)
        return earlier.had_decision(row), GRAVEST_FIRST.index(row.type), -severity, row.time, row.id

    in_force, held = (
        heapq.nsmallest(DECISIONS_SHOWN, _standing(store, states), gravity) for states in (IN_FORCE, HELD)
    )
    return Chosen(incidents, in_force, held)


def _standing(store: SqliteStore, states: Sequence[str]) -> Iterator[Decision]:
    """Decisions in some states, the newest of each."""
    from monitor.stores.record import Query

    for state in states:
        yield from store.decisions(Query(state=state, limit=DECISIONS_READ_MAX))


def _next(earlier: Before, given: str, chosen: Chosen, counts: Counts) -> Section:
    rows: list[tuple[str, str]] = []
    if chosen.incidents:
        is_new = bool(earlier.incidents) and not earlier.had_incident(chosen.incidents[0])
        which = "the incident of this run with the highest risk" if is_new else "the incident with the highest risk"
        rows.append((f"miniwatch explain {chosen.incidents[0].id[:12]}{given}", f"the whole story of {which}"))
    if chosen.held:
        rows.append((f"miniwatch decisions list --state held{given}", "what was held back, and why"))
    if chosen.in_force:
        first = chosen.in_force[0]
        why = "why this was decided, and who may lift it" if first.mode == "live" else "why this would be decided"
        rows.append((f"miniwatch explain {first.id[:12]}{given}", why))
    if any(counts.findings_by_severity.get(word) for word in ("critical", "high")):
        rows.append((f"miniwatch findings list --severity high{given}", "the findings that matter most"))
    if counts.dead_letters_by_reason:
        rows.append((f"miniwatch deadletters list{given}", "lines that could not be read, and why"))
    rows.append((f"miniwatch ledger{given}", "what became of every line"))
    return Section("Where to look next", rows[:5])


def _grown(now: Account, earlier: Account) -> Account:
    return {name: value - earlier[name] if isinstance(value, int) else value for name, value in now.items()}


def _more(now: Mapping[str, int], earlier: Mapping[str, int]) -> Counter[str]:
    return +(Counter(now) - Counter(earlier))


def _lines(section: Section) -> list[str]:
    """Rows as lines: neighbours with the same number of cells share their columns."""
    lines: list[str] = []
    rows = list(section.rows)
    begin = 0
    while begin < len(rows):
        size = len(rows[begin])
        end = next((place for place in range(begin, len(rows)) if len(rows[place]) != size), len(rows))
        widths = [max(len(row[column]) for row in rows[begin:end]) for column in range(size)]
        indent = "  " if size > 2 else ""
        for row in rows[begin:end]:
            cells = [f"{visible(cell):<{width}}" for cell, width in zip(row, widths, strict=True)]
            lines.append(indent + "  ".join(cells).rstrip())
        begin = end
    return lines


def _write_rich(sections: Sequence[Section]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for section in sections:
        console.print(Text(section.title, style="bold"))
        for line in _lines(section):
            text = Text(line)
            text.highlight_words([word for word in STYLES if f" {word} " in f" {line} "], "yellow")
            text.highlight_regex(r"^miniwatch [^ ].*?(?=  |$)", "cyan")
            console.print(Padding(text, (0, 0, 0, 2)))
        console.print()
