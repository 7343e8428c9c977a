"""``GET /api/v1/decisions/changes``: what has changed among the decisions, for enforcers that keep their own place.

Asked with ``after=0`` it gives those in force (``anew``); asked with the ``position`` of the last answer it gives what has changed since,
ended ones too. With ``wait_s``, an answer that would be empty is put off until there is something, or the time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from detectors.finding import Scope
from monitor.console.access import Asked, Guard, Refused
from monitor.console.pages import Page, json_answer
from monitor.console.waiting import Watch
from monitor.notifiers.alert import told_time
from monitor.stores.record import NumberedDecision, Record
from monitor.tokens import Role, Token

PATH: Final = "/api/v1/decisions/changes"

CHANGES_MAX: Final = 1000
"""Changes in one answer."""

LOOKED_AT_MAX: Final = 20_000
"""Changes that are looked at for one answer, those of other scopes included."""

WAIT_S_MAX: Final = 30.0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; no `scopes` are all."""

    after: int
    scopes: Collection[Scope] = ()
    wait_s: float = 0.0

    @staticmethod
    def of(query: Mapping[str, str]) -> Question:
        """Read a query. Raises `Refused` with what is wrong with it."""
        after, wait_s = query.get("after", "0"), query.get("wait_s", "0")
        if not (after.isascii() and after.isdigit() and len(after) <= 18):
            raise Refused(400, "after is the position of an earlier answer, or 0")
        try:
            waits = float(wait_s)
        except ValueError:
            waits = -1.0
        if not 0 <= waits <= WAIT_S_MAX:
            raise Refused(400, f"wait_s is a number of seconds, 0 to {WAIT_S_MAX:.0f}")
        return Question(after=int(after), scopes=_scopes(query.get("scopes", "")), wait_s=waits)


class ChangesPage:
    """Gives changes, and puts off answers that would be empty."""

    def __init__(self, record: Record, clock: Callable[[], int], watch: Watch, guard: Guard) -> None:
        self._record = record
        self._guard = guard
        self._clock = clock
        self._watch = watch

    def pages(self) -> list[Page]:
        return [Page(PATH, ("GET",), self._answer, Role.BOUNCER)]

    async def _answer(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        asked = Question.of(request.query_params)
        ends = asyncio.get_running_loop().time() + asked.wait_s
        while True:
            seen, told = await run_in_threadpool(self._told, asked)
            left_s = ends - asyncio.get_running_loop().time()
            if told["changes"] or told["more"] or (asked.after and told["anew"]) or left_s <= 0:
                return json_answer(told)
            asked = msgspec.structs.replace(asked, after=told["position"])
            is_woken = await self._is_woken(request, seen, left_s)
            self._guard.recheck(Asked.of(request, PATH), token)
            if not is_woken:
                return json_answer(told)

    async def _is_woken(self, request: Request, seen: int, wait_s: float) -> bool:
        """Wait for a change; False when nobody is there any more to be told of it, or to tell it."""
        waiting = asyncio.ensure_future(self._watch.beyond(seen, wait_s))
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.done() and waiting.result() and not gone.done()
        finally:
            waiting.cancel()
            gone.cancel()

    def _told(self, asked: Question) -> tuple[int, dict[str, Any]]:
        """How far the record has come, and an answer from what it holds."""
        now, last = self._clock(), self._record.last_decision_change()
        is_ours = self._record.decision_floor() < asked.after <= last
        after = asked.after if is_ours else 0  # what was known of a record that is lost does not count
        changes: list[NumberedDecision] = []
        position, looked_at, is_whole = after, 0, False
        while len(changes) < CHANGES_MAX and looked_at < LOOKED_AT_MAX and not is_whole:
            page = self._record.decision_changes(position, CHANGES_MAX)
            for change in page:
                position = change.changed
                if _is_wanted(change, asked.scopes) and (after or change.decision.is_in_force(now)):
                    changes.append(change)
                if len(changes) == CHANGES_MAX:
                    break
            is_whole = len(page) < CHANGES_MAX and (not page or position == page[-1].changed)
            looked_at += len(page)
        position = max(position, last) if is_whole else position
        told = {
            "position": position,
            "more": not is_whole,
            "anew": not after,
            "changes": [_change(change, now) for change in changes],
        }
        return last, told


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is_wanted(change: NumberedDecision, scopes: Collection[Scope]) -> bool:
    return change.decision.has_begun and (not scopes or change.decision.scope in scopes)


def _change(change: NumberedDecision, now: int) -> dict[str, Any]:
    decision = change.decision
    return {
        "number": change.number,
        "id": decision.id,
        "scope": decision.scope,
        "value": decision.value,
        "type": decision.type,
        "target": decision.target,
        "parameters": decision.parameters,
        "in_force": change.decision.is_in_force(now),
        "state": decision.state,
        "begun": told_time(decision.time),
        "expires": told_time(decision.expires),
        "explanation": decision.explanation,
    }


def _scopes(text: str) -> frozenset[Scope]:
    """The scopes of a list with commas. Raises `Refused` for what is none."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    known = {scope.value: scope for scope in Scope}
    if not names <= known.keys():
        raise Refused(400, f"scopes are some of {', '.join(known)}")
    return frozenset(known[name] for name in names)
