"""``miniwatch explain``: the story behind an id, in a screen."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Option

from monitor.cli.apps import show_app
from monitor.cli.decision_story import fate, history, without_rule
from monitor.cli.leaving import USAGE, Refused
from monitor.cli.lists import Id
from monitor.cli.marking import mark_lines
from monitor.cli.moments import MICROSECONDS, short
from monitor.cli.options import ConfigFile, DataDir, Form, Output
from monitor.cli.printing import wire, write_one, write_pairs, write_text
from monitor.cli.rules import show_rule
from monitor.cli.telling import (
    appeal_lines,
    decision_lines,
    decision_text,
    entity_text,
    finding_lines,
    incident_lines,
    tended_lines,
)
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    import polars as pl

    from detectors.finding import Finding
    from monitor.cli.opening import Opened

KINDS: Final = ("finding", "incident", "decision")
OTHERS_MAX: Final = 6
"""Of each kind of further thing about the same entity."""

NEAR_US: Final = 86_400 * MICROSECONDS
"""Findings so long before and after an event are looked at for it."""

FINDINGS_MAX: Final = 2000
"""Findings of an incident that are looked at, the newest."""


class Story:
    """What is told of one thing, part by part."""

    def __init__(self, kind: str, row: Any) -> None:
        self.kind = kind
        self.row = row
        self.parts: list[tuple[str, list[tuple[str, object]]]] = []

    def add(self, title: str, lines: Iterable[tuple[str, object]]) -> None:
        """A part with its title; one in which nothing is said is left out."""
        told = [(name, value) for name, value in lines if value not in (None, "", [], ())]
        if told:
            self.parts.append((title, told))

    def write(self, output: Form) -> None:
        """For people the parts below one another; for programs the thing itself and its parts by their titles."""
        if output is not Form.TABLE:
            story = [
                {"title": title, "lines": [[name, _plain(value)] for name, value in lines]}
                for title, lines in self.parts
            ]
            write_one(output, {"kind": self.kind, self.kind: wire(self.row), "story": story}, [])
            return
        (_, lines), *others = self.parts
        write_pairs(lines)
        for title, told in others:
            write_text(f"\n{title}")
            write_pairs([(f"  {name}", value) for name, value in told])


def _plain(value: object) -> object:
    """A value as programs read it: numbers and texts, and lists of texts."""
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return value if isinstance(value, int | float) else str(value)


def explain(
    key: Id,
    why_not: Annotated[
        str | None,
        Option(
            "--why-not",
            metavar="RULE",
            help="Of an app: how near this rule came to speaking of it.",
            show_default=False,
        ),
    ] = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Tell the story of a finding, incident, decision or event: why, by which rule, until when, who may lift it.

    Of an app or a rule it shows what `apps show` and `rules show` do; with --why-not, why a rule does not speak of an app.
    """
    from monitor.cli.opening import record

    if not key.strip():
        raise Refused("an id is expected", USAGE)
    if why_not is not None:
        from monitor.cli.why_not import why_not as tell_why_not

        tell_why_not(key, why_not, output, config, data_dir)
        return
    with record(config, data_dir) as opened:
        found = [(kind, each) for kind in KINDS for each in opened.store.ids_starting(f"{kind}s", key)]
        exact = [pair for pair in found if pair[1] == key]
        if len(exact or found) > 1:
            several = ", ".join(f"{kind} {each}" for kind, each in found[:5])
            raise Refused(f"{key} is the beginning of several ids: {several}; write more of it", USAGE)
        if found:
            kind, whole = (exact or found)[0]
            tell = {"finding": _explain_finding, "incident": _explain_incident, "decision": _explain_decision}[kind]
            tell(opened, whole).write(output)
            return
        is_app = _is_app(opened, key)
        story = None if is_app else _explain_event(opened, key)
        if story is not None:
            story.write(output)
            return
    if is_app:
        show_app(key, output=output, config=config, data_dir=data_dir)
    else:
        _show_rule(key, output, config)


def _is_app(opened: Opened, key: str) -> bool:
    """Whether anything is known of an app with this id."""
    from detectors.finding import Entity, Scope

    app = Entity(Scope.APP, key)
    return app in opened.store.risks([app]) or any(row.app_id == key for row in opened.store.apps())


def _show_rule(key: str, output: Form, config: ConfigFile) -> None:
    """Show a rule; refused when that is no rule either."""
    try:
        show_rule(key, output=output, config=config)
    except Refused as refused:
        raise Refused(f"no finding, incident, decision, event or app has the id {key}; {refused}", USAGE) from None


def _explain_finding(opened: Opened, key: str) -> Story:
    from monitor.cli.opening import there
    from monitor.listing.feedback import precision_text, precisions

    row = there(opened.store.finding(key))
    story = Story("finding", row)
    story.add("Finding", [*finding_lines(row), *mark_lines(opened, row)])
    word = opened.store.considered(key)
    if word is not None:
        story.add(
            "What became of it",
            [(word.reason.value, word.detail), ("incident", word.incident), ("decision", word.decision)],
        )
        decision = opened.store.decision(word.decision) if word.decision else None
        if decision is not None:
            story.add("What was decided", fate(opened, decision))
    said = precisions(opened.store)
    story.add(
        "How often people found it right",
        [
            (f"rule {row.rule.id[:8]}", precision_text(said.of_rule(row.rule.id))),
            (f"detector {row.detector}", precision_text(said.of_detector(row.detector))),
        ],
    )
    _others(story, opened, row.entity.scope, row.entity.value, but=key)
    return story


def _explain_incident(opened: Opened, key: str) -> Story:
    from monitor.cli.opening import there
    from monitor.stores.record import Query

    row = there(opened.store.incident(key))
    story = Story("incident", row)
    story.add("Incident", incident_lines(row))
    findings: dict[str, list[Any]] = {}
    for finding in opened.store.findings(Query(incident=key, limit=FINDINGS_MAX)):
        findings.setdefault(finding.rule.id, []).append(finding)
    seen = [
        (
            f"{len(each)}x {each[0].severity.value}",
            f"{each[0].title} (rule {rule[:8]}, last {short(each[0].time)}, such as {each[0].id[:12]})",
        )
        for rule, each in sorted(findings.items(), key=lambda item: -len(item[1]))
    ]
    done = tended_lines(opened.store.clocks_of([key]), opened.store.words_about([key]), now_us())
    story.add("What is owed, and what people did", done)
    story.add("What was seen", seen)
    for decision in opened.store.decisions(Query(incident=key, limit=OTHERS_MAX)):
        story.add(
            f"What was decided: {decision_text(decision)}", [("why", decision.explanation), *fate(opened, decision)]
        )
    _others(story, opened, row.entity.scope, row.entity.value, but=key)
    return story


def _explain_decision(opened: Opened, key: str) -> Story:
    from monitor.cli.opening import there

    row = there(opened.store.decision(key))
    story = Story("decision", row)
    story.add("Decision", decision_lines(row))
    story.add("What that means", fate(opened, row))
    finding = opened.store.finding(row.finding) if row.finding else None
    if finding is not None:
        story.add("The finding behind it", finding_lines(finding))
        story.add(f"Without rule {finding.rule.id[:8]}", without_rule(opened, row, finding))
    story.add("Appeals", [("appeals", appeal_lines(opened.store.appeals_against(row.id)))])
    story.add("What was done to it, by the audit", history(opened, row))
    _others(story, opened, row.scope, row.value, but=key)
    return story


def _explain_event(opened: Opened, key: str) -> Story | None:
    """The story of an event; None where there is no such one."""
    import msgspec
    import polars as pl

    from monitor.cli.events import event_lines, event_starting
    from monitor.stores.record import Query

    frame = event_starting(opened, key)
    if frame is None:
        return None
    line = frame["_line"][0].encode()
    story = Story("event", msgspec.json.decode(line))
    story.add("Event", event_lines(frame, line))
    event, at = frame["event.id"][0], frame["_time"][0]
    near = list(opened.store.findings(Query(since=at - NEAR_US, until=at + NEAR_US)))
    named = [row for row in near if event in row.evidence.event_ids]
    story.add("Findings that name it", _told(named))
    if not named:
        _explain_unnamed(story, opened, frame, near)
    app = frame.select(pl.col("miniprogram.app_id")).item()
    if app is not None:
        _others(story, opened, "AppId", app, but="")
    return story


def _explain_unnamed(story: Story, opened: Opened, event: pl.DataFrame, near: Sequence[Finding]) -> None:
    """Which findings count an event though none names it; and if none does, what was looked at."""
    from monitor.cli.tracing import trace

    traced = trace(opened, event, near)
    story.add("Findings that count it, beyond the first events that they name", _told(traced.counting))
    story.add(
        "Rules that are true of it now, but of which the record has no such finding",
        [(row.severity.value, f"{row.title}, {entity_text(row.entity)} (rule {row.rule.id[:8]})") for row in traced.unrecorded],
    )  # fmt: skip
    if not traced.counting:
        looked = f"{counted(len(near), 'finding')} from a day before it to a day after it"
        asked = f"{counted(traced.rules, 'rule')} on single events asked about it again"
        why = "`miniwatch rules explain RULE EVENT` says why a rule is not true of it"
        story.add("Findings that hold it", [("none", [f"looked at: {looked}; {asked}", why])])


def _told(findings: Sequence[Finding]) -> list[tuple[str, object]]:
    return [(row.severity.value, f"{row.title}, {entity_text(row.entity)} (finding {row.id[:12]})") for row in findings]


def _others(story: Story, opened: Opened, scope: str, value: str, *, but: str) -> None:
    """What else is known about the same entity."""
    from detectors.finding import Entity, Scope
    from monitor.stores.record import Query

    entity = Entity(Scope(scope), value)
    risk = opened.store.risks([entity]).get(entity)
    about = Query(scope=scope, value=value, limit=OTHERS_MAX + 1)
    words = [row for row in opened.store.standings(now_us()) if (row.scope, row.value) == (scope, value)]
    told: list[tuple[str, object]] = [
        ("risk", f"{risk.score:.0f} of 100 at {short(risk.at)} UTC" if risk else ""),
        ("standing words", [f"{row.kind.value} until {short(row.expires)} UTC by {row.actor}: {row.reason}" for row in words]),
        ("incidents", [f"{row.id[:12]}: {row.title} ({row.state.value}, risk {row.risk:.0f})" for row in opened.store.incidents(about) if row.id != but]),
        ("decisions", [decision_text(row) for row in opened.store.decisions(about) if row.id != but]),
        ("findings", [f"{row.id[:12]}: {row.severity.value}, {row.title}, {short(row.time)}" for row in opened.store.findings(about) if row.id != but]),
    ]  # fmt: skip
    story.add(f"What else there is about {scope} {value}", told)
