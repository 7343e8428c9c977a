"""Results of tests as the XML that build servers read: a suite, with one case for each rule file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from monitor.cli.terminal import visible

EVENT_CHARACTERS_MAX: Final = 4_000
"""Of an event that a failure shows."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A disagreement of a rule and its twin: what was expected, where, and the event."""

    message: str
    path: str
    line: int
    event: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class Case:
    """A rule file and what came of its twin. `errors`: why it could not be tried at all."""

    path: str
    seconds: float = 0.0
    failures: Sequence[Failure] = ()
    errors: Sequence[str] = field(default=())


def write_junit(path: Path, cases: Sequence[Case]) -> None:
    """Write the file, in the shape that Jenkins and those after it agree on."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(bool(case.failures) for case in cases)),
        "errors": str(sum(bool(case.errors) for case in cases)),
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }
    root = ET.Element("testsuites", {"name": "miniwatch rules test", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "twins", **counts, "skipped": "0"})
    for case in cases:
        _case(suite, case)
    ET.indent(root)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _case(suite: ET.Element, case: Case) -> None:
    file = Path(case.path)
    told = {"name": file.stem, "classname": ".".join(file.parent.parts[-3:]).strip("/.") or "rules", "file": case.path}
    one = ET.SubElement(suite, "testcase", {**_plain(told), "time": f"{case.seconds:.3f}"})
    for failure in case.failures:
        part = ET.SubElement(one, "failure", _plain({"type": "twin", "message": str(failure)}))
        part.text = _body(failure)
    for error in case.errors:
        ET.SubElement(one, "error", _plain({"type": "rule", "message": error}))


def _body(failure: Failure) -> str:
    lines = [failure.message, *([f"event: {failure.event[:EVENT_CHARACTERS_MAX]}"] if failure.event else [])]
    return "\n".join(visible(line) for line in lines)


def _plain(attributes: dict[str, str]) -> dict[str, str]:
    """Without characters that XML has no way to write."""
    return {name: visible(value) for name, value in attributes.items()}
