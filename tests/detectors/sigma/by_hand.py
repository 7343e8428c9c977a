"""Correlations the slow way: every window looked through from the beginning at every event, in plain Python.

It shares nothing with the engine but the events: it reads the same documents, and says at which events each correlation
speaks and what its window holds there.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations, groupby
from typing import Any

import yaml

from detectors.event import MICROSECONDS, Batch
from detectors.finding import EVIDENCE_IDS_MAX
from detectors.sigma import SigmaDetector, parse_rules

BASES = "abcd"
"""Rules on single events: each is true of the events whose action has its letter in it."""

ID = "5d2b1c1e-0000-4000-8000-0000000000"
APP = "miniprogram.app_id"
NUMBER_MAX = Fraction(2**53)
FIELDS = {"app": APP, "user": "user.id", "to": "url.domain", "n": "number", "m": "other.number", "via": "url.path"}


def ids() -> dict[str, str]:
    """The id of each rule by its name."""
    names = [*BASES, "inner", "middle", "rule"]
    return {name: f"{ID}{place:02}" for place, name in enumerate(names)}


def base_texts() -> list[str]:
    detection = {"condition": "s"}
    return [
        yaml.safe_dump(
            {
                "title": name,
                "id": ids()[name],
                "name": name,
                "logsource": {"product": "miniprogram"},
                "detection": {**detection, "s": {"event.action|contains": name}},
            }
        )
        for name in BASES
    ]


def correlation(type: str, rules: str, span: str = "10s", group: str = "app", name: str = "rule", **more: Any) -> dict:  # noqa: A002 - Sigma's own word
    """A document; `rules` and `group` are words, `more` goes under ``correlation`` as it is."""
    return {
        "title": name,
        "id": ids()[name],
        "name": name,
        "correlation": {
            "type": type,
            "rules": rules.split(),
            "group-by": [FIELDS.get(word, word) for word in group.split()],
            "timespan": span,
            **more,
        },
    }


def detector_of(*documents: dict, **more: Any) -> SigmaDetector:
    texts = [*base_texts(), *(yaml.safe_dump(document) for document in documents)]
    found = parse_rules([(f"{place}.yml", text) for place, text in enumerate(texts)])
    assert not found.problems, [str(problem) for problem in found.problems]
    return SigmaDetector(found.rules, **more)


@dataclass(frozen=True)
class Hit:
    """An event that a rule is true of, or with which a correlation spoke."""

    base: str
    event: int  # which one
    order: tuple[int, int, str]  # time, hash, id
    fields: tuple[tuple[str, str], ...]
    behind: frozenset[str] = frozenset()  # of a correlation: the events that made it speak
    begun: int = 0  # of a correlation: when the first of them was

    @property
    def time(self) -> int:
        return self.order[0]

    def get(self, name: str) -> str | None:
        return dict(self.fields).get(name)


@dataclass(frozen=True)
class Said:
    """What a correlation says: when, of which group, and what its window holds."""

    time: int
    key: tuple[str, ...]
    events: int
    holds: float
    behind: frozenset[str] = field(default=frozenset(), compare=False)
    begun: int = field(default=0, compare=False)


def by_hand(batches: list[Batch], *documents: dict) -> list[Said]:
    """What the last of some correlations says; those that it names come before it."""
    rows = [row for one in batches for row in one.frame.iter_rows(named=True)]
    hits = [
        Hit(base, place, (row["_time"], row["_hash"], row["event.id"]), _texts(row))
        for place, row in enumerate(rows)
        for base in BASES
        if base in row["event.action"] and not row["_late"]
    ]
    said: list[Said] = []
    for document in documents:
        said, crossings = _speak(document, hits)
        hits = hits + crossings
    return sorted(said, key=lambda one: (one.time, one.key, one.events))


def _texts(row: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in row.items() if value is not None)


def _asked(document: dict) -> dict:
    """What a correlation asks for, with lists of names where it may say less."""
    asked, by_id = dict(document["correlation"]), {id_: name for name, id_ in ids().items()}
    words = asked["condition"].split() if isinstance(asked.get("condition"), str) else []
    rules = asked["rules"] or [word for word in words if word not in ("and", "or", "not")]
    asked["rules"] = [by_id.get(name, name) for name in ([rules] if isinstance(rules, str) else rules)]
    asked["group-by"] = [asked["group-by"]] if isinstance(asked["group-by"], str) else asked["group-by"]
    return asked


def _speak(document: dict, hits: list[Hit]) -> tuple[list[Said], list[Hit]]:
    asked = _asked(document)
    span = int(asked["timespan"][:-1]) * MICROSECONDS
    steps = []
    for hit in hits:
        if hit.base in asked["rules"]:
            key = tuple(_field(asked, name, hit) for name in asked["group-by"])
            value = _value(asked, hit)
            if None not in key and value is not None:
                steps.append((key, hit, value))
    said, crossings = [], []
    steps.sort(key=lambda step: (step[0], step[1].order, str(step[2])))
    for key, group in groupby(steps, key=lambda step: step[0]):
        seen: list[list[tuple[Hit, Any]]] = []  # one event after the other, with all that it hit
        held = False
        for event in _events(asked, [(hit, value) for _, hit, value in group]):
            time = event[0][0].time
            inside = [one for one in seen if one[0][0].time > time - span]
            seen.append(event)
            before = bool(inside) and _holds(asked, inside)[0]
            now, holds = _holds(asked, [*inside, event])
            if now and not (held and before):
                behind, begun = _behind([*inside, event][:EVIDENCE_IDS_MAX])
                said.append(Said(time, key, len(inside) + 1, holds, behind, begun))
                named = {**dict(event[0][0].fields), **dict(zip(asked["group-by"], key, strict=True))}
                crossings.append(
                    Hit(document["name"], -len(said), event[0][0].order, tuple(named.items()), behind, begun)
                )
            held = now
    return said, crossings


def _behind(events: list[list[tuple[Hit, Any]]]) -> tuple[frozenset[str], int]:
    """The single events behind some hits, all of them, and when the first was."""
    ids: set[str] = set()
    begun = []
    for event in events:
        chained = [hit for hit, _ in event if hit.behind]
        ids |= frozenset().union(*(hit.behind for hit in chained)) if chained else {event[0][0].order[2]}
        begun += [hit.begun for hit in chained] or [event[0][0].time]
    return frozenset(ids), min(begun)


def _events(asked: dict, hits: list[tuple[Hit, Any]]) -> list[list[tuple[Hit, Any]]]:
    """Hits as events: one event that hit several rules is one, whether they are counted or asked for."""
    if asked["type"].startswith("temporal"):
        return [list(same) for _, same in groupby(hits, key=lambda one: one[0].order)]
    found: dict[Any, list[tuple[Hit, Any]]] = {}
    for hit, value in hits:
        of_event = hit.event if hit.event >= 0 else (hit.base, hit.event)
        found.setdefault((of_event, str(value)), [(hit, value)])
    return list(found.values())


def _field(asked: dict, name: str, hit: Hit) -> str | None:
    alias = asked.get("aliases", {}).get(name)
    return hit.get(alias[hit.base] if alias else name)


def _value(asked: dict, hit: Hit) -> Any:
    """The value counted or reckoned with; None for an event that takes no part."""
    field = asked["condition"].get("field") if isinstance(asked.get("condition"), dict) else None
    if field is None:
        return ""
    values = tuple(_field(asked, name, hit) for name in (field if isinstance(field, list) else [field]))
    if None in values:
        return None
    if asked["type"] == "value_count":
        return values
    try:
        return max(-NUMBER_MAX, min(Fraction(values[0]), NUMBER_MAX))
    except ValueError:
        return None


OPERATORS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq, "neq": operator.ne}  # fmt: skip


def _holds(asked: dict, events: list[list[tuple[Hit, Any]]]) -> tuple[bool, float]:
    condition = asked.get("condition", {"gte": len(asked["rules"])})
    holds = _held(asked, events)
    if isinstance(condition, str):
        return _in_words(asked, events), holds
    return all(OPERATORS[name](holds, condition[name]) for name in OPERATORS if name in condition), holds


def _held(asked: dict, events: list[list[tuple[Hit, Any]]]) -> float:
    values = [value for event in events for _, value in event]
    match asked["type"]:
        case "event_count":
            return len(events)
        case "value_count":
            return len(set(values))
        case "value_sum":
            return float(sum(values))
        case "value_avg":
            return float(sum(values) / len(values))
        case "value_median" | "value_percentile":
            return _percentile(sorted(map(float, values)), asked["condition"].get("percentile", 50))
        case "temporal_ordered" if not isinstance(asked.get("condition"), str):
            return max(
                (
                    len(some)
                    for count in range(len(asked["rules"]) + 1)
                    for some in combinations(asked["rules"], count)
                    if _in_order(some, events)
                ),
                default=0,
            )
        case _:
            return len({hit.base for event in events for hit, _ in event})


def _percentile(numbers: list[float], percentile: float) -> float:
    at = percentile * (len(numbers) - 1) / 100
    below = int(at)
    above = min(below + 1, len(numbers) - 1)
    return numbers[below] + (at - below) * (numbers[above] - numbers[below])


def _in_order(steps: tuple[str, ...], events: list[list[tuple[Hit, Any]]]) -> bool:
    time = 0
    for step in steps:
        times = [hit.time for event in events for hit, _ in event if hit.base == step and hit.time >= time]
        if not times:
            return False
        time = min(times)
    return True


def _in_words(asked: dict, events: list[list[tuple[Hit, Any]]]) -> bool:
    """Words as Python would read them; where order is asked for, some of the rules must do that occur in their order."""
    present = {hit.base for event in events for hit, _ in event}
    if asked["type"] == "temporal":
        return _truth(asked["condition"].split(), present, present)
    return any(
        _in_order(some, events) and _truth(asked["condition"].split(), set(some), present)
        for count in range(len(asked["rules"]) + 1)
        for some in combinations(asked["rules"], count)
    )


def _truth(words: list[str], there: set[str], present: set[str]) -> bool:
    """Of conditions like ``a and not b or c``, which have no brackets: ``or`` of ``and`` of rules."""
    sums = " ".join(words).split(" or ")
    return any(
        all((part[4:] not in present) if part.startswith("not ") else (part in there) for part in each.split(" and "))
        for each in sums
    )
