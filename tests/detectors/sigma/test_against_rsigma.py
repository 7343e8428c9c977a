"""The same correlations and events put to rsigma: at which events the condition holds, and what the window holds there.

Where the two differ by design, streams are made so that it does not matter: times are whole seconds, and rsigma's window
is a second shorter, for it reaches back to its very edge; events come to it in our order, have their group and value,
and hit one rule each where hits are counted, for it counts each rule's hit. What is left must be equal, but for the
differences that have a test of their own.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import yaml
from by_hand import APP, base_texts, correlation, detector_of, ids

from detectors.event import END_OF_TIME, Batch
from detectors.sigma.correlate import Correlator
from detectors.testing import FIRST_TIME, batch

RSIGMA = os.environ.get("MINIWATCH_RSIGMA") or shutil.which("rsigma")

pytestmark = pytest.mark.skipif(
    not RSIGMA, reason="rsigma is not on the path, and MINIWATCH_RSIGMA does not name it (`cargo install rsigma`)"
)

Verdicts = dict[tuple[str, tuple[str, ...]], float]
"""By event and group, what the window holds where the condition does."""


def ours(documents: tuple[dict, ...], whole: Batch, *, everywhere: bool = False) -> Verdicts:
    """Our verdicts on the last correlation; `everywhere` also where its condition does not hold."""
    found: Verdicts = {}

    def looked(rule, events, measured):
        if rule.id == ids()["rule"]:
            shown = events.frame[events.fresh].select("id", "key").rows()
            for (event, key), holds, now in zip(shown, measured.holds.tolist(), measured.now.tolist(), strict=True):
                if now or everywhere:
                    groups = json.loads(key)
                    groups.pop("", None)
                    found[event, tuple(groups.values())] = holds

    detector = detector_of(*documents)
    windows = Correlator([rule for rule in detector.rules if rule.window], looked=looked)
    windows.observe(Batch(whole.frame, END_OF_TIME), windows.hits(whole.frame, detector.matches(whole)))
    return found


def theirs(documents: tuple[dict, ...], whole: Batch, folder) -> Verdicts:
    """Those of rsigma: a correlation's line follows those of the rules that the same event hit."""
    shorter = copy.deepcopy(documents)
    for document in shorter:
        document["correlation"]["timespan"] = f"{int(document['correlation']['timespan'][:-1]) - 1}s"
    texts = [*base_texts(), *(yaml.safe_dump(document) for document in shorter)]
    (folder / "rules.yml").write_text("---\n".join(texts))
    ordered = whole.frame.sort("_time", "_hash", "event.id")
    (folder / "events.ndjson").write_text("\n".join(ordered["_line"].to_list()) + "\n")
    asked = [RSIGMA, "engine", "eval", "-q", "--include-event", "-r", "rules.yml", "-e", "@events.ndjson"]
    run = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return dict(_verdicts(run.stdout))


def _verdicts(lines: str) -> Iterator[tuple[tuple[str, tuple[str, ...]], float]]:
    event = ""
    for line in lines.splitlines():
        said: dict[str, Any] = json.loads(line)
        if "correlation_type" not in said:
            event = said["event"]["event.id"]
        elif said["rule_id"] == ids()["rule"]:
            yield (event, tuple(value for _, value in said["group_key"])), said["aggregated_value"]


def stream(random: Random, actions: str, count: int = 40) -> Batch:
    second, events = 0, []
    for place in range(count):
        second += random.choice([0, 0, 1, 1, 2, 3, 6])
        events.append(
            {
                "@timestamp": FIRST_TIME // 1_000 + second * 1_000,
                "event.dataset": "miniprogram.api",
                "event.id": f"{place:03}",
                "event.action": random.choice(actions.split()),
                "url.domain": random.choice("xyz"),
                "number": random.choice([1, 2, 2.5, 7, 10, 0.5]),
                APP: random.choice(["wx1", "wx1", "wx2"]),
            }
        )
    return batch(*events)


ANY = [{name: number} for name in ("gt", "gte", "lt", "lte", "eq", "neq") for number in (1, 2, 3)] + [
    {"gt": 1, "lte": 3}
]
CASES = {
    "event_count": ("a b", "a b c", ANY),
    "value_count": ("a b", "a b c", [{"field": "url.domain", **one} for one in ANY]),
    "value_sum": ("a", "a a b", [{"field": "number", **one} for one in ({"gte": 12}, {"lt": 9}, {"eq": 10})]),
    "value_avg": ("a", "a a b", [{"field": "number", **one} for one in ({"gte": 4}, {"lt": 3}, {"neq": 2})]),
    "value_median": ("a", "a a b", [{"field": "number", **one} for one in ({"gte": 4}, {"lt": 3}, {"eq": 7})]),
    "temporal": ("a b c", "a b c d", ANY),
    "temporal_ordered": ("a b c", "a b c d ab bc", [None]),
}


@pytest.mark.parametrize("kind", CASES)
def test_conditions_hold_at_the_same_events_with_the_same_values(kind, tmp_path):
    rules, actions, conditions = CASES[kind]
    seen = 0
    for seed, condition in enumerate(conditions * (20 // len(conditions) + 1)):
        more = {} if condition is None else {"condition": condition}
        document = (correlation(kind, rules, span="6s", **more),)
        whole = stream(Random(f"{kind} {seed}"), actions)
        verdicts = ours(document, whole)
        seen += len(verdicts)
        assert theirs(document, whole, tmp_path) == pytest.approx(verdicts), condition
    assert seen > 100


@pytest.mark.parametrize("words", ["a or b and c", "a and b", "a and not b", "c and not (a or b)"])
def test_conditions_in_words_hold_at_the_same_events(words, tmp_path):
    rules = " ".join(letter for letter in "abc" if letter in words.replace("and", ""))
    for seed in range(10):
        document = (correlation("temporal", rules, span="6s", condition=words),)
        whole = stream(Random(f"{words} {seed}"), "a b c d")
        assert theirs(document, whole, tmp_path) == ours(document, whole)


def test_correlations_of_correlations_hold_at_the_same_events(tmp_path):
    """Of an inner count that must be exact: it speaks at each event at which it holds, as rsigma's do always."""
    inner = correlation("event_count", "a", span="4s", name="inner", condition={"eq": 2})
    for seed in range(20):
        outer = correlation("temporal", "inner b", span="9s", condition={"gte": 2})
        if seed % 2:
            outer = correlation("event_count", "inner", span="9s", condition={"gte": 2})
        whole = stream(Random(f"chain {seed}"), "a a b")
        assert theirs((inner, outer), whole, tmp_path) == ours((inner, outer), whole)


def test_percentiles_are_the_same_though_rsigma_does_not_compare_them_with_the_number(tmp_path):
    for seed, percentile in enumerate([0, 10, 50, 90, 95, 99, 100] * 3):
        condition = {"field": "number", "percentile": percentile, "gte": 1_000}
        document = (correlation("value_percentile", "a", span="6s", condition=condition),)
        whole = stream(Random(f"percentile {seed}"), "a a b")
        assert ours(document, whole) == {}
        assert theirs(document, whole, tmp_path) == pytest.approx(ours(document, whole, everywhere=True))


def timeline(*events: tuple[int, str]) -> Batch:
    return batch(
        *(
            {
                "@timestamp": FIRST_TIME // 1_000 + second * 1_000,
                "event.dataset": "miniprogram.api",
                "event.id": str(place),
                "event.action": action,
                APP: "wx1",
            }
            for place, (second, action) in enumerate(events)
        )
    )


@pytest.mark.parametrize(
    ("document", "events", "ours_at", "theirs_at"),
    [
        # Without a condition all rules must be hit, says the specification; rsigma is content with one.
        (correlation("temporal", "a b"), [(0, "a"), (1, "b")], "1", "01"),
        # An event that hits two rules is one event; rsigma counts it for each.
        (correlation("event_count", "a b", condition={"gte": 2}), [(0, "ab"), (1, "b")], "1", "01"),
        # The condition counts rules that were hit; in order, two of three are two. rsigma asks for all three.
        (correlation("temporal_ordered", "a b c", condition={"gte": 2}), [(0, "a"), (1, "c")], "1", ""),
        # What is not to be there cannot be asked to come in order. rsigma asks for every rule of the list.
        (correlation("temporal_ordered", "a b c", condition="a and b and not c"), [(0, "a"), (1, "b")], "1", ""),
        # An event is both at once; rsigma looks after each of its rules, when the other is not yet known.
        (correlation("temporal", "a b", condition="a and not b"), [(0, "ab")], "", "0"),
    ],
)
def test_where_we_differ_it_is_for_a_reason(document, events, ours_at, theirs_at, tmp_path):
    whole = timeline(*events)
    assert "".join(event for event, _ in ours((document,), whole)) == ours_at
    assert "".join(event for event, _ in theirs((document,), whole, tmp_path)) == theirs_at
