"""Rule files as text become documents: plain mappings that know their lines, read with bounds on everything."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import yaml

from detectors.sigma.rule import Fault, Place, RuleProblem

DOCUMENT_CHARACTERS_MAX: Final = 1 << 20
"""Length of one rule document."""

ALIASES_MAX: Final = 100
"""Uses of YAML aliases in one document: enough for a shared list, too few for a bomb."""

DEPTH_MAX: Final = 50
"""Nesting of lists and mappings in one document."""

NODES_MAX: Final = 50_000
"""Values in one document, counting an aliased value once for each use."""

FAULTS_MAX: Final = 50
"""Faults of one document that are told."""

_MARKER: Final = re.compile(r"^---(?=[ \t]|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML mapping and where it begins.

    `texts` is what it was read from, each with its first line: its own text, then those whose content it takes over.
    """

    path: str
    line: int
    content: dict[str, Any]
    texts: tuple[tuple[int, str], ...] = ()

    @property
    def label(self) -> str:
        """How a problem names it: its id, else its title."""
        return str(self.content.get("id") or self.content.get("title") or "")[:100]

    def problem(self, message: str, place: Place = (), because: str = "") -> RuleProblem:
        return RuleProblem(self.path, self.line_of(place), self.label, message, because)

    def problems(self, faults: tuple[Fault, ...]) -> Iterator[RuleProblem]:
        """Every fault with its line, in the order of lines; of very many, some."""
        found = list(dict.fromkeys(faults))
        told = [self.problem(*fault) for fault in found[:FAULTS_MAX]]
        yield from sorted(told, key=lambda problem: problem.line)
        if len(found) > FAULTS_MAX:
            yield self.problem(f"{len(found) - FAULTS_MAX} more faults were found")

    def line_of(self, place: Place) -> int:
        """The line where a place stands, or as much of the way there as is written."""
        found = (0, self.line)
        for first, text in self.texts if place else ():
            reached, line = _reach(_composed(text), place)
            if reached > found[0]:
                found = (reached, first + line)
        return found[1]


class _Loader(yaml.CSafeLoader):
    """The safe loader, which builds nothing but plain values, and also refuses what lets a document say two things at once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, "found a merge key (<<); write the keys out", key_node.start_mark
                )
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"found the key {key!r} twice or of no use; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def split_documents(path: str, text: str) -> tuple[list[Document], list[RuleProblem]]:
    """The documents of one file, and a problem for each that is not a mapping; one bad document costs itself only."""
    documents: list[Document] = []
    problems: list[RuleProblem] = []
    for line, part in _parts(text):
        try:
            content = _read(part)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            problems.append(RuleProblem(path, line + _line_of(error), _label(part), _reason(error)))
            continue
        if content is None:
            continue
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            problems.append(
                RuleProblem(path, line, "", f"found a {type(content).__name__}; a rule is a mapping of names to values")
            )
            continue
        documents.append(Document(path, line, content, ((line, part),)))
    return documents, problems


def size_of(value: Any, depth: int = 0) -> int:
    """How many values a document has once aliases are written out; stops counting past the bound."""
    if depth > DEPTH_MAX:
        raise ValueError(f"found values nested deeper than {DEPTH_MAX}; flatten the document")
    if not isinstance(value, (dict, list)):
        return 1
    total = 1
    for child in value.values() if isinstance(value, dict) else value:
        total += size_of(child, depth + 1)
        if total > NODES_MAX:
            break
    return total


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Each document's text with the line it begins on (its first line that is neither blank nor a comment)."""
    starts = [0, *(match.end() for match in _MARKER.finditer(text))]
    ends = [*(match.start() for match in _MARKER.finditer(text)), len(text)]
    number, counted = 1, 0
    for start, end in zip(starts, ends, strict=True):
        number, counted = number + text.count("\n", counted, start), start
        part = text[start:end]
        lines = part.split("\n")
        blank = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
        if blank is not None:
            yield number + blank, "\n".join(lines[blank:])


def _read(text: str) -> Any:
    if len(text) > DOCUMENT_CHARACTERS_MAX:
        raise ValueError(f"found {len(text)} characters; a rule has at most {DOCUMENT_CHARACTERS_MAX}: split it")
    _bound(text)
    content = _Loader(text).get_single_data()
    if size_of(content) > NODES_MAX:
        raise ValueError(f"found more than {NODES_MAX} values, aliases written out; split the document")
    return content


def _bound(text: str) -> None:
    """Refuse, before anything is built, what would take too much to build."""
    depth = aliases = 0
    for nodes, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
        if depth > DEPTH_MAX:
            raise ValueError(f"found values nested deeper than {DEPTH_MAX}; flatten the document")
        if aliases > ALIASES_MAX:
            raise ValueError(f"found more than {ALIASES_MAX} YAML aliases; write the values out")
        if nodes > 4 * NODES_MAX:  # names, and the ends of collections, are events too
            raise ValueError(f"found more than {NODES_MAX} values; split the document")


@lru_cache(maxsize=2)
def _composed(text: str) -> yaml.Node | None:
    """The document as nodes that know their lines; only asked for when there is something to tell."""
    return yaml.compose(text, Loader=yaml.CSafeLoader)


def _reach(node: yaml.Node | None, place: Place) -> tuple[int, int]:
    """How many steps of the way to a place are written in a document, and the line reached."""
    line = 0
    for step, key in enumerate(place):
        if isinstance(node, yaml.MappingNode):
            # A null, a number or a truth value as key is told by how it is written.
            found = next((pair for pair in node.value if getattr(pair[0], "value", None) == str(key)), None)
            if found is None:
                return step, line
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line
        else:
            return step, line
    return len(place), line


def _line_of(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None)
    return int(mark.line) if mark is not None else 0


def _reason(error: Exception) -> str:
    text = getattr(error, "problem", None) or str(error) or type(error).__name__
    return f"not readable as YAML: {text}" if isinstance(error, yaml.YAMLError) else str(text)


def _label(text: str) -> str:
    """The id or title of a document that could not be read, so that its author finds it."""
    for key in ("id", "title"):
        match = re.search(rf"^{key}:[ \t]*(.{{1,100}})$", text, re.MULTILINE)
        if match:
            return match[1].strip().strip("'\"")
    return ""
