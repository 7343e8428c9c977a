"""What a run to the end says when it is done: what came in, what was found, what was decided, where to look next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from monitor.cli.brought import HELD, IN_FORCE, Before, Chosen, chosen, grown, more
from monitor.cli.ledger import account, total
from monitor.cli.moments import short, span
from monitor.cli.printing import shortened
from monitor.cli.sections import Section
from monitor.counting import counted
from monitor.intake.misread import MISTAKES, misread
from monitor.stores.record import Query

if TYPE_CHECKING:
    from monitor.app import Daemon
    from monitor.cli.ledger import Account
    from monitor.stores.record import Counts
    from playbooks.decision import Decision
    from playbooks.incident import Incident

RULES_SHOWN: Final = 8
WORDS: Final = ("critical", "high", "medium", "low", "informational")
LABELS: Final = {"late": "late", "duplicate": "repeated", "future": "from the future"}

SHADOW: Final = " [of a playbook in shadow: nothing would be done]"


def summary(daemon: Daemon, earlier: Before, given: str) -> list[Section]:
    """The sections of a finished run. `given`: the options with which further commands find the same data."""
    counts = daemon.kept.store.counts()
    shown = chosen(daemon.kept.store, earlier)
    return [
        _came_in(daemon, earlier, counts, given),
        _found(daemon, earlier, counts, shown.incidents, given),
        _decided(earlier, counts, shown),
        _next(earlier, given, shown, counts),
    ]


def _came_in(daemon: Daemon, earlier: Before, counts: Counts, given: str) -> Section:
    own = {intake.partition for intake in daemon.pipeline.intakes}
    now = {name: account(each) for name, each in daemon.kept.store.progress().items() if name in own}
    whole = grown(total(now.values()), total(earlier.accounts[name] for name in now if name in earlier.accounts))
    if not whole["received"]:
        return Section("What came in", [("Nothing new: these sources had been read to their end before.",)])
    unaccounted = whole["imbalance"]
    balance = "every line is accounted for" if not unaccounted else f"{unaccounted:,} LINES ARE UNACCOUNTED FOR"
    events, dead_letters = counted(whole["processed"], "event"), counted(whole["dead_lettered"], "dead letter")
    rows: list[tuple[str, ...]] = [
        ("lines", f"{whole['received']:,} = {events} + {dead_letters}; {balance}"),
    ]
    letters = more(counts.dead_letters_by_reason, earlier.counts.dead_letters_by_reason)
    if letters:
        rows.append(("dead letters", ", ".join(f"{count:,} {reason}" for reason, count in letters.most_common())))
        rows += _example(daemon) if whole["dead_lettered"] > whole["processed"] else []
    rows += [*_extent(daemon, earlier), ("sources", f"{len(own)}")]
    labels = [f"{whole[name]:,} {words}" for name, words in LABELS.items() if whole[name]]
    rows += [("of them", ", ".join(labels))] if labels else []
    rows += _labelled(daemon, earlier, now)
    return Section("What came in", [*rows, *_misread(daemon, earlier, given)])


def _example(daemon: Daemon) -> list[tuple[str, str]]:
    """Why one of the newest lines could not be read, where most could not."""
    newest = next(iter(daemon.kept.store.dead_letters(Query(limit=1))), None)
    if newest is None:
        return []
    expected = "; an event is a JSON object on a line of its own" if newest.format == "ndjson" else ""
    return [("such as", f"{newest.detail}{expected}")]


def _labelled(daemon: Daemon, earlier: Before, now: Mapping[str, Account]) -> Iterator[tuple[str]]:
    """What became of events that came late or claimed the future, and what to do about it."""
    new = {name: grown(each, earlier.accounts.get(name, {})) for name, each in now.items()}
    late = [name for name, each in new.items() if each["late"]]
    again = [name for name in late if earlier.accounts.get(name, {}).get("received")]
    if again:
        told = (
            f"{again[0]} was read before and its time has passed, so rules that count did not see what came late of it"
        )
        yield (f"{told}; read a changed file with a new --data-dir.",)
    if len(late) > len(again):
        helps = "raise clock.lateness_s_max and run with a new --data-dir, or put the events in order"
        yield (f"Rules that count did not see what came late; {helps}.",)
    if any(each["future"] for each in new.values()):
        ahead = f"more than {daemon.config.clock.skew_s_max:,.0f} s ahead of its arrival"
        helps = "set the senders' clocks, or put the events in order"
        yield (f"What claims to be {ahead} was given the time of its arrival; {helps}.",)


def _misread(daemon: Daemon, earlier: Before, given: str) -> Iterator[tuple[str]]:
    """What to do about sources whose new lines look like those of the other format."""
    new = {
        name: grown(account(each), earlier.accounts.get(name, {}))
        for name, each in daemon.kept.store.progress().items()
    }
    counts = {name: (each["received"], each["dead_lettered"]) for name, each in new.items()}
    found = misread(daemon.kept.store, [intake.source for intake in daemon.pipeline.intakes], counts)
    for mistake in MISTAKES.values():
        names = [name for name, its in found.items() if its is mistake]
        if not names:
            continue
        told = f"{names[0]} looks like {mistake.one}"
        if len(names) > 1:
            told = f"{counted(len(names), 'source')} look like {mistake.several}, {names[0]} the first"
        again = f"miniwatch deadletters replay --reason {mistake.reason} --format {mistake.format}{given}"
        yield (f"{told}: {mistake.remedy}; `{again}` takes up what was read.",)


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
    severities = more(counts.findings_by_severity, earlier.counts.findings_by_severity)
    rows: list[tuple[str, ...]] = (
        [*_findings(daemon, earlier, counts, severities)]
        if severities
        else [("Nothing new." if earlier.turn else "Nothing.",)]
    )
    if daemon.rules.problems:
        kept = counted(len(daemon.rules.problems), "problem")
        first = daemon.rules.problems[0].path
        told = (
            f"NOT ALL RULES RAN: {kept} kept some from it, the first in {first}; `miniwatch check{given}` names them."
        )
        rows.insert(0, (told,))
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
    rules = more(counts.findings_by_rule, earlier.counts.findings_by_rule)
    known = {rule.id: rule for rule in daemon.rules.rules}
    found = f"{counted(severities.total(), 'finding')} ({words}) of {counted(len(rules), 'rule')}"
    yield (f"{found}, most often:" if len(rules) > 1 else f"{found}:",)
    for key, count in rules.most_common(RULES_SHOWN):
        rule = known.get(key)
        yield f"{count:,}", rule.severity.value if rule else "", rule.title if rule else key
    yield from _rest(len(rules), RULES_SHOWN)


def _decided(earlier: Before, counts: Counts, shown: Chosen) -> Section:
    whole = counts.tables["decisions"]
    if not whole:
        return Section("What was decided", [("Nothing: no finding called for more than watching.",)])
    states = ", ".join(f"{count:,} {state}" for state, count in counts.decisions_by_state.items())
    rows: list[tuple[str, ...]] = [(f"{_acts(counts.decisions_by_type, 'decision')} ({states}).",)]
    where = ""
    if earlier.turn:
        new = more(counts.decisions_by_type, earlier.counts.decisions_by_type)
        rows = [
            (f"{_acts(new, 'new decision')}." if new else "Nothing new.",),
            (f"In the whole record: {_acts(counts.decisions_by_type, 'decision')} ({states}).",),
        ]
        where = " in the whole record"
    is_live = any(row.mode == "live" for row in (*shown.in_force, *shown.held))
    if not is_live:
        rows.append(("These are what would have been decided then (mode replay); nothing is enforced.",))
    if shown.in_force:
        number = sum(counts.decisions_by_state.get(state, 0) for state in IN_FORCE)
        is_mixed = bool(earlier.decisions) and not earlier.had_decision(shown.in_force[0])
        order = _order(number, "the gravest", is_mixed=is_mixed)
        rows.append((f"{'In force' if is_live else 'Would be in force'}{where}{order}:",))
        rows += [("", f"{_told(row)}{SHADOW if row.mode == 'shadow' else ''}") for row in shown.in_force]
        rows += _rest(number, len(shown.in_force))
    if shown.held:
        number = sum(counts.decisions_by_state.get(state, 0) for state in HELD)
        rows.append((f"Held back{where}, for a person to look at; nothing is done about these:",))
        rows += [("", f"{_told(row)} [{row.reason.value}]") for row in shown.held]
        rows += _rest(number, len(shown.held))
    return Section("What was decided, and why", rows)


def _told(row: Decision) -> str:
    """Its explanation; what an app is called has no bound, a line has one."""
    short = shortened(row.value)
    return row.explanation.replace(row.value, short)


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


def _next(earlier: Before, given: str, shown: Chosen, counts: Counts) -> Section:
    rows: list[tuple[str, str]] = []
    if shown.incidents:
        is_new = bool(earlier.incidents) and not earlier.had_incident(shown.incidents[0])
        which = "the incident of this run with the highest risk" if is_new else "the incident with the highest risk"
        rows.append((f"miniwatch explain {shown.incidents[0].id[:12]}{given}", f"the whole story of {which}"))
    if shown.held:
        rows.append((f"miniwatch decisions list --state held{given}", "what was held back, and why"))
    if shown.in_force:
        first = shown.in_force[0]
        why = "why this was decided, and who may lift it" if first.mode == "live" else "why this would be decided"
        rows.append((f"miniwatch explain {first.id[:12]}{given}", why))
    if any(counts.findings_by_severity.get(word) for word in ("critical", "high")):
        rows.append((f"miniwatch findings list --severity high{given}", "the findings that matter most"))
    if counts.dead_letters_by_reason:
        rows.append((f"miniwatch deadletters list{given}", "lines that could not be read, and why"))
    rows.append((f"miniwatch ledger{given}", "what became of every line"))
    return Section("Where to look next", rows[:5])
