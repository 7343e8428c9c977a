"""The single objects of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from detectors.finding import Entity, Scope
from detectors.sigma import Rule
from monitor.console.access import Refused
from monitor.console.api import shapes
from monitor.console.api.lists import PLAYBOOKS, RULES
from monitor.console.api.operation import OBJECT_ERRORS, Api, Call, Operation, Reply
from monitor.listing import lists
from monitor.listing.in_force import playbook_told, rules_called, rules_said
from monitor.listing.lists import Listed
from monitor.listing.named import NotOne, id_of, whole_id
from monitor.listing.receipts import receipts_told
from monitor.listing.wire import app_with_risk, wire
from monitor.stores import Standing
from monitor.tokens import Role


def named(api: Api, what: str, beginning: str) -> str:
    """The whole id of a row of the record; raises `Refused`."""
    try:
        return id_of(api, what, beginning)
    except NotOne as error:
        raise refused(error) from None


def refused(error: NotOne, missing: int = 404) -> Refused:
    """An id that is none, or the beginning of several."""
    return Refused(400 if error.found else missing, str(error))


def _row(listed: Listed[Any], what: str, read: Callable[[Api, str], Any], gives: Any, summary: str) -> Operation:
    def answer(api: Api, call: Call) -> Reply:
        row = read(api, named(api, what, call.path["id"]))
        if row is None:
            raise Refused(404, f"there is no {what} {call.path['id']}")
        return Reply(listed.told(row, api.clock()))

    return _operation(f"/{listed.name}/{{id}}", what, answer, gives, summary)


def _operation(path: str, what: str, answer: Callable[[Api, Call], Reply], gives: Any, summary: str) -> Operation:
    name = f"show_{what.replace(' ', '_')}"
    return Operation(path, name, Role.VIEWER, summary, answer, gives, errors=OBJECT_ERRORS)


def _decision(api: Api, call: Call) -> Reply:
    key = named(api, "decision", call.path["id"])
    row = api.store.decision(key)
    if row is None:
        raise Refused(404, f"there is no decision {key}")
    return Reply(
        {
            **wire(row),
            "enforcement": receipts_told(api.store.deliveries_about(key)),
            "appeals": [wire(one) for one in api.store.appeals_against(key)],
        }
    )


def _app(api: Api, call: Call) -> Reply:
    app = call.path["app_id"]
    entity = Entity(Scope.APP, app)
    lines = api.store.app_lines(app)
    risk = api.store.risks([entity]).get(entity)
    if not lines and risk is None:
        raise Refused(404, f"nothing is known of an app {app}: it is not registered, and nothing was found about it")
    return Reply(app_with_risk(app, lines[-1] if lines else None, risk))


def _standing(listed: Listed[Standing], what: str) -> Callable[[Api, Call], Reply]:
    def answer(api: Api, call: Call) -> Reply:
        return Reply(listed.told(standing_named(api, listed, what, call.path["id"]), api.clock()))

    return answer


def standing_named(api: Api, listed: Listed[Standing], what: str, beginning: str) -> Standing:
    """One of what people laid down; raises `Refused`."""
    every = {each.name: True for each in listed.filters}  # those whose time is over too
    found = {row.id: row for row in listed.rows(api, every, now=api.clock())}
    return found[_one(found, what, beginning, 404)]


def rule_named(api: Api, beginning: str, *, missing: int = 404) -> Rule:
    """A rule in force by its id, name or file; raises `Refused`, with the status of `missing` where there is none."""
    found = {rule.id: rule for rule in rules_called(api.rules(), beginning)}
    return next(iter(found.values())) if len(found) == 1 else found[_one(found, "rule", beginning, missing)]


def _one(found: Iterable[str], what: str, beginning: str, missing: int) -> str:
    try:
        return whole_id(sorted(key for key in found if key.startswith(beginning)), what, beginning)
    except NotOne as error:
        raise refused(error, missing) from None


def _rule(api: Api, call: Call) -> Reply:
    now = api.clock()
    rule = rule_named(api, call.path["id"])
    return Reply(RULES.told((rule, rules_said(api.store, now)), now))


def _playbook(api: Api, call: Call) -> Reply:
    for playbook, files in PLAYBOOKS.rows(api, {}, now=api.clock()):
        if playbook.name == call.path["name"]:
            return Reply(playbook_told(playbook, files))
    raise Refused(404, f"there is no playbook {call.path['name']}")


OPERATIONS: Final = (
    _row(lists.FINDINGS, "finding", lambda api, key: api.store.finding(key), shapes.FINDING, "One finding."),
    _operation(
        "/decisions/{id}",
        "decision",
        _decision,
        shapes.DECISION_SHOWN,
        "One decision, which enforcers have been told of it since when, and the appeals against it.",
    ),
    _row(
        lists.DEAD_LETTERS,
        "dead letter",
        lambda api, key: api.store.dead_letter(key),
        shapes.DEAD_LETTER,
        "One dead letter, without its content: that is read on the command line only.",
    ),
    _operation("/apps/{app_id}", "app", _app, shapes.APP, "What is registered about an app, and its risk."),
    _operation(
        "/allowlists/{id}", "exemption", _standing(lists.ALLOWLISTS, "exemption"), shapes.STANDING, "One exemption."
    ),
    _operation(
        "/exceptions/{id}", "exception", _standing(lists.EXCEPTIONS, "exception"), shapes.STANDING, "One exception."
    ),
    _operation("/rules/{id}", "rule", _rule, shapes.RULE, "One rule in force."),
    _operation(
        "/playbooks/{name}", "playbook", _playbook, shapes.PLAYBOOK, "One playbook in force, by its whole name."
    ),
)
