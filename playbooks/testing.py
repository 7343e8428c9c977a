"""What tests of responses need: builders of findings and decisions, and the laws of actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity, finding_id
from playbooks.action import Action, action_of, describe
from playbooks.decision import Decision, DecisionState, Mode, Reason
from playbooks.duration import DURATION_S_MAX
from playbooks.risk import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

NOON: Final = 1_780_315_200 * MICROSECONDS
"""Noon, UTC, on the first of June 2026: when built findings happen unless told otherwise."""


def finding(**overrides: Any) -> Finding:
    """A finding of medium severity about one app, with anything else said by keyword.

    Short forms: `app` for the entity (or `scope` and `value`), `rule` as its id, `after_s` seconds after noon, `behaviour` for
    its tag, `events` for the count. All else are the fields of `Finding`; the id follows from rule, entity and time.
    """
    fields: dict[str, Any] = dict(overrides)
    entity = Entity(Scope(fields.pop("scope", Scope.APP)), fields.pop("value", fields.pop("app", "wx01")))
    entity = fields.pop("entity", entity)
    rule = fields.pop("rule", "rule-1")
    rule = rule if isinstance(rule, RuleRef) else RuleRef(rule, "0" * 16)
    time = fields.pop("time", NOON + int(fields.pop("after_s", 0) * MICROSECONDS))
    behaviour = fields.pop("behaviour", None)
    severity = Severity(fields.pop("severity", Severity.MEDIUM))
    defaults: dict[str, Any] = {
        "id": finding_id(rule.id, entity, time),
        "first_event": time,
        "last_event": time,
        "detector": "sigma",
        "kind": "rule",
        "title": "Something happened",
        "evidence": Evidence(count=fields.pop("events", 1)),
        "tags": () if behaviour is None else (f"behaviour.{behaviour}",),
    }
    return Finding(**{**defaults, **fields, "rule": rule, "entity": entity, "time": time, "severity": severity})


def decision(action: Action, **overrides: Any) -> Decision:
    """A decision that puts an action in force at noon."""
    fields: dict[str, Any] = {
        "id": "d" * 32,
        "time": NOON,
        "scope": Scope.APP,
        "value": "wx01",
        "type": action.act,
        "tier": action.tier,
        "target": action.aim,
        "parameters": action.parameters_at(overrides.get("time", NOON)),
        "duration_s": action.duration_s,
        "expires": NOON + action.duration_s * MICROSECONDS,
        "origin": "playbook:test",
        "reason": Reason.PLAYBOOK,
        "explanation": "App wx01: something happened.",
        "mode": Mode.LIVE,
        "state": DecisionState.ACTIVE,
    }
    return Decision(**{**fields, **overrides})


def check_action(action: Action) -> None:
    """The laws of an action: it ends, it can be undone, it is sent once however often, it survives being written down."""
    assert 0 < action.duration_s <= DURATION_S_MAX, f"{action.act} has no end"  # noqa: S101 - this is a test battery
    assert action.undo.endswith("."), f"{action.act} does not say what undoing it does"  # noqa: S101
    keys = [action.idempotency_key("a"), action.undo_key("a"), action.idempotency_key("b"), action.undo_key("b")]
    assert len(set(keys)) == len(keys), f"{action.act} mixes up decisions, or doing with undoing"  # noqa: S101
    copy: Action = msgspec.json.decode(msgspec.json.encode(action), type=Action)
    assert copy == action, f"{action.act} is not what it was after being written and read"  # noqa: S101
    assert copy.idempotency_key("a") == keys[0], f"{action.act} changes its key"  # noqa: S101
    assert action_of(decision(action)) == action, f"{action.act} is lost in its decision"  # noqa: S101
    assert describe(action), f"{action.act} has no words for people"  # noqa: S101


def fields_of(value: Any) -> Mapping[str, Any]:
    """A struct as plain data, for golden files."""
    plain: Mapping[str, Any] = msgspec.to_builtins(value)
    return plain
