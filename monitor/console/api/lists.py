"""The lists of the API: those of the command line, in pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from detectors.sigma import Rule
from monitor.console.access import Refused
from monitor.console.api import shapes
from monitor.console.api.cursor import Cursor, read, written
from monitor.console.api.given import limit_of, value_of
from monitor.console.api.operation import LIST_ERRORS, PREFIX, Api, Call, Operation, Reply
from monitor.listing import lists
from monitor.listing.asked import Given, Part
from monitor.listing.in_force import (
    RULE_FILTERS,
    RulesSaid,
    chosen_rules,
    playbook_told,
    rule_recorded,
    rule_told,
    rules_said,
)
from monitor.listing.lists import Listed, Place
from monitor.listing.named import BadFilter, NotOne
from monitor.stores.record import TooSlow
from monitor.tokens import Role
from playbooks.ladder import Playbook

SECONDS_MAX: Final = 10.0
"""How long reading a page may take."""


def _rules(api: Api, given: Given, part: Part, now: int) -> Iterator[tuple[Rule, RulesSaid]]:
    said = rules_said(api.store, now)
    found = [(rule, said) for rule in chosen_rules(api.rules(), given)]
    return lists.behind(sorted(found, key=RULES.place.of), RULES.place, part)


def _playbooks(api: Api, _given: Given, part: Part, _now: int) -> Iterator[tuple[Playbook, Any]]:
    files = api.playbook_files()
    found = [(playbook, files) for playbook in api.playbooks()]
    return lists.behind(sorted(found, key=PLAYBOOKS.place.of), PLAYBOOKS.place, part)


RULES: Final = Listed(
    "rules", RULE_FILTERS, _rules, Place(lambda row: (row[0].id,), tuple[str]), lambda row, _now: rule_told(*row)
)
PLAYBOOKS: Final = Listed(
    "playbooks",
    (),
    _playbooks,
    Place(lambda row: (row[0].priority, row[0].name), tuple[int, str]),
    lambda row, _now: playbook_told(*row),
)


def page(listed: Listed[Any], api: Api, call: Call) -> Reply:
    """One page of a list, and where it goes on."""
    now = api.clock()
    limit = limit_of(call.query.get("limit"))
    given = {
        each.name: value_of(each, call.query[each.name], now) for each in listed.filters if each.name in call.query
    }
    if (rule := call.query.get("rule")) is not None and "rule" in given:
        given["rule"] = rule_recorded(api.store, api.rules(), rule)
    try:
        place = listed.place_in(given)
        after = None
        if (text := call.query.get("cursor")) is not None:
            cursor = read(text, listed.name, place.kind)
            after = cursor.place
            given |= {name: at for name, at in (("since", cursor.since), ("until", cursor.until)) if at is not None}
        part = Part(after=after, limit=limit + 1, seconds_max=SECONDS_MAX)
        rows = list(listed.rows(api, given, part, now=now))
    except BadFilter as error:
        raise Refused(400, f"{error.name}: {error}") from None
    except NotOne as error:
        raise Refused(400, str(error)) from None
    except TooSlow as error:
        raise Refused(422, str(error)) from None
    more = None
    if len(rows) > limit:
        more = written(Cursor(listed.name, place.of(rows[limit - 1]), given.get("since"), given.get("until")))
    told = [listed.told(row, now) for row in rows[:limit]]
    headers = {} if more is None else {"Link": f'<{_link(listed, call, more)}>; rel="next"'}
    return Reply(
        told if call.wants_lines else {"items": told, "next": more}, headers=headers, is_lines=call.wants_lines
    )


def _link(listed: Listed[Any], call: Call, cursor: str) -> str:
    return f"{PREFIX}/{listed.name}?{urlencode({**call.query, 'cursor': cursor})}"


def list_operation(listed: Listed[Any], gives: Any, summary: str, role: Role = Role.VIEWER) -> Operation:
    def answer(api: Api, call: Call) -> Reply:
        return page(listed, api, call)

    return Operation(
        f"/{listed.name}",
        f"list_{listed.name}",
        role,
        summary,
        answer,
        gives,
        filters=listed.filters,
        paged=True,
        errors=LIST_ERRORS,
    )


OPERATIONS: Final = (
    list_operation(lists.FINDINGS, shapes.FINDING, "Findings, newest first."),
    list_operation(
        lists.INCIDENTS, shapes.INCIDENT, "Incidents, the last opened first, or those of the greatest risk."
    ),
    list_operation(
        lists.DECISIONS, shapes.DECISION, "Decisions of every mode, newest first; held ones with their reason."
    ),
    list_operation(lists.APPS, shapes.APP, "Registered apps by id, each with its newest line."),
    list_operation(lists.DEAD_LETTERS, shapes.DEAD_LETTER, "Dead letters, newest first, without their content."),
    list_operation(lists.ALLOWLISTS, shapes.STANDING, "Exemptions, the oldest first."),
    list_operation(lists.EXCEPTIONS, shapes.STANDING, "Exceptions of rules, the oldest first."),
    list_operation(lists.MAINTENANCE, shapes.STANDING, "Windows of maintenance that are open or will be."),
    list_operation(RULES, shapes.RULE, "Rules in force, by id."),
    list_operation(PLAYBOOKS, shapes.PLAYBOOK, "Playbooks in force, in the order in which they are asked."),
    list_operation(
        lists.TOKENS, shapes.TOKEN, "Tokens, in the order in which they were made; never a secret.", Role.ADMIN
    ),
    list_operation(lists.AUDIT, shapes.AUDIT_ENTRY, "The audit, the oldest entry first.", Role.ADMIN),
)
