"""What a rule asks of events once filters have narrowed it and the operator's pipelines have been through it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from detectors.sigma.compile import bound, compile_detections
from detectors.sigma.condition import all_of
from detectors.sigma.fields import datasets_of, field_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sigma.rule import SigmaDetections, SigmaLogSource, SigmaRule

    from detectors.sigma.condition import Node
    from detectors.sigma.filters import Filter
    from detectors.sigma.pipeline import Pipelines


@dataclass(frozen=True, slots=True)
class Meaning:
    """A condition and the events that it is asked of."""

    condition: Node
    logsource: str
    datasets: tuple[str, ...]


def meaning_of(rule: SigmaRule, filters: Sequence[Filter], pipelines: Pipelines | None = None) -> Meaning:
    """The meaning of a rule, its detections resolved; raises `RuleRefusedError` or pySigma's errors. Leaves all as it was."""
    own = rule if pipelines is None else _piped(rule, rule.detection, pipelines)
    source = own.logsource
    names = field_names(source.category)
    conditions = [compile_detections(own.detection, names)]
    for one in filters:
        if pipelines is None:
            conditions.append(one.condition(names))
        else:
            piped = _piped(rule, one.detections, pipelines)
            conditions.append(compile_detections(piped.detection, field_names(piped.logsource.category)))
    condition = all_of(conditions) if len(conditions) > 1 else conditions[0]
    bound(condition)
    return Meaning(condition, _named(source), datasets_of(source.product, source.category, source.service))


def _piped(rule: SigmaRule, detections: SigmaDetections, pipelines: Pipelines) -> SigmaRule:
    """A copy of a rule, with these detections, once it has gone through the pipelines."""
    piped = replace(
        rule,
        detection=copy.deepcopy(detections),
        fields=list(rule.fields),
        custom_attributes=dict(rule.custom_attributes),
    )
    pipelines.apply(piped)
    return piped


def _named(source: SigmaLogSource) -> str:
    return " ".join(part for part in (source.product, source.category, source.service) if part)
