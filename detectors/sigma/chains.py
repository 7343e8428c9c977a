"""Which correlation names which rule: the order in which they can be loaded, and who falls silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.sigma.windows import named_rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.sigma.document import Document
    from detectors.sigma.rule import Rule


def in_order(documents: Sequence[Document]) -> tuple[list[Document], list[tuple[Document, str]]]:
    """Correlations with those that they name before them; apart, those that count themselves, with the way round."""
    named = _names(documents)
    below = {place: _below(document, named) for place, document in enumerate(documents)}
    above: dict[int, list[int]] = {}
    for place, others in below.items():
        for other in others:
            above.setdefault(other, []).append(place)
    waits = {place: len(others) for place, others in below.items()}
    order = [place for place, count in waits.items() if not count]
    for place in order:  # grows as it goes
        for other in above.get(place, ()):
            waits[other] -= 1
            if not waits[other]:
                order.append(other)
    left = sorted(set(below) - set(order))
    circles = {place: _circle(place, below, set(left)) for place in left}
    # Those that only name one of a circle are loaded last: they will not find it.
    order += [place for place in left if not circles[place]]
    told = [
        (documents[place], f"it counts itself: {' → '.join(documents[one].label for one in circle)}; break the circle")
        for place, circle in circles.items()
        if circle
    ]
    return [documents[place] for place in order], told


def silenced(documents: Sequence[Document], rules: Mapping[str, Rule]) -> set[str]:
    """Rules that only serve to be counted; also when the rule that counts them was refused, or they would flood."""
    by_name: dict[str, str] = {}
    for rule in rules.values():
        by_name.setdefault(rule.name or rule.id, rule.id)
    silent: set[str] = set()
    loud: set[str] = set()
    for document in documents:
        for name in _named_in(document):
            found = name.lower() if name.lower() in rules else by_name.get(name)
            if found is not None:
                (loud if document.content["correlation"].get("generate") is True else silent).add(found)
    return silent - loud


def _below(document: Document, named: Mapping[str, Sequence[int]]) -> set[int]:
    """Where the correlations stand that one names."""
    return {place for name in _named_in(document) for key in {name, name.lower()} for place in named.get(key, ())}


def _names(documents: Sequence[Document]) -> dict[str, list[int]]:
    """Where the correlations of each name and id stand."""
    places: dict[str, list[int]] = {}
    for place, document in enumerate(documents):
        for name in {str(document.content.get("id")).lower(), str(document.content.get("name"))} - {"none", "None"}:
            places.setdefault(name, []).append(place)
    return places


def _named_in(document: Document) -> list[str]:
    correlation = document.content["correlation"]
    try:
        return named_rules(correlation) if isinstance(correlation, dict) else []
    except Exception:  # noqa: BLE001 - what cannot be read is told when the rule itself is loaded
        return []


def _circle(start: int, below: Mapping[int, set[int]], left: set[int]) -> list[int]:
    """The shortest way from a correlation back to itself; empty when there is none."""
    came: dict[int, int] = {}
    row = [start]
    while row:
        following = []
        for place in row:
            for other in sorted(below[place] & left):
                if other == start:
                    return _way(came, place, start)
                if other not in came:
                    came[other] = place
                    following.append(other)
        row = following
    return []


def _way(came: Mapping[int, int], place: int, start: int) -> list[int]:
    way = [start, place] if place != start else [start]
    while place != start:
        place = came[place]
        way.append(place)
    return way[::-1] if len(way) > 1 else [start, start]
