"""What the tests of the rule engine share: rules from a few words, and what they are true of."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from detectors.sigma import SigmaDetector, parse_rules
from detectors.testing import batch

sys.path.insert(0, str(Path(__file__).parent))  # tests of windows share `by_hand`


def rule_text(detection: dict[str, Any], **more: Any) -> str:
    """A rule with an id that its content gives it."""
    content = {
        "title": "a rule",
        "logsource": {"product": "miniprogram"},
        "detection": {"condition": "s", **detection} if "condition" not in detection else detection,
        **more,
    }
    content.setdefault("id", str(uuid.uuid5(uuid.NAMESPACE_OID, repr(sorted(map(str, content.items()))))))
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def load(*texts: str) -> SigmaDetector:
    found = parse_rules([(f"{place}.yml", text) for place, text in enumerate(texts)])
    assert not found.problems, [str(problem) for problem in found.problems]
    return SigmaDetector(found.rules)


def hits(detection: dict[str, Any], *events: dict[str, Any], **more: Any) -> list[bool]:
    """For each event, whether a rule of this detection is true of it."""
    detector = load(rule_text(detection, **more))
    one = batch(*({"event.dataset": "miniprogram.api", **event} for event in events))
    rows = {row for found in detector.matches(one).values() for row in found.tolist()}
    return [place in rows for place in range(len(events))]


@pytest.fixture(scope="session")
def sigma() -> Any:
    class Sigma:
        pass

    Sigma.hits = staticmethod(hits)
    Sigma.load = staticmethod(load)
    Sigma.text = staticmethod(rule_text)
    return Sigma
