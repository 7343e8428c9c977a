"""The cluster as it must be before anything is written: our templates in it, and nobody else's in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from monitor.stores.elasticsearch import EVENTS, SearchError
from monitor.stores.elasticsearch.connection import Connection, told
from monitor.stores.elasticsearch.streams import indices_of, refresh, sound
from monitor.stores.elasticsearch.templates import VERSION, templates

VERSION_MIN: Final = (8, 14)
"""Of Elasticsearch: the first with a lifecycle of data streams that is more than a preview."""

_INSIDE: Final = {
    "_component_template": ("component_templates", "component_template"),
    "_index_template": ("index_templates", "index_template"),
}

Standing = Literal["missing", "ours", "older", "newer", "foreign", "changed", "configured otherwise"]
"""How a template of the cluster stands to ours of the same name. "changed": it says that it is ours, and is not as we made it."""


class _Version(msgspec.Struct):
    number: str = ""
    build_flavor: str = ""


class _Root(msgspec.Struct):
    version: _Version
    cluster_uuid: str = ""


def version_of(connection: Connection) -> tuple[int, ...]:
    """The version of the node that answers; raises `SearchError`."""
    number = sound(connection.ask("GET", "/")).read(_Root).version.number
    return tuple(int(part) for part in number.split("-")[0].split(".") if part.isdigit())


@dataclass(frozen=True, slots=True)
class Template:
    """One of our templates (or a policy) and how the cluster's stands to it."""

    path: str
    standing: Standing
    detail: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def look(connection: Connection) -> list[Template]:
    """How each of our templates stands in the cluster; raises `SearchError`."""
    return [_compared(connection, path, ours) for path, ours in templates(connection.settings).items()]


def prepare(connection: Connection) -> list[Template]:
    """Put in what is missing, older than ours or configured otherwise; gives what is not as it should be.

    What others have made, a newer Miniwatch, or somebody by hand, is left alone. Raises `SearchError` where the names of our templates
    are used by others: documents would become what nobody meant.
    """
    found = look(connection)
    bodies = templates(connection.settings)
    if foreign := [one for one in found if one.standing == "foreign"]:
        names = ", ".join(one.name for one in foreign)
        raise SearchError("foreign", f"templates that are not ours have the names of ours: {names}", retryable=True)
    for one in found:
        if one.standing in ("missing", "older", "configured otherwise"):
            answer = connection.ask("PUT", one.path, bodies[one.path])
            if answer.status >= 300:
                raise SearchError("failing", f"{one.path}: {answer.status}: {told(answer.body)}", retryable=True)
    return [one for one in found if one.standing in ("newer", "changed")]


def _compared(connection: Connection, path: str, ours: Mapping[str, Any]) -> Template:
    answer = connection.ask("GET", path)
    if answer.status == 404:
        return Template(path, "missing")
    theirs = _inside(path, sound(answer).read(dict[str, Any]))
    ours = ours.get("policy", ours)
    meta = theirs.get("_meta") or {}
    if meta.get("managed_by") != "miniwatch":
        return Template(path, "foreign")
    version = meta.get("version", 0)
    if version != VERSION:
        return Template(path, "older" if version < VERSION else "newer", f"version {version}, ours is {VERSION}")
    if meta.get("digest") != ours["_meta"]["digest"]:
        return Template(path, "configured otherwise")
    if (place := _difference(ours, theirs)) is not None:
        return Template(path, "changed", place)
    return Template(path, "ours")


def _inside(path: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The template itself, out of what the server puts around it."""
    kind, name = path.split("/")[1], path.rpartition("/")[2]
    if kind not in _INSIDE:
        found: dict[str, Any] = answer.get(name, {}).get("policy", {})
        return found
    several, one = _INSIDE[kind]
    listed = answer.get(several) or [{}]
    inside: dict[str, Any] = listed[0].get(one, {})
    return inside


def _difference(ours: object, theirs: object, place: str = "") -> str | None:
    """Where something of ours stands otherwise; None where nowhere. What they have besides is theirs."""
    if isinstance(ours, dict):
        if not isinstance(theirs, dict):
            return place
        inner = ((f"{place}.{name}" if place else name, value, theirs.get(name)) for name, value in ours.items())
        return next((found for at, one, other in inner if (found := _difference(one, other, at)) is not None), None)
    if isinstance(ours, list):
        return (
            None if isinstance(theirs, list) and [str(one) for one in theirs] == [str(one) for one in ours] else place
        )
    return None if str(ours).lower() == str(theirs).lower() else place


class _Max(msgspec.Struct):
    value: float | None = None


class _Maxima(msgspec.Struct):
    turn: _Max


class _Counted(msgspec.Struct):
    aggregations: _Maxima | None = None


def last_turn_there(connection: Connection, installation: str, turns: str) -> int:
    """The last turn of a stream of turns of which the search has events of an installation; 0 where there are none."""
    stream = connection.settings.stream(EVENTS)
    if not indices_of(connection, stream):
        return 0
    refresh(connection, stream)
    of_stream = {"term": {"miniwatch.stream": turns}}
    none = {"bool": {"must_not": {"exists": {"field": "miniwatch.stream"}}}}
    whose = [{"term": {"miniwatch.installation": installation}}, of_stream if turns else none]
    body = {
        "size": 0,
        "query": {"bool": {"filter": whose}},
        "aggs": {"turn": {"max": {"field": "miniwatch.turn"}}},
    }
    found = sound(connection.ask("POST", f"/{stream}/_search", body)).read(_Counted).aggregations
    return int(found.turn.value or 0) if found is not None else 0
