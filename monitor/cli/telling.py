"""How findings, incidents and decisions look to people: the columns of their tables, the lines of one."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from monitor.cli.moments import short, span
from monitor.cli.picture import picture
from monitor.cli.printing import Column, at
from monitor.counting import counted

if TYPE_CHECKING:
    from detectors.finding import Finding
    from detectors.sigma import RuleProblem
    from monitor.listing.tended import TendedIncident
    from monitor.rules.twins import TwinFailure
    from monitor.stores.appeals import Appeal
    from monitor.stores.clocks import IncidentWord
    from playbooks.clocks import Clock
    from playbooks.decision import Decision
    from playbooks.incident import Incident

SHORT_ID: Final = 12
"""Characters of an id in a table: enough to be the beginning of one only."""

OWNED: Final = ("AppId", "DeveloperId")
"""Scopes of which a developer is told."""


def entity_text(entity: object) -> str:
    return f"{getattr(entity, 'scope', '')} {getattr(entity, 'value', '')}"


def _developer(scope: str, owner: str | None) -> str | None:
    """Who answers for an app. Of an address or a person it would be the developer of the app that they met: not theirs."""
    return owner if scope in OWNED else None


def _owed(row: TendedIncident) -> str:
    """What is owed next and until when; what is overdue first."""
    if row.stands == "closed":
        return ""
    if row.owed is None or row.owed_by is None:
        return short(row.due)
    late = f"LATE: {', '.join(row.overdue)}; " if row.overdue else ""
    return late + ("" if row.owed in row.overdue else f"{row.owed} {short(row.owed_by)}")


FINDING_COLUMNS: Final[list[Column[Finding]]] = [
    ("ID", lambda row: row.id[:SHORT_ID]),
    ("TIME (UTC)", at("time")),
    ("SEVERITY", lambda row: row.severity.value),
    ("WHO", lambda row: entity_text(row.entity)),
    ("EVENTS", lambda row: row.evidence.count),
    ("TITLE", lambda row: row.title + (" (shadow)" if row.shadow else "")),
]
INCIDENT_COLUMNS: Final[list[Column[TendedIncident]]] = [
    ("ID", lambda row: row.id[:SHORT_ID]),
    ("OPENED (UTC)", at("opened")),
    ("SEVERITY", lambda row: row.severity.value),
    ("RISK", lambda row: round(row.risk)),
    ("TIER", lambda row: row.tier),
    ("STATE", lambda row: row.stands),
    ("HAS IT", lambda row: row.assignee or ""),
    ("FINDINGS", lambda row: row.findings),
    ("DUE (UTC)", _owed),
    ("TITLE", lambda row: row.title),
]
DECISION_COLUMNS: Final[list[Column[Decision]]] = [
    ("ID", lambda row: row.id[:SHORT_ID]),
    ("TIME (UTC)", at("time")),
    ("MODE", lambda row: row.mode.value),
    ("STATE", lambda row: row.state.value),
    ("ACT", lambda row: row.type.value + (f" {row.target}" if row.target else "")),
    ("WHO", entity_text),
    ("UNTIL (UTC)", at("expires")),
    ("REASON", lambda row: row.reason.value),
]
WAITING_COLUMNS: Final[list[Column[Decision]]] = [
    ("ID", lambda row: row.id[:SHORT_ID]),
    ("ANSWER BY (UTC)", lambda row: short(row.answer_by or row.expires)),
    ("ACT", lambda row: row.type.value + (f" {row.target}" if row.target else "")),
    ("WHO", entity_text),
    ("ASKED BY", lambda row: row.origin),
    ("HELD", lambda row: row.reason.value),
    ("WHY", lambda row: row.explanation),
]


def finding_lines(row: Finding) -> list[tuple[str, object]]:
    evidence = row.evidence
    more = f" (the first {len(evidence.event_ids)} are named)" if evidence.truncated else ""
    return [
        ("Finding", row.id),
        ("What", row.title + _of_trial(row)),
        ("Who", entity_text(row.entity)),
        ("Developer", _developer(row.entity.scope, row.owner)),
        (
            "Severity",
            f"{row.severity.value}, confidence {row.confidence:g}" + (", proof by itself" if row.proof else ""),
        ),
        ("When (UTC)", f"{short(row.first_event)} to {short(row.last_event)}"),
        ("Rule", f"{row.rule.id} version {row.rule.version} ({row.kind}, {row.detector})"),
        ("Tags", ", ".join(row.tags)),
        ("Events", f"{evidence.count}{more}"),
        ("", list(evidence.event_ids)),
        ("Seen in them", [] if row.measured else [f"{name} = {value}" for name, value in evidence.values.items()]),
        ("Came, and usual", picture(row)),
        ("Also in it", [f"{each.scope} {each.value} ({each.role})" for each in row.related]),
        ("Could be harmless", list(row.false_positives)),
        ("What to do", row.response),
    ]


def _of_trial(row: Finding) -> str:
    return " (in shadow: its rule is being tried)" if row.shadow else ""


def incident_lines(row: Incident, titles: Mapping[str, str] | None = None) -> list[tuple[str, object]]:
    """What an incident is; `titles` are those of findings, by rule."""
    titles = titles or {}
    return [
        ("Incident", row.id),
        ("What", row.title),
        ("Who", entity_text(row.entity)),
        ("Developer", _developer(row.entity.scope, row.owner)),
        ("State", f"{row.state.value}, tier {row.tier}"),
        ("Severity", row.severity.value),
        ("Risk", f"{row.risk:.0f} of 100"),
        ("When (UTC)", f"{short(row.opened)} to {short(row.last_finding)}"),
        ("Answer owed by", f"{short(row.due)} UTC"),
        (
            "Findings",
            f"{row.findings:,} of {counted(len(row.rules), 'rule')}; {'kind' if len(row.kinds) == 1 else 'kinds'} of detector: {', '.join(row.kinds)}",
        ),
        ("Rules", [f"{rule}  {titles[rule]}" if rule in titles else rule for rule in row.rules]),
        ("Tags", ", ".join(row.tags)),
    ]


def tended_lines(clocks: Sequence[Clock], words: Sequence[IncidentWord], now: int) -> list[tuple[str, object]]:
    """What is owed of an incident, and what people have done about it."""
    from monitor.responding.tending import assignee_of

    return [
        ("Has it", assignee_of(words) or None),
        ("Clocks", [_clock_text(clock, now) for clock in clocks]),
        ("What people did", [_word_text(word) for word in words]),
    ]


def _clock_text(clock: Clock, now: int) -> str:
    from monitor.listing.tended import clock_state

    told = f"{clock.kind.value} by {short(clock.due)} UTC ({clock.episode.value}): {clock_state(clock, now)}"
    if clock.stopped is None:
        return told
    return f"{told}, {short(clock.stopped)} UTC by {clock.stopped_by}"


def _word_text(word: IncidentWord) -> str:
    to = f" to {word.assignee}" if word.assignee else ""
    return f"{short(word.time)} UTC {word.actor}, {word.act.value}{to}: {word.text}"


def decision_lines(row: Decision) -> list[tuple[str, object]]:
    parameters = ", ".join(f"{name} = {value}" for name, value in row.parameters.items())
    return [
        ("Decision", row.id),
        (
            "What",
            row.type.value + (f" of {row.target}" if row.target else "") + (f" ({parameters})" if parameters else ""),
        ),
        ("Who", entity_text(row)),
        ("Developer", _developer(row.scope, row.owner)),
        ("Mode, state", f"{row.mode.value}, {row.state.value}"),
        ("Made (UTC)", short(row.time)),
        ("Until (UTC)", f"{short(row.expires)} ({span(row.time, row.expires)})"),
        *_answer_lines(row),
        ("By", row.origin),
        ("Reason", row.reason.value),
        ("Why", row.explanation),
        ("Rule", row.rule),
        ("Incident", row.incident),
        ("Finding", row.finding),
        ("Labels", ", ".join(row.labels)),
    ]


def appeal_lines(rows: Sequence[Appeal]) -> list[str]:
    """The appeals against a decision, a line each."""
    return [f"{row.id[:SHORT_ID]}: {row.state.value}, filed {short(row.filed)} UTC for {row.appellant}" + _appeal_answer(row) for row in rows]  # fmt: skip


def _appeal_answer(row: Appeal) -> str:
    if row.answered is None:
        return f"; to be answered by {short(row.answer_by)} UTC"
    return f"; by {row.answered_by}, {short(row.answered)} UTC: {row.reason}"


def approval_hints(rows: Sequence[Decision]) -> list[str]:
    """Of a queue of what waits: what cannot be approved yet, a line for each reason, and what comes first."""
    from playbooks.waiting import before_approval

    hints = {row.reason.value: first for row in rows if (first := before_approval(row)) is not None}
    return [f"{reason}: cannot be approved yet; first {first}." for reason, first in hints.items()]


def _answer_lines(row: Decision) -> list[tuple[str, object]]:
    """Of a decision that waits: until when a person can answer it, and what becomes of it else."""
    from playbooks.waiting import before_approval

    if row.answer_by is None:
        return []
    else_ = {"lapse": "it lapses, and nothing is done", "decide-again": "the guards are asked again, and it may begin"}
    lines: list[tuple[str, object]] = [("Answer by (UTC)", short(row.answer_by))]
    if (first := before_approval(row)) is not None:
        lines.append(("Before approval", first))
    return [*lines, ("If nobody does", else_[row.unanswered.value])]


def problem_text(row: RuleProblem | TwinFailure) -> str:
    """A problem with a rule and its place; what concerns a whole file or folder has no line."""
    if row.line:
        return str(row)
    return ": ".join(part for part in (row.path, getattr(row, "rule", ""), row.message) if part)


def decision_text(row: Decision) -> str:
    """A decision in a line."""
    target = f" of {row.target}" if row.target else ""
    return f"{row.id[:SHORT_ID]}: {row.type.value}{target}, {entity_text(row)}, {row.state.value} ({row.mode.value})"
