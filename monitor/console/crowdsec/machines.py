"""What cscli and CrowdSec's engine ask: alerts, decisions to be lifted, exemptions. They log in first (`login`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.access import Refused
from monitor.console.api.acting import entity_of as known_entity
from monitor.console.api.acting import refusals_told
from monitor.console.api.operation import Api, Call
from monitor.console.bodies import encoding_of, read_body, unpacked
from monitor.console.bounds import RequestBounds
from monitor.console.budget import Budget
from monitor.console.crowdsec.alerts import Listed, alert, events_of
from monitor.console.crowdsec.answers import unauthorized
from monitor.console.crowdsec.given import ALERTS_BYTES_MAX, GivenDecision, action_of, entity_of, given
from monitor.console.pages import HEADERS, Page, json_answer
from monitor.responding.adding import add
from monitor.responding.lifting import revoke
from monitor.stores.record import AlreadyEnded, NotFound, NumberedDecision
from monitor.tokens import Role, Token
from playbooks.decision import Decision, DecisionState

LIFTED_MAX: Final = 1000
"""Decisions that one request lifts."""

REASON: Final = "over CrowdSec's Local API"

_FILTERS: Final = frozenset({"scope", "value", "ip", "range", "contains", "origin", "scenario"})
_OF_DECISIONS: Final = _FILTERS | {"scopes", "type", "uuid"}
_OF_ALERTS: Final = _FILTERS | {"since", "until", "limit", "has_active_decision"}


class MachinePages:
    """Answers cscli. Nothing is decided here: the rules of acting are those of `monitor.responding`."""

    def __init__(self, api: Api, bounds: RequestBounds) -> None:
        self._api = api
        self._bounds = bounds.within(ALERTS_BYTES_MAX)
        self._reading = Budget(1, "alerts")

    def pages(self) -> list[Page]:
        look, act = ("GET", "HEAD"), Role.RESPONDER

        def page(path: str, methods: tuple[str, ...], answer: Any, role: Role) -> Page:
            return Page(path, methods, _in_thread(answer), role, refused=unauthorized)

        return [
            page("/v1/alerts", look, self._alerts, Role.VIEWER),
            Page(
                "/v1/alerts",
                ("POST",),
                self._post,
                act,
                takes_body=True,
                body_bytes_max=ALERTS_BYTES_MAX,
                refused=unauthorized,
            ),
            page("/v1/alerts", ("DELETE",), self._lift_alerts, act),
            page("/v1/alerts/{number}", look, self._alert, Role.VIEWER),
            page("/v1/alerts/{number}", ("DELETE",), self._lift_one, act),
            page("/v1/decisions", ("DELETE",), self._lift, act),
            page("/v1/decisions/{number}", ("DELETE",), self._lift_one, act),
            page("/v1/heartbeat", ("GET",), self._heartbeat, Role.VIEWER),
        ]

    def _alerts(self, request: Request, _token: Token) -> Response:
        now, store = self._api.clock(), self._api.store
        listed = Listed(request.query_params, now).of(store)
        return json_answer([alert(one, now, events_of(store, one)) for one in listed])

    def _alert(self, request: Request, _token: Token) -> Response:
        found = self._numbered(request)
        return json_answer(alert(found, self._api.clock(), events_of(self._api.store, found)))

    async def _post(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        body, encoding = await read_body(request, self._bounds), encoding_of(request)
        async with self._reading.spent(1, token.id):  # read, a body may take many times its room
            asked = await run_in_threadpool(lambda: given(unpacked(body, encoding, self._bounds)))
        return await run_in_threadpool(self._add, token, asked)

    def _add(self, token: Token, given_decisions: Sequence[GivenDecision]) -> Response:
        acted = [self._decided(asked, token) for asked in given_decisions]
        waiting = [one for one in acted if one.state is DecisionState.AWAITING_APPROVAL]
        if waiting:
            ids = ", ".join(one.id for one in waiting)
            told = f"asked for, and not in force yet: a ban waits for a second person, who says `miniwatch decisions approve {ids}`"
            raise Refused(409, told)
        numbers = self._api.store.numbers_of([one.id for one in acted])
        return json_answer([str(numbers[one.id]) for one in acted], 201)

    def _decided(self, asked: GivenDecision, token: Token) -> Decision:
        entity, action = entity_of(asked), action_of(asked)
        with refusals_told():
            return add(
                self._api.store,
                known_entity(self._api, entity.scope, entity.value),
                action,
                actor=Call(token=token).actor,
                reason=asked.scenario or REASON,
                now=self._api.clock(),
                held=self._api.held,
            ).decision

    def _lift(self, request: Request, token: Token) -> Response:
        query = _known(request, _OF_DECISIONS)
        uuid = query.pop("uuid", None)
        if "scopes" in query:
            query["scope"] = query.pop("scopes")
        listed = Listed({**query, "has_active_decision": "true", "limit": "0"}, self._api.clock())
        meant = [one for one in listed.of(self._api.store) if uuid is None or one.decision.id == uuid]
        return _lifted(self._all_lifted(meant, token))

    def _lift_alerts(self, request: Request, token: Token) -> Response:
        query = _known(request, _OF_ALERTS)
        if query.get("has_active_decision", "true") != "true":
            return _lifted(0)  # those that are over are kept: there is nothing to lift
        query |= {"has_active_decision": "true", "limit": "0"}
        return _lifted(self._all_lifted(Listed(query, self._api.clock()).of(self._api.store), token))

    def _lift_one(self, request: Request, token: Token) -> Response:
        return _lifted(self._all_lifted([self._numbered(request)], token))

    def _all_lifted(self, meant: Iterable[NumberedDecision], token: Token) -> int:
        found = list(meant)
        if len(found) > LIFTED_MAX:
            told = f"that would lift {len(found):,} decisions, and one request lifts at most {LIFTED_MAX:,}: nothing was lifted"
            raise Refused(422, told)
        return sum(self._is_lifted(one, token) for one in found)

    def _is_lifted(self, one: NumberedDecision, token: Token) -> bool:
        now = self._api.clock()
        if not one.decision.is_in_force(now):
            return False
        try:
            with refusals_told():
                revoke(self._api.store, one.decision.id, actor=Call(token=token).actor, reason=REASON, now=now)
        except Refused as refused:
            if isinstance(refused.__context__, AlreadyEnded | NotFound):  # somebody was faster
                return False
            raise
        return True

    def _heartbeat(self, _request: Request, _token: Token) -> Response:
        return Response(headers=HEADERS)

    def _numbered(self, request: Request) -> NumberedDecision:
        text = request.path_params["number"]
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Refused(400, "the id must be a valid integer")
        found = self._api.store.numbered_decision(int(text))
        if found is None:
            raise Refused(404, "object not found")
        return found


def _known(request: Request, filters: Collection[str]) -> dict[str, str]:
    """What a query says. Raises `Refused` for a filter that is none here: without it more would be lifted than is meant."""
    query = dict(request.query_params)
    if unknown := sorted(query.keys() - set(filters)):
        raise Refused(400, f"'{unknown[0][:32]}' doesn't exist: nothing was lifted")
    return query


def _lifted(count: int) -> Response:
    return json_answer({"nbDeleted": str(count)})


def _in_thread(answer: Callable[[Request, Token], Response]) -> Any:
    async def answered(request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - these pages are for nobody else
        return await run_in_threadpool(answer, request, token)

    return answered
