"""Processing pipelines in pySigma's own form: what an operator's rules go through before they are compiled.

They map the names of fields, change values and logsources, add conditions. A pipeline is the operator's, yet it runs no
code, reads no file and asks no network: what could is refused, as is what only makes sense for a query in another
language. Pipelines run in the order of their ``priority``, those of the same in the order they are named.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from detectors.sigma.document import Document, split_documents
from detectors.sigma.faults import told
from detectors.sigma.header import version_of
from detectors.sigma.rule import Fault, Place, RuleProblem, RuleRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sigma.correlations import SigmaCorrelationRule
    from sigma.processing.pipeline import ProcessingPipeline
    from sigma.rule import SigmaRule

TRANSFORMATIONS: Final = frozenset(
    {
        "add_condition",
        "add_field",
        "case",
        "change_logsource",
        "convert_type",
        "detection_item_failure",
        "drop_detection_item",
        "extract_fields",
        "field_name_mapping",
        "field_name_prefix",
        "field_name_prefix_mapping",
        "field_name_suffix",
        "hashes_fields",
        "map_string",
        "nest",
        "remove_field",
        "replace_string",
        "rule_failure",
        "set_custom_attribute",
        "set_field",
        "set_state",
        "set_value",
        "strict_field_mapping_failure",
        "value_placeholders",
        "wildcard_placeholders",
    }
)
"""Transformations that mean the same here as in pySigma, and do nothing but change the rule."""

REFUSED: Final = {
    "command_placeholders": "it would run a program",
    "field_name_transform": "it would run code",
    "file_placeholders": "it would read files; give the values under vars, or under [rules.placeholders]",
    "http_placeholders": "it would ask the network; give the values under vars, or under [rules.placeholders]",
    "query_expression_placeholders": "it writes text of a query language",
    "regex": "texts are compared without regard to case already; take it out",
}

ITEMS_MAX: Final = 10_000
"""Transformations in one pipeline, nested ones counted."""

_KEYS: Final = ("allowed_backends", "finalizers", "name", "postprocessing", "priority", "transformations", "vars")
_OURS: Final = "miniwatch"


class Pipelines:
    """Pipelines that run one after the other as one. `stamp` changes with what they say and with their order."""

    def __init__(self, pipeline: ProcessingPipeline, stamp: str) -> None:
        self._pipeline = pipeline
        self.stamp = stamp

    def apply(self, rule: SigmaRule | SigmaCorrelationRule) -> None:
        """Change a rule as the pipelines say; raises `RuleRefusedError` when they refuse it, or fail on it."""
        try:
            self._pipeline.apply(rule)
        except Exception as error:
            raise RuleRefusedError(f"a pipeline does not take it: {told(error)}") from error


def read_pipelines(sources: Sequence[tuple[str, str]]) -> tuple[Pipelines | None, list[RuleProblem]]:
    """The pipelines of some files, each given as (path, YAML text); None with all problems if any cannot be honoured."""
    problems: list[RuleProblem] = []
    read: list[tuple[int, ProcessingPipeline]] = []
    contents: list[Any] = []
    for path, text in sources:
        documents, bad = split_documents(path, text)
        problems += bad
        if len(documents) != 1 and not bad:
            problems.append(RuleProblem(path, 0, "", f"found {len(documents)} documents; a pipeline is one"))
        for document in documents:
            try:
                pipeline = _pipeline(document)
            except RuleRefusedError as error:
                problems += document.problems(error.faults)
                continue
            read.append((pipeline.priority, pipeline))
            contents.append(document.content)
    if problems or not read:
        return None, problems
    ordered = [pipeline for _, pipeline in sorted(read, key=lambda pair: pair[0])]
    whole: ProcessingPipeline = sum(ordered[1:], start=ordered[0])
    return Pipelines(whole, version_of({"pipelines": contents})), []


def _pipeline(document: Document) -> ProcessingPipeline:
    from sigma.processing.pipeline import ProcessingPipeline  # noqa: PLC0415 - most installations have no pipelines

    content = document.content
    faults = [*_frame_faults(content), *_item_faults(content.get("transformations", []), ("transformations",))]
    if not faults:
        try:
            return ProcessingPipeline.from_dict(copy.deepcopy(content))
        except Exception as error:  # noqa: BLE001 - a pipeline is foreign text: whatever its parser trips over is told
            faults = [Fault(told(error))]
    raise RuleRefusedError.of(faults)


def _frame_faults(content: dict[str, Any]) -> Iterator[Fault]:
    for key in content:
        if key not in _KEYS:
            yield Fault(f"found the key {key!r}; a pipeline has: {', '.join(_KEYS)}", (key,))
    for key in ("postprocessing", "finalizers"):
        if content.get(key):
            yield Fault(
                f"found {key}: it shapes a query in another language, and there is none here; take it out", (key,)
            )
    backends = content.get("allowed_backends") or [_OURS]
    if not isinstance(backends, list) or _OURS not in backends:
        message = "the pipeline is for other backends"
        yield Fault(f"{message}; add {_OURS} if its fields are those of your events", ("allowed_backends",))
    priority = content.get("priority", 0)
    if type(priority) is not int:
        yield Fault(f"found priority: {priority!r}; write a whole number", ("priority",))
    given = content.get("vars") or {}
    if not isinstance(given, dict):
        yield Fault("found no mapping under vars; write names and values", ("vars",))
        return
    for name, values in given.items():
        if not values or not all(isinstance(one, (str, int, float)) for one in _list(values)):
            yield Fault(f"found no values of {name!r}; write texts or numbers", ("vars", name))


def _item_faults(items: Any, place: Place) -> Iterator[Fault]:
    """What is wrong with each transformation, those inside others too."""
    if not isinstance(items, list):
        yield Fault("found no list of transformations", place)
        return
    if len(items) > ITEMS_MAX:
        yield Fault(f"found {len(items)} transformations; at most {ITEMS_MAX}", place)
        return
    for number, item in enumerate(items):
        here = (*place, number)
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(kind, str):
            yield Fault("found a transformation without a type", here)
        elif kind in REFUSED:
            yield Fault(f"found {kind}: {REFUSED[kind]}", (*here, "type"))
        elif kind not in TRANSFORMATIONS:
            yield Fault(f"found {kind}: there is no such transformation; there are: {', '.join(sorted(TRANSFORMATIONS))}", (*here, "type"))  # fmt: skip
        elif kind == "nest":
            nested = [*_item_faults(item.get("items"), (*here, "items"))]
            yield from nested or _built_faults(item, here)
        else:
            yield from _mapping_faults(item, here)
            yield from _built_faults(item, here)


def _mapping_faults(item: dict[str, Any], place: Place) -> Iterator[Fault]:
    """A bad mapping, which pySigma takes and would trip over at each rule."""
    mapping = item.get("mapping", {})
    if not isinstance(mapping, dict):
        yield Fault("found no mapping; write names and what they become", (*place, "mapping"))
        return
    for name, becomes in mapping.items():
        if not all(isinstance(one, str) for one in _list(becomes)):
            yield Fault(f"found {becomes!r}; write a text or a list of texts", (*place, "mapping", name))


def _built_faults(item: dict[str, Any], place: Place) -> Iterator[Fault]:
    from sigma.processing.pipeline import ProcessingItem  # noqa: PLC0415 - as above

    try:
        ProcessingItem.from_dict(copy.deepcopy(item))
    except Exception as error:  # noqa: BLE001 - as above
        yield Fault(told(error), place)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
