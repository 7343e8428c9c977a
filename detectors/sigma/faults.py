"""All that is wrong with a detection: each item and each condition is tried by itself, and told with its place.

Only asked for once a rule has been refused: to take a rule, it is compiled as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sigma.conditions import ConditionIdentifier, ConditionItem, ConditionSelector, SigmaCondition
from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetectionItem
from sigma.rule.detection import EmptySigmaDetections

from detectors.sigma.compile import Walker, known, parsed_condition, selected
from detectors.sigma.dialect import POLICY
from detectors.sigma.rule import Fault, Place, RuleRefusedError
from detectors.sigma.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

APART: Final = ("condition", "rules")
"""Names in a detection or a filter that are no detections."""


def told(error: Exception) -> str:
    """What an error says. Whatever pySigma trips over in a foreign text is the text's fault."""
    if isinstance(error, (SigmaError, RuleRefusedError)):
        return str(error)
    return f"not a Sigma rule: {str(error) or type(error).__name__}"


def detection_faults(detection: Any, root: str, names: Mapping[str, str]) -> Iterator[Fault]:
    """The faults of ``detection`` or ``filter``, as far as its items and conditions have them; `names` maps fields."""
    if not isinstance(detection, dict):
        yield Fault(f"found no mapping under {root}; write named detections and a condition", (root,))
        return
    detections = {name: reworded(part) for name, part in detection.items() if name not in APART}
    if not detections:
        yield Fault(f"found no detections under {root}", (root,))
        return
    walker = Walker({}, names)
    for name, definition in detections.items():
        yield from _definition_faults(definition, (root, name), walker)
    if "condition" not in detection:
        yield Fault("a rule must contain at least one condition", (root,))
        return
    conditions = detection["condition"]
    for place, condition in enumerate(conditions) if isinstance(conditions, list) else [(None, conditions)]:
        here: Place = (root, "condition") if place is None else (root, "condition", place)
        yield from _condition_faults(condition, [str(name) for name in detections], here)


def _definition_faults(definition: Any, place: Place, walker: Walker) -> Iterator[Fault]:
    if isinstance(definition, dict):
        if not definition:
            yield Fault("found a detection without content", place)
        for key, value in definition.items():
            yield from _tried(lambda key=key, value=value: _item(key, value, walker), (*place, key))  # type: ignore[misc]
    elif isinstance(definition, list):
        for number, one in enumerate(definition):
            yield from _definition_faults(one, (*place, number), walker)
        if not definition:
            yield Fault("found a detection without content", place)
    else:
        yield from _tried(lambda: _item(None, definition, walker), place)


def _item(key: Any, value: Any, walker: Walker) -> None:
    if key is not None and not isinstance(key, str):
        raise RuleRefusedError(f"found {key!r} as the name of a field; write it in quotes")
    walker.item(SigmaDetectionItem.from_mapping(key, value, policy=POLICY))


def _condition_faults(condition: Any, names: list[str], place: Place) -> Iterator[Fault]:
    parsed: list[Any] = []
    yield from _tried(lambda: parsed.append(parsed_condition(SigmaCondition(condition, EmptySigmaDetections()))), place)
    for part in _leaves(parsed):
        check: Any = selected if isinstance(part, ConditionSelector) else known
        yield from _tried(lambda check=check, part=part: check(part, names), place)  # type: ignore[misc]


def _leaves(parts: Iterable[Any]) -> Iterator[ConditionItem]:
    waiting = list(parts)
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, (ConditionIdentifier, ConditionSelector)):
            yield part
        elif isinstance(part, ConditionItem):
            waiting[:0] = part.args


def _tried(attempt: Callable[[], Any], place: Place) -> Iterator[Fault]:
    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over is told
        yield Fault(told(error), place)
