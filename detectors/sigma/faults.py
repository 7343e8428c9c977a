"""All that is wrong with a detection: each item and each condition is tried by itself, and told with its place.

Only asked for once a rule has been refused: to take a rule, it is compiled as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sigma.conditions import ConditionIdentifier, ConditionItem, ConditionSelector, SigmaCondition
from sigma.exceptions import SigmaError
from sigma.rule.detection import EmptySigmaDetections

from detectors.sigma.budget import check_size
from detectors.sigma.compile import Walker, known, parsed_condition, selected
from detectors.sigma.items import APART, item_of
from detectors.sigma.remedies import with_remedy
from detectors.sigma.rule import Fault, Place, RuleRefusedError
from detectors.sigma.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from detectors.sigma.placeholders import Placeholders


def told(error: Exception) -> str:
    """What an error says. Whatever pySigma trips over in a foreign text is the text's fault."""
    if isinstance(error, (SigmaError, RuleRefusedError)):
        return with_remedy(str(error))
    return f"not a Sigma rule: {str(error) or type(error).__name__}"


def faults_of(error: Exception) -> Iterator[Fault]:
    """The faults that an error tells of."""
    if isinstance(error, RuleRefusedError):
        yield from error.faults
    else:
        yield Fault(told(error))


def detection_faults(
    detection: Any, root: str, names: Mapping[str, str], placeholders: Placeholders
) -> Iterator[Fault]:
    """The faults of ``detection`` or ``filter``, as far as its items and conditions have them; `names` maps fields."""
    if not isinstance(detection, dict):
        yield Fault(f"found no mapping under {root}; write named detections and a condition", (root,))
        return
    detections = {name: reworded(part) for name, part in detection.items() if name not in APART}
    try:
        check_size(detections)
    except RuleRefusedError as error:
        yield Fault(str(error), (root,))
        return
    if not detections:
        yield Fault(f"found no detections under {root}", (root,))
        return
    walker = Walker({}, names)

    def try_item(key: Any, value: Any) -> None:
        item = item_of(key, value, placeholders)
        if not placeholders.pending:  # what a pipeline may still change is not judged yet
            walker.item(item)

    for name, definition in detections.items():
        yield from _definition_faults(definition, (root, name), try_item)
    if "condition" not in detection:
        yield Fault("a rule must contain at least one condition", (root,))
        return
    conditions = detection["condition"]
    for place, condition in enumerate(conditions) if isinstance(conditions, list) else [(None, conditions)]:
        here: Place = (root, "condition") if place is None else (root, "condition", place)
        yield from _condition_faults(condition, [str(name) for name in detections], here)


def _definition_faults(definition: Any, place: Place, attempt: Callable[[Any, Any], None]) -> Iterator[Fault]:
    if isinstance(definition, dict):
        for key, value in definition.items():
            yield from _tried(attempt, (key, value), (*place, key))
    elif isinstance(definition, list):
        for number, one in enumerate(definition):
            yield from _definition_faults(one, (*place, number), attempt)
    else:
        yield from _tried(attempt, (None, definition), place)
    if definition in ({}, []):
        yield Fault("found a detection without content", place)


def _condition_faults(condition: Any, names: list[str], place: Place) -> Iterator[Fault]:
    parsed: list[Any] = []
    text = SigmaCondition(condition, EmptySigmaDetections())
    yield from _tried(lambda: parsed.append(parsed_condition(text)), (), place)
    for part in {str(leaf.args): leaf for leaf in _leaves(parsed)}.values():
        check: Any = selected if isinstance(part, ConditionSelector) else known
        yield from _tried(check, (part, names), place)


def _leaves(parts: Iterable[Any]) -> Iterator[ConditionItem]:
    waiting = list(parts)
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, (ConditionIdentifier, ConditionSelector)):
            yield part
        elif isinstance(part, ConditionItem):
            waiting[:0] = part.args


def _tried(attempt: Callable[..., Any], given: tuple[Any, ...], place: Place) -> Iterator[Fault]:
    try:
        attempt(*given)
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over is told
        yield Fault(told(error), place)
