"""Remarks on rules that can be honoured: what is missing, what does nothing where it stands, what says it better."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from detectors.event import FIELDS
from detectors.sigma.collection import written_out
from detectors.sigma.condition import All, AnyOf, Not, Predicate, fields_of, fold_text
from detectors.sigma.document import split_documents
from detectors.sigma.fields import field_names
from detectors.sigma.phrasing import Phrase, phrasing
from detectors.sigma.reach import Idle, idle_parts
from detectors.sigma.remark import Remark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from detectors.sigma.condition import Node
    from detectors.sigma.rule import Place, Rule

PART_CHARACTERS_MAX: Final = 200
"""Of a part of a condition that a remark shows."""

FIELD_LIKENESS_MIN: Final = 0.93
"""From here on a field is taken for a misspelling of one of the schema."""

_KEY: Final = "|"
"""After the name of a field, to tell it from values."""


def lint(sources: Iterable[tuple[str, str]], rules: Sequence[Rule]) -> list[Remark]:
    """Remarks on the rules of some files, given as (path, YAML text): those that `parse_rules` has taken."""
    taken = {(rule.path, rule.line): rule for rule in rules}
    remarks: set[Remark] = set()
    for path, text in sources:
        documents, _ = written_out(split_documents(path, text)[0])
        for document in documents:
            rule = taken.get((path, document.line))
            if rule is not None:
                remarks.update(
                    Remark(path, document.line_of(place), code, message, rule.id)
                    for place, code, message in _remarks(rule, document.content)
                )
    return sorted(remarks)


def at_fields(sources: Iterable[tuple[str, str]], rules: Sequence[Rule]) -> dict[tuple[str, str], int]:
    """Where each rule's detection first names each field: by the rule's id and the field as events call it."""
    taken = {(rule.path, rule.line): rule for rule in rules}
    found: dict[tuple[str, str], int] = {}
    for path, text in sources:
        for document in written_out(split_documents(path, text)[0])[0]:
            rule = taken.get((path, document.line))
            detection = document.content.get("detection")
            if rule is None or not isinstance(detection, dict):
                continue
            source = document.content.get("logsource")
            names = field_names(source.get("category") if isinstance(source, dict) else None)
            for word, place in _written(detection, ("detection",)):
                if word.endswith(_KEY):
                    name = word.removesuffix(_KEY)
                    found.setdefault((rule.id, names.get(name.lower(), name)), document.line_of(place))
    return found


def _remarks(rule: Rule, content: Mapping[str, Any]) -> Iterator[Phrase]:
    yield from _missing(rule, content)
    yield from _ungrouped(rule)
    detection = content.get("detection")
    if isinstance(detection, dict) and rule.condition is not None:
        yield from phrasing(detection)
        written: dict[str, list[Place]] = {}
        for text, place in _written(detection, ("detection",)):
            written.setdefault(text, []).append(place)
        for field, near in _misspelt(fields_of(rule.condition)):
            yield (
                next(iter(written.get(field + _KEY, ())), ("detection",)),
                "misspelt-field",
                f"{field}: did you mean {near}?",
            )
        for idle in idle_parts(rule.condition):
            yield from _idle(idle, written, whole=idle.part is rule.condition)


def _ungrouped(rule: Rule) -> Iterator[Phrase]:
    """A window is about the entity of its rule only where it is grouped by the field that names it."""
    if rule.window is None or rule.entity is None or rule.entity_field is None:
        return
    grouped = {field for group in rule.window.groups for field in group.fields}
    if rule.entity_field not in grouped:
        place: Place = ("correlation", "group-by") if grouped else ("correlation",)
        message = f"{rule.title!r} accuses {rule.entity} and does not group by it; add {rule.entity_field} to group-by"
        yield place, "ungrouped-entity", message


def _misspelt(fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Fields outside of the schema, with the one of it that is spelt almost alike."""
    for field in fields:
        if field not in FIELDS and not any(field.startswith(f"{known}.") for known in FIELDS):
            for near in difflib.get_close_matches(field, FIELDS, n=1, cutoff=FIELD_LIKENESS_MIN):
                yield field, near


def _missing(rule: Rule, content: Mapping[str, Any]) -> Iterator[Phrase]:
    """What whoever reads a finding would look for. A rule that is only counted gives none."""
    if rule.silent:
        return
    if not rule.description.strip():
        yield (), "missing-description", f"{rule.title!r} has no description: say what a finding means"
    if content.get("level") is None:
        yield (), "missing-level", f"{rule.title!r} has no level; its findings count as {rule.severity}"
    if not rule.false_positives:
        yield (), "missing-falsepositives", f"{rule.title!r} has no falsepositives: say what looks the same"
    if not rule.tags:
        yield (), "missing-tags", f"{rule.title!r} has no tags: playbooks find findings by behaviour.N and the like"


def _idle(idle: Idle, written: Mapping[str, list[Place]], *, whole: bool) -> Iterator[Phrase]:
    code = "always-true" if idle.always else "subsumed-value" if idle.among else "never-true"
    word = "always true" if idle.always else "never true"
    if whole:
        yield ("detection", "condition"), code, f"the whole condition is {word}: {idle.why}"
        return
    texts = [str(operand) for operand in _operands(idle.part)]
    known = sorted((written[text] for text in texts if text in written), key=len)
    if texts and not known:  # modifiers have made it out of what is written
        return
    shown = _shown(idle.part)[:PART_CHARACTERS_MAX]
    if not texts:
        known = [written[name + _KEY] for name in fields_of(idle.part) if name + _KEY in written]
    place = known[0][0] if known else ("detection",)  # of the rarest value: others may stand elsewhere too
    yield place, code, f"{shown} {'can be left out' if idle.among else f'is {word} here'}: {idle.why}"


def _operands(node: Node) -> Iterator[object]:
    match node:
        case Predicate():
            yield from node.operands
        case Not():
            yield from _operands(node.child)
        case All() | AnyOf():
            for child in node.children:
                yield from _operands(child)


def _shown(node: Node) -> str:
    match node:
        case Predicate():
            return str(node)
        case Not():
            return f"not ({_shown(node.child)})"
    return (" and " if isinstance(node, All) else " or ").join(f"({_shown(child)})" for child in node.children)


def _written(value: Any, path: Place) -> Iterator[tuple[str, Place]]:
    """Each value as a condition has it, without case and wildcards at its ends, and each field; and where they stand."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key).partition("|")[0] + _KEY, (*path, str(key))
            yield from _written(inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _written(inner, (*path, number))
    elif value is not None:
        bare = (str(value).lower() if isinstance(value, bool) else str(value)).strip("*")
        yield from ((form, path) for form in dict.fromkeys((fold_text(bare), bare)))
