"""Our exemptions as one allow-list in CrowdSec's words: ``/v1/allowlists``; and whether an address is in it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from detectors.finding import Scope
from monitor.console.access import Refused
from monitor.console.bodies import pass_over, read_body
from monitor.console.bounds import RequestBounds
from monitor.console.crowdsec.answers import forbidden, unauthorized
from monitor.console.crowdsec.given import NO_JSON
from monitor.console.crowdsec.wanted import Network, network_of
from monitor.console.pages import HEADERS, Page, json_answer
from monitor.notifiers.alert import told_time
from monitor.stores import Standing, StandingKind
from monitor.stores.record import Record
from monitor.tokens import Role, Token

NAME: Final = "exemptions"
TARGETS_MAX: Final = 1000
CHECK_BYTES_MAX: Final = 64 << 10
"""So many bytes a body with targets may have."""


class _Targets(msgspec.Struct):
    targets: list[str]


class AllowlistPages:
    """Tells what is exempt; and takes the usage metrics of bouncers, of which nothing is kept."""

    def __init__(self, record: Record, bounds: RequestBounds, clock: Callable[[], int]) -> None:
        self._record = record
        self._bounds = bounds
        self._clock = clock

    def pages(self) -> list[Page]:
        role, refused = Role.VIEWER, unauthorized
        return [
            Page("/v1/allowlists", ("GET",), self._lists, role, refused=refused),
            Page("/v1/allowlists/{name}", ("GET",), self._list, role, refused=refused),
            Page(
                "/v1/allowlists/check",
                ("POST",),
                self._check_all,
                role,
                takes_body=True,
                body_bytes_max=CHECK_BYTES_MAX,
                refused=refused,
            ),
            Page("/v1/allowlists/check/{target:path}", ("GET", "HEAD"), self._check, role, refused=refused),
            Page("/v1/usage-metrics", ("POST",), self._metrics, Role.BOUNCER, takes_body=True, refused=forbidden),
        ]

    async def _lists(self, request: Request, _token: Token | None) -> Response:
        return json_answer([await self._told(request)])

    async def _list(self, request: Request, _token: Token | None) -> Response:
        if request.path_params["name"] != NAME:
            raise Refused(404, "object not found")
        return json_answer(await self._told(request))

    async def _check(self, request: Request, _token: Token | None) -> Response:
        found = Exempt(await self._exempt()).covering(network_of(request.path_params["target"]))
        if request.method == "HEAD":
            return Response(status_code=204 if found is None else 200, headers=HEADERS)
        reason = "" if found is None else f"{found.value} from {NAME} ({found.reason})"
        return json_answer({"allowlisted": found is not None, "reason": reason})

    async def _check_all(self, request: Request, _token: Token | None) -> Response:
        try:
            targets = msgspec.json.decode(
                await read_body(request, self._bounds.within(CHECK_BYTES_MAX)), type=_Targets
            ).targets
        except NO_JSON:
            raise Refused(400, "targets are expected") from None
        if not 0 < len(targets) <= TARGETS_MAX:
            raise Refused(400, f"1 to {TARGETS_MAX} targets are expected")
        asked = {target: network_of(target) for target in targets}
        exempt = Exempt(await self._exempt())
        results = [{"target": one, "allowlists": [NAME]} for one in targets if exempt.covering(asked[one]) is not None]
        return json_answer({"results": results})

    async def _metrics(self, request: Request, _token: Token | None) -> Response:
        await pass_over(request, self._bounds)
        return Response(status_code=201, headers=HEADERS)

    async def _exempt(self) -> Sequence[Standing]:
        standings = await run_in_threadpool(self._record.standings, self._clock())
        return [one for one in standings if one.kind is StandingKind.EXEMPTION]

    async def _told(self, request: Request) -> dict[str, Any]:
        exempt = await self._exempt()
        items = exempt if request.query_params.get("with_content") == "true" else []
        return {
            "allowlist_id": NAME,
            "name": NAME,
            "description": "what nothing is done to",
            "created_at": told_time(min((one.created for one in exempt), default=0)),
            "updated_at": told_time(max((one.created for one in exempt), default=0)),
            "console_managed": False,
            "items": [_item(one) for one in items],
        }


def _item(of: Standing) -> dict[str, str]:
    return {
        "value": of.value if of.scope in {Scope.ADDRESS, Scope.RANGE} else f"{of.scope}:{of.value}",
        "description": of.reason,
        "created_at": told_time(of.created),
        "expiration": told_time(of.expires),
    }


class Exempt:
    """The exemptions of addresses and ranges, by network: looking one up takes no longer where there are many."""

    def __init__(self, standings: Sequence[Standing]) -> None:
        self._by_network: dict[Network, Standing] = {}
        for one in standings:
            if one.scope in {Scope.ADDRESS, Scope.RANGE}:
                with suppress(ValueError):  # of an earlier version, that took anything
                    self._by_network.setdefault(ipaddress.ip_network(one.value, strict=False), one)
        self._lengths = sorted({(network.version, network.prefixlen) for network in self._by_network})

    def covering(self, asked: Network) -> Standing | None:
        """The widest one that holds all of a network."""
        for version, length in self._lengths:
            if version == asked.version and length <= asked.prefixlen:
                found = self._by_network.get(asked.supernet(new_prefix=length))
                if found is not None:
                    return found
        return None
