"""A rule's detections as pySigma's own objects, its placeholders resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sigma.exceptions import SigmaModifierError
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections
from sigma.types import SigmaExpansion, SigmaString, sigma_type

from detectors.sigma.budget import check_size
from detectors.sigma.dialect import POLICY
from detectors.sigma.rule import RuleRefusedError
from detectors.sigma.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sigma.types import SigmaType

    from detectors.sigma.placeholders import Placeholders

APART: Final = ("condition", "rules")
"""Names in a detection or a filter that are no detections."""


def detections_of(content: Mapping[str, Any], placeholders: Placeholders) -> SigmaDetections:
    """What stands under ``detection`` or ``filter``; raises at its first fault."""
    parts = {name: reworded(part) for name, part in content.items() if name not in APART}
    check_size(parts)
    condition = content["condition"]
    return SigmaDetections(
        {name: detection_of(part, placeholders) for name, part in parts.items()},
        condition if isinstance(condition, list) else [condition],
        policy=POLICY,
    )


def detection_of(definition: Any, placeholders: Placeholders) -> SigmaDetection:
    """One named detection: a mapping of fields, a list of such or of keywords, or one keyword."""
    if isinstance(definition, dict):
        parts: list[Any] = [item_of(key, value, placeholders) for key, value in definition.items()]
    elif isinstance(definition, list) and any(isinstance(one, (dict, list)) for one in definition):
        parts = [detection_of(one, placeholders) for one in definition]
    else:
        parts = [item_of(None, definition, placeholders)]
    return SigmaDetection(parts)


def item_of(key: Any, value: Any, placeholders: Placeholders) -> SigmaDetectionItem:
    """One field with its modifiers and values; without a key, keywords."""
    if key is not None and not isinstance(key, str):
        raise RuleRefusedError(f"found {key!r} as the name of a field; write it in quotes")
    field, *names = (key or "").split("|")
    if "expand" not in names:
        return SigmaDetectionItem.from_mapping(key, value, policy=POLICY)
    names = [name for name in names if name != "expand"]
    unknown = [name for name in names if name not in modifier_mapping]
    if unknown:
        raise SigmaModifierError(f"Unknown modifier {unknown[0]!r}")
    given = value if isinstance(value, list) else [value]
    values = [meant for one in given for meant in _values(one, names, placeholders)]
    return SigmaDetectionItem(field or None, [modifier_mapping[name] for name in names], values, policy=POLICY)


def _values(value: Any, modifiers: list[str], placeholders: Placeholders) -> list[SigmaType]:
    if not isinstance(value, str):
        return [SigmaString.from_str(str(value)) if "re" in modifiers else sigma_type(value)]
    meant = placeholders.patterns(value) if "re" in modifiers else placeholders.texts(value, modifiers)
    if not isinstance(meant, SigmaExpansion) or not any(_is_open(one) for one in meant.values):
        return [meant]
    if "all" in modifiers:
        raise RuleRefusedError(f"{value!r}: some of its placeholders have values under [rules.placeholders]; give all")
    return meant.values  # pySigma's pipelines do not look into expansions


def _is_open(text: SigmaType) -> bool:
    return isinstance(text, SigmaString) and text.contains_placeholder()
