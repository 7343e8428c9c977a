"""``miniwatch explain``: the story behind an id, in a screen."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from monitor.cli.apps import show_app
from monitor.cli.leaving import USAGE, Refused
from monitor.cli.lists import Id
from monitor.cli.moments import MICROSECONDS, now_us, short, span
from monitor.cli.options import ConfigFile, DataDir
from monitor.cli.printing import write_pairs, write_text
from monitor.cli.rules import show_rule
from monitor.cli.telling import decision_lines, decision_text, entity_text, finding_lines, incident_lines
from monitor.counting import counted

if TYPE_CHECKING:
    import polars as pl

    from detectors.finding import Finding
    from monitor.cli.opening import Opened
    from playbooks.decision import Decision

KINDS: Final = ("finding", "incident", "decision")
OTHERS_MAX: Final = 6
"""Of each kind of further thing about the same entity."""

NEAR_US: Final = 86_400 * MICROSECONDS
"""Findings so long before and after an event are looked at for it."""

FINDINGS_MAX: Final = 2000
"""Findings of an incident that are looked at, the newest."""

HELD: Final = {
    "held-exempt": "An exemption protects this entity. `miniwatch allowlists list` shows which, and until when.",
    "held-evidence": "Removal and more need a rule marked as proof, an integrity check, or findings of two kinds of "
    "detector. One kind of rule saw this, however often: a person has to judge it.",
    "held-approval": "A ban is never automatic: it needs a person, and without one it is never carried out.",
    "held-budget": "More acts of this kind came up in the hour than the budgets of the configuration allow, so that a "
    "faulty rule cannot act on everyone.",
    "held-protected": "The registry marks this app as protected: nothing is done to it automatically.",
}
"""Why something was held, in full."""


def explain(key: Id, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Tell the story of a finding, incident, decision or event: why, by which rule, until when, who may lift it.

    Of an app or a rule it shows what `apps show` and `rules show` do.
    """
    from monitor.cli.opening import record

    if not key.strip():
        raise Refused("an id is expected", USAGE)
    with record(config, data_dir) as opened:
        found = [(kind, each) for kind in KINDS for each in opened.store.ids_starting(f"{kind}s", key)]
        exact = [pair for pair in found if pair[1] == key]
        if len(exact or found) > 1:
            several = ", ".join(f"{kind} {each}" for kind, each in found[:5])
            raise Refused(f"{key} is the beginning of several ids: {several}; write more of it", USAGE)
        if found:
            kind, whole = (exact or found)[0]
            tell = {"finding": _explain_finding, "incident": _explain_incident, "decision": _explain_decision}[kind]
            tell(opened, whole)
            return
        is_app = _is_app(opened, key)
        if not is_app and _explain_event(opened, key):
            return
    if is_app:
        show_app(key, config=config, data_dir=data_dir)
    else:
        _show_rule(key, config)


def _is_app(opened: Opened, key: str) -> bool:
    """Whether anything is known of an app with this id."""
    from detectors.finding import Entity, Scope

    app = Entity(Scope.APP, key)
    return app in opened.store.risks([app]) or any(row.app_id == key for row in opened.store.apps())


def _show_rule(key: str, config: ConfigFile) -> None:
    """Show a rule; refused when that is no rule either."""
    try:
        show_rule(key, config=config)
    except Refused as refused:
        raise Refused(f"no finding, incident, decision, event or app has the id {key}; {refused}", USAGE) from None


def _explain_finding(opened: Opened, key: str) -> None:
    from monitor.cli.opening import there

    row = there(opened.store.finding(key))
    write_pairs(finding_lines(row))
    word = opened.store.considered(key)
    if word is not None:
        _headed(
            "What became of it",
            [(word.reason.value, word.detail), ("incident", word.incident), ("decision", word.decision)],
        )
        decision = opened.store.decision(word.decision) if word.decision else None
        if decision is not None:
            _headed("What was decided", _fate(opened, decision))
    _others(opened, row.entity.scope, row.entity.value, but=key)


def _explain_incident(opened: Opened, key: str) -> None:
    from monitor.cli.opening import there
    from monitor.stores.record import Query

    row = there(opened.store.incident(key))
    write_pairs(incident_lines(row))
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
    _headed("What was seen", seen)
    for decision in opened.store.decisions(Query(incident=key, limit=OTHERS_MAX)):
        _headed(
            f"What was decided: {decision_text(decision)}", [("why", decision.explanation), *_fate(opened, decision)]
        )
    _others(opened, row.entity.scope, row.entity.value, but=key)


def _explain_decision(opened: Opened, key: str) -> None:
    from monitor.cli.opening import there

    row = there(opened.store.decision(key))
    write_pairs(decision_lines(row))
    _headed("What that means", _fate(opened, row))
    finding = opened.store.finding(row.finding) if row.finding else None
    if finding is not None:
        _headed("The finding behind it", finding_lines(finding))
    _others(opened, row.scope, row.value, but=key)


def _explain_event(opened: Opened, key: str) -> bool:
    """Whether there is such an event, and its story."""
    import polars as pl

    from monitor.cli.events import event_lines, event_starting
    from monitor.stores.record import Query

    frame = event_starting(opened, key)
    if frame is None:
        return False
    line = frame["_line"][0].encode()
    write_pairs(event_lines(frame, line))
    event, at = frame["event.id"][0], frame["_time"][0]
    near = list(opened.store.findings(Query(since=at - NEAR_US, until=at + NEAR_US)))
    named = [row for row in near if event in row.evidence.event_ids]
    _headed("Findings that name it", _told(named))
    if not named:
        _explain_unnamed(opened, frame, near)
    app = frame.select(pl.col("miniprogram.app_id")).item()
    if app is not None:
        _others(opened, "AppId", app, but="")
    return True


def _explain_unnamed(opened: Opened, event: pl.DataFrame, near: Sequence[Finding]) -> None:
    """Which findings count an event though none names it; and if none does, what was looked at."""
    from monitor.cli.tracing import trace

    traced = trace(opened, event, near)
    _headed("Findings that count it, beyond the first events that they name", _told(traced.counting))
    _headed(
        "Rules that are true of it now, but of which the record has no such finding",
        [(row.severity.value, f"{row.title}, {entity_text(row.entity)} (rule {row.rule.id[:8]})") for row in traced.unrecorded],
    )  # fmt: skip
    if not traced.counting:
        looked = f"{counted(len(near), 'finding')} from a day before it to a day after it"
        asked = f"{counted(traced.rules, 'rule')} on single events asked about it again"
        why = "`miniwatch rules explain RULE EVENT` says why a rule is not true of it"
        _headed("Findings that hold it", [("none", [f"looked at: {looked}; {asked}", why])])


def _told(findings: Sequence[Finding]) -> list[tuple[str, object]]:
    return [(row.severity.value, f"{row.title}, {entity_text(row.entity)} (finding {row.id[:12]})") for row in findings]


def _fate(opened: Opened, row: Decision) -> list[tuple[str, object]]:
    """Where a decision stands, until when, who may lift it, or who has."""
    now = now_us()
    lines: list[tuple[str, object]] = []
    if row.mode == "replay":
        lines.append(("mode", "replay: what would have been decided then; nothing is enforced"))
    elif row.mode == "shadow":
        lines.append(("mode", "shadow: decided and recorded; nothing is enforced"))
    if row.reason in HELD:
        lines.append(("held", HELD[row.reason]))
    left = f", {span(now, row.expires)} from now" if row.expires > now and row.mode != "replay" else ""
    lines.append(("state", f"{_standing(row)} {short(row.expires)} UTC{left}"))
    if row.state.value == "revoked":
        lines.append(("revoked", _revoked(opened, row)))
    elif row.state.value in ("active", "held", "awaiting-approval", "proposed"):
        may = "who may lift it" if row.state.value == "active" else "who may take it back"
        anyone = f'any operator, with a reason: miniwatch decisions revoke {row.id[:12]} --reason "…"'
        lines.append((may, anyone if row.mode != "replay" else "there is nothing to lift: nothing was enforced"))
    return lines


def _revoked(opened: Opened, row: Decision) -> str:
    """Who lifted a decision, when and why, by the audit."""
    entries = (chained.entry for chained in opened.store.audit_entries())
    lifted = [entry for entry in entries if entry.action == "decision.revoke" and entry.subject == row.id]
    return "; ".join(f"{short(entry.time)} UTC by {entry.actor}: {entry.reason}" for entry in lifted)


def _standing(row: Decision) -> str:
    """How a decision stands, up to the time of its end."""
    if row.state.value in ("active", "proposed"):
        return f"{row.state.value}; it {'would have ended' if row.mode == 'replay' else 'ends'} at"
    if row.state.value not in ("held", "awaiting-approval"):
        return f"{row.state.value}; it {'ended' if row.state.value == 'expired' else 'would have ended'} at"
    end = "it would have expired at" if row.mode == "replay" else "unless it is taken back before, it expires at"
    return f"{row.state.value}: nothing is done; {end}"


def _others(opened: Opened, scope: str, value: str, *, but: str) -> None:
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
    _headed(f"What else there is about {scope} {value}", told)


def _headed(title: str, lines: Sequence[tuple[str, object]]) -> None:
    if any(value not in (None, "", [], ()) for _, value in lines):
        write_text(f"\n{title}")
        write_pairs([(f"  {name}", value) for name, value in lines])
