"""What bouncers ask: ``/v1/decisions`` and ``/v1/decisions/stream``."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from detectors.finding import Entity, Scope
from monitor.console.clients import network_of
from monitor.console.crowdsec.answers import Streamed, forbidden
from monitor.console.crowdsec.places import Client, Places
from monitor.console.crowdsec.stream import Stream
from monitor.console.crowdsec.wanted import Network, Wanted, wanted
from monitor.console.pages import HEADERS, Page
from monitor.stores.record import Record
from monitor.tokens import Role, Token

DECISIONS: Final = "/v1/decisions"
STREAM: Final = "/v1/decisions/stream"

DEFAULT_SCOPES: Final = "ip,range"
"""What a stream is about where nothing is said."""

AGENT_CHARACTERS_MAX: Final = 128

_FILTERS: Final = ("scopes", "scope", "origins", "scenarios_containing", "scenarios_not_containing", "dedup", "type")


class BouncerPages:
    """Gives decisions to programs that ask again and again."""

    def __init__(self, record: Record, clock: Callable[[], int], places: Places) -> None:
        self._record = record
        self._clock = clock
        self._places = places

    def pages(self) -> list[Page]:
        methods = ("GET", "HEAD")
        return [
            Page(DECISIONS, methods, self._decisions, Role.BOUNCER, refused=forbidden),
            Page(STREAM, methods, self._stream, Role.BOUNCER, refused=forbidden),
        ]

    async def _decisions(self, request: Request, _token: Token | None) -> Response:
        asked = wanted(request.query_params)
        if request.method == "HEAD":
            return _nothing()
        stream = Stream(self._record, self._clock(), asked, is_whole=True)
        entities = entities_of(asked)
        pieces = stream.matching() if entities is None else stream.about(entities)
        return await Streamed.of(request, pieces, lambda: None)

    async def _stream(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        query = request.query_params
        asked = wanted(query, DEFAULT_SCOPES)
        if request.method == "HEAD":
            return _nothing()
        client = _client(request, token)
        starts = query.get("startup") == "true"
        pieces = self._given(client, asked, starts=starts, is_whole=query.get("dedup") == "false")
        return await Streamed.of(request, pieces.begun(), pieces.left)

    def _given(self, client: Client, asked: Wanted, *, starts: bool, is_whole: bool) -> Given:
        return Given(self._record, self._places, client, asked, self._clock(), starts=starts, is_whole=is_whole)


class Given:
    """One answer of the stream, and the place that its client has when it has left. Nothing is read before it begins."""

    def __init__(
        self,
        record: Record,
        places: Places,
        client: Client,
        asked: Wanted,
        now: int,
        *,
        starts: bool,
        is_whole: bool,
    ) -> None:
        self._record = record
        self._places = places
        self._client = client
        self._now = now
        self._starts = starts
        self._stream = Stream(record, now, asked, is_whole=is_whole)
        self._until = 0

    def begun(self) -> Iterator[bytes]:
        self._until = self._record.last_decision_change()
        place = self._places.of(self._client, self._now, starts=self._starts)
        is_ours = self._record.decision_floor() <= place <= self._until
        if self._starts or not place or not is_ours:
            yield from self._stream.at_start(place if is_ours else 0)
        else:
            yield from self._stream.since(place, self._until)

    def left(self) -> None:
        self._places.give(self._client, self._until)


def entities_of(asked: Wanted) -> list[Entity] | None:
    """The few entities that alone can be meant; None where there are more than can be named."""
    if asked.network is not None and not asked.within:
        return _around(asked.network)
    if asked.values is not None and asked.scopes is not None and asked.network is None:
        known = {scope.value for scope in Scope}
        return [Entity(Scope(scope), value) for scope in asked.scopes & known for value in asked.values]
    return None


def _around(network: Network) -> list[Entity]:
    """An address and all ranges in which it lies; of a range, itself and those around it."""
    ranges = [network.supernet(new_prefix=prefix) for prefix in range(network.prefixlen)]
    found = [Entity(Scope.RANGE, str(one)) for one in [*ranges, network]]
    if network.prefixlen == network.max_prefixlen:
        found.append(Entity(Scope.ADDRESS, str(ipaddress.ip_address(network.network_address))))
    return found


def _client(request: Request, token: Token) -> Client:
    query = request.query_params
    return Client(
        token=token.id,
        address=network_of(request.client.host if request.client else None),
        agent=request.headers.get("user-agent", "")[:AGENT_CHARACTERS_MAX],
        asks="&".join(f"{name}={query[name]}" for name in _FILTERS if name in query),
    )


def _nothing() -> Response:
    return Response(headers=HEADERS, media_type="application/json")
