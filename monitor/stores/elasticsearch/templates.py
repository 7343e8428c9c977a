"""What the indices of events and findings shall be like: mappings in the words of ECS, settings, and how long they are kept.

Fields that are not named here are stored and not searched: whatever apps send, the mapping does not grow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from detectors.event import FIELDS, Kind
from monitor.stores.elasticsearch import EVENTS, KINDS, SearchSettings

VERSION: Final = 1
"""Of our templates; raised with every change of what they say."""

PRIORITY: Final = 500
"""Above the templates for logs that a cluster comes with (100)."""

Json = dict[str, Any]

LISTED: Final = (
    "event.dataset",
    "event.action",
    "miniprogram.app_id",
    "miniprogram.api",
    "user.id",
    "source.ip",
)
"""Fields that lists filter by: found by their exact text, however long."""

_LONG: Final = frozenset(
    {"url.original", "url.full", "url.path", "url.query", "user_agent.original", "http.request.referrer"}
)
_READ: Final = frozenset(
    {
        "message",
        "error.message",
        "miniprogram.api_args",
        "miniprogram.extra_data",
        "http.request.body.content",
        "http.response.body.content",
    }
)
"""Searched by the words in them."""

_KEYWORD: Final[Json] = {"type": "keyword", "ignore_above": 1024}
_LONG_KEYWORD: Final[Json] = {"type": "keyword", "ignore_above": 8191}  # in UTF-8 below what Lucene takes
_KEPT: Final[Json] = {"type": "keyword", "index": False, "doc_values": False}
_BY_KIND: Final[dict[Kind, Json]] = {
    Kind.INTEGER: {"type": "long", "ignore_malformed": True},
    Kind.NUMBER: {"type": "double", "ignore_malformed": True},
    Kind.BOOLEAN: {"type": "boolean", "ignore_malformed": True},
    Kind.TIME: {"type": "date", "ignore_malformed": True},
    Kind.LIST: _KEYWORD,
    Kind.MAP: {"type": "flattened", "ignore_above": 1024, "depth_limit": 5},
}


def _field(name: str, kind: Kind) -> Json:
    if name == "@timestamp":
        return {"type": "date", "format": "strict_date_optional_time||epoch_millis"}
    if name in ("source.ip", "destination.ip"):
        return {"type": "ip", "ignore_malformed": True, "fields": {"text": _LONG_KEYWORD}}
    if name == "event.original":
        return _KEPT
    if kind is not Kind.TEXT:
        return _BY_KIND[kind]
    if name in _READ:
        return {"type": "text"}
    return _LONG_KEYWORD if name in _LONG or name in LISTED else _KEYWORD


def nested(fields: Mapping[str, Json]) -> Json:
    """Fields by dotted name as the properties of a mapping."""
    properties: Json = {}
    for name, body in fields.items():
        *above, last = name.split(".")
        inside = properties
        for step in above:
            inside = inside.setdefault(step, {}).setdefault("properties", {})
        inside.setdefault(last, {}).update(body)
    return properties


_OURS_OF_EVENTS: Final[dict[str, Json]] = {
    "miniwatch.id": _LONG_KEYWORD,
    "miniwatch.installation": _KEYWORD,
    "miniwatch.stream": _KEYWORD,
    "miniwatch.time": {"type": "long"},
    "miniwatch.turn": {"type": "long"},
    "miniwatch.row": {"type": "long", "index": False},
    "miniwatch.partition": _KEYWORD,
    "miniwatch.position": {"type": "long", "index": False},
    "miniwatch.kinds": _KEYWORD,
    "miniwatch.kept": {"type": "object", "enabled": False},
    "miniwatch.line": _KEPT,
}
_OURS_OF_FINDINGS: Final[dict[str, Json]] = {
    "@timestamp": {"type": "date"},
    "message": {"type": "text"},
    "tags": _KEYWORD,
    **{
        f"event.{name}": _KEYWORD
        for name in ("id", "kind", "category", "type", "action", "dataset", "module", "provider")
    },
    "event.start": {"type": "date"},
    "event.end": {"type": "date"},
    "event.severity": {"type": "long"},
    "event.risk_score": {"type": "double"},
    **{f"rule.{name}": _KEYWORD for name in ("id", "version", "name")},
    "related.ip": {"type": "ip", "ignore_malformed": True},
    **{f"related.{name}": _KEYWORD for name in ("user", "hosts")},
    "miniprogram.app_id": _LONG_KEYWORD,
    "miniprogram.developer_id": _LONG_KEYWORD,
    "miniwatch.id": _LONG_KEYWORD,
    "miniwatch.installation": _KEYWORD,
    "miniwatch.time": {"type": "long"},
    "miniwatch.changed": {"type": "long"},
    **{f"miniwatch.{name}": _KEYWORD for name in ("detector", "kind", "severity", "event_ids")},
    **{f"miniwatch.{name}": _LONG_KEYWORD for name in ("scope", "value", "owner")},
    "miniwatch.confidence": {"type": "double"},
    "miniwatch.count": {"type": "long"},
    "miniwatch.finding": {"type": "object", "enabled": False},
}


def mappings(what: str) -> Json:
    """The mapping of events or of findings."""
    fields = {name: _field(name, kind) for name, kind in FIELDS.items()} if what == EVENTS else {}
    fields |= _OURS_OF_EVENTS if what == EVENTS else _OURS_OF_FINDINGS
    fields |= {f"data_stream.{name}": _KEYWORD for name in ("type", "dataset", "namespace")}
    return {"dynamic": "false", "date_detection": False, "properties": nested(fields)}


def index_settings(keys: SearchSettings, what: str) -> Json:
    """The settings of an index, as they are asked for."""
    index: Json = {
        "number_of_shards": keys.shards,
        "number_of_replicas": keys.replicas,
        "refresh_interval": f"{keys.refresh_s:g}s",
    }
    if keys.mode == "logsdb" and what == EVENTS:
        index["mode"] = "logsdb"
        index["mapping"] = {"source": {"mode": "stored"}}  # lines are given back as they came
    else:
        index["codec"] = "best_compression"
    if keys.retention == "ilm":
        index["lifecycle"] = {"name": policy_name(keys, what), "prefer_ilm": True}
    return {"index": index}


def template_name(keys: SearchSettings, what: str) -> str:
    return f"miniwatch-{what}-{keys.namespace}"


def policy_name(keys: SearchSettings, what: str) -> str:
    return template_name(keys, what)


def _days(keys: SearchSettings, what: str) -> int:
    return keys.events_days if what == EVENTS else keys.findings_days


def _signed(body: Json) -> Json:
    """A body with our name, version and digest in it, by which it is known again."""
    digest = hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()[:16]
    return {**body, "_meta": {"managed_by": "miniwatch", "version": VERSION, "digest": digest}}


def templates(keys: SearchSettings) -> dict[str, Json]:
    """All that is put into a cluster, by path and in order."""
    put: dict[str, Json] = {}
    for what in KINDS:
        name = template_name(keys, what)
        if keys.retention == "ilm":
            put[f"/_ilm/policy/{policy_name(keys, what)}"] = {"policy": _signed(policy(_days(keys, what)))}
        put[f"/_component_template/{name}@settings"] = _signed({"template": {"settings": index_settings(keys, what)}})
        put[f"/_component_template/{name}@mappings"] = _signed({"template": {"mappings": mappings(what)}})
        put[f"/_index_template/{name}"] = _signed(_index_template(keys, what))
    return put


def _index_template(keys: SearchSettings, what: str) -> Json:
    name = template_name(keys, what)
    body: Json = {
        "index_patterns": [keys.stream(what)],
        "data_stream": {},
        "priority": PRIORITY,
        "composed_of": [f"{name}@settings", f"{name}@mappings", f"{name}@custom"],
        "ignore_missing_component_templates": [f"{name}@custom"],
    }
    if keys.retention == "stream":
        body["template"] = {"lifecycle": {"data_retention": f"{_days(keys, what)}d"}}
    return body


def policy(days: int) -> Json:
    """A policy of index lifecycle management: a new index a day or at 50 GB, and each deleted when its time is over."""
    rollover = {"max_age": "1d", "max_primary_shard_size": "50gb"}
    return {
        "phases": {
            "hot": {"min_age": "0ms", "actions": {"rollover": rollover}},
            "delete": {"min_age": f"{days}d", "actions": {"delete": {}}},
        }
    }
