"""The story of a decision: where it stands, who may answer or lift it, what was done to it, and what had been without its rule."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from monitor.cli.moments import short, span
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from detectors.finding import Finding
    from monitor.audit import AuditEntry
    from monitor.cli.opening import Opened
    from playbooks.decision import Decision
    from playbooks.policy import Policy

FINDINGS_MAX: Final = 2000
"""Findings about an entity that are decided again, the newest."""

HISTORY_MAX: Final = 100
"""Entries of the audit that are told of one decision, the newest."""

HELD: Final = {
    "held-undo": "It would be in force had what was undone never been. An undo puts nothing in force by itself: approve it where "
    "it should be.",
    "held-exempt": "An exemption protects this entity. `miniwatch allowlists list` shows which, and until when.",
    "held-evidence": "Removal and more need a rule marked as proof, an integrity check, or findings of two kinds of "
    "detector. One kind of rule saw this, however often: a person has to judge it.",
    "held-approval": "A ban is never automatic: it needs a person, and without one it is never carried out.",
    "held-budget": "More acts of this kind came up in the hour than the budgets of the configuration allow, so that a "
    "faulty rule cannot act on everyone.",
    "held-version": "Nobody can say which version would be demanded: the registry names none that is released, or none that has "
    "an order. `miniwatch apps import` says which one is.",
    "held-protected": "The registry marks this app as protected: nothing is done to it automatically.",
    "held-paused": "A person has stopped all acts with `miniwatch pause`. `miniwatch resume` lets them begin again.",
    "held-maintenance": "A window of maintenance is open, and what is seen meanwhile may be its doing: `miniwatch maintenance list`.",
    "held-duration": "It would last longer than a machine may decide (`guards.duration_days_max`): a person has to.",
    "held-shared": "Many people or apps were seen behind this address lately, and would all be met: a person has to judge "
    "whether that is right.",
    "held-health": "Our own telemetry was unhealthy: who sees badly does no more than warn. `miniwatch doctor` tells of it.",
    "held-baseline": "What is usual for it was learned for too short a time (guards.learned_h_min) to do more than warn.",
    "held-new-rule": "The rule came into force only just now and has shown nothing yet. Where it would act often, it is moved "
    "to shadow.",
    "held-loop": "The rule has spoken about this entity only while an act was in force, and may see what the act does.",
    "held-rule-budget": "One rule would have acted more often than the budgets allow, so it was moved to shadow. Where it is "
    "right, `miniwatch rules unshadow` lifts that.",
    "held-share": "In this hour acts have begun on as large a part of all active apps or people as the budgets allow.",
}
"""Why something was held, in full."""


def fate(opened: Opened, row: Decision) -> list[tuple[str, object]]:
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
        lifted = [entry for entry in _entries(opened, row) if entry.action == "decision.revoke"]
        lines.append(("revoked", "; ".join(f"{short(one.time)} UTC by {one.actor}: {one.reason}" for one in lifted)))
    return [*lines, *_who_may(row)]


def _who_may(row: Decision) -> list[tuple[str, object]]:
    """Who may lift a decision that is in force, or answer one that waits, and by what command."""
    from playbooks.waiting import before_approval

    state, key = row.state.value, row.id[:12]
    if state not in ("active", "held", "awaiting-approval", "proposed"):
        return []
    what = "who may lift it" if state == "active" else "who may take it back"
    if row.mode == "replay":
        return [(what, "there is nothing to lift: nothing was enforced")]
    anyone = f'any operator, or a token of a responder, with a reason: miniwatch decisions revoke {key} --reason "…"'
    if state == "active" or row.mode != "live":
        return [(what, anyone)]
    who = "any operator, or a token of an approver"
    if row.tier.value == "ban" and not row.origin.startswith("playbook:"):
        who = f"another person than {row.origin}, who asked for it: an operator, or a token of an approver"
    until, first = f"until {short(row.answer_by or row.expires)} UTC", before_approval(row)
    approve = f'{who}, {until}: miniwatch decisions approve {key} --reason "…"'
    if first is not None:
        approve = f"nobody yet, and it waits {until}. First {first}"
    again = "the guards are asked once more, and it may begin"
    return [
        ("who may approve it", approve),
        (what, anyone),
        ("if nobody answers", again if row.unanswered.value == "decide-again" else "it lapses, and nothing is done"),
    ]


def history(opened: Opened, row: Decision) -> list[tuple[str, object]]:
    """What was done to a decision, when, by whom and why."""
    return [(f"{short(entry.time)} UTC", _told(entry)) for entry in _entries(opened, row)]


def _entries(opened: Opened, row: Decision) -> list[AuditEntry]:
    entries = (chained.entry for chained in opened.store.audit_about(row.id, HISTORY_MAX))
    return [entry for entry in entries if entry.action.startswith("decision.")]


def _told(entry: AuditEntry) -> str:
    """An entry in a line; of a decision that it holds whole, the state."""
    before, after = (_state(text) for text in (entry.before, entry.after))
    change = f"{before} → {after}" if before and after else before or after
    return f"{entry.action.removeprefix('decision.')} by {entry.actor}: {entry.reason} ({change})"


def _state(text: str) -> str:
    import msgspec

    if not text.startswith("{"):
        return text
    return str(msgspec.json.decode(text).get("state", ""))


def without_rule(opened: Opened, row: Decision, finding: Finding) -> list[tuple[str, object]]:
    """What would have been in force on the entity at that moment, had the decision's rule never spoken.

    The retained findings about it up to this one are decided again, with and without the rule, by the playbooks of today.
    """
    from playbooks.decide import decide, decide_again
    from playbooks.known import Known

    findings = _findings(opened, row, finding)
    policy = _policy(opened)
    kept = [one for one in findings if one.rule.id != finding.rule.id]
    known = Known()
    with_it = _in_force(decide(findings, known, policy, now=None).decisions, finding.time)
    without = _in_force(decide_again(findings, policy, now=None, without_rule=finding.rule.id).decisions, finding.time)
    same = [one for one in without if (one.type, one.target) == (row.type, row.target)]
    said = "this act would not have come about"
    if same:
        said = f"the same act would have come about, by rule {(same[0].rule or '')[:8]}"
    elif not any((one.type, one.target) == (row.type, row.target) for one in with_it):
        said = (
            "nothing can be said of this act: the findings that are left, or the playbooks of today, do not lead to it"
        )
    of = f"{counted(len(findings) - len(kept), 'finding')} of that rule, {counted(len(kept), 'finding')} of others"
    return [
        ("verdict", said),
        ("in force with it", [_act(one) for one in with_it] or "nothing"),
        ("in force without it", [_act(one) for one in without] or "nothing"),
        ("rests on", f"{of}, about this entity and still kept, decided again by the playbooks of today"),
    ]


def _findings(opened: Opened, row: Decision, finding: Finding) -> list[Finding]:
    """The retained findings about the entity up to one, in the order of their time; the newest `FINDINGS_MAX`."""
    from monitor.stores.record import Query

    about = Query(scope=row.scope.value, value=row.value, until=finding.time + 1, limit=FINDINGS_MAX)
    found = [one for one in opened.store.findings(about) if not one.shadow]
    return sorted(found, key=lambda one: (one.time, one.id))


def _policy(opened: Opened) -> Policy:
    from monitor.content.in_force import playbooks_of
    from monitor.registry import Registry
    from monitor.rulings import Rulings

    registry = Registry(list(opened.store.apps()))
    playbooks = playbooks_of(opened.config)
    return Rulings(opened.config, playbooks, opened.store, now_us, released=registry.released)()


def _in_force(decisions: Sequence[Decision], at: int) -> list[Decision]:
    acting = [one for one in decisions if one.state.value == "active" and one.expires > at]
    return sorted(acting, key=lambda one: (-one.tier.rank, one.id))


def _act(row: Decision) -> str:
    target = f" of {row.target}" if row.target else ""
    return f"{row.type.value}{target} (rule {(row.rule or '')[:8]}, {row.origin})"


def _standing(row: Decision) -> str:
    """How a decision stands, up to the time of its end."""
    if row.state.value in ("active", "proposed"):
        return f"{row.state.value}; it {'would have ended' if row.mode == 'replay' else 'ends'} at"
    if row.state.value not in ("held", "awaiting-approval"):
        return f"{row.state.value}; it {'ended' if row.state.value == 'expired' else 'would have ended'} at"
    end = "it would have expired at" if row.mode == "replay" else "unless it is taken back before, it expires at"
    return f"{row.state.value}: nothing is done; {end}"
