"""What the detector says: one finding for each rule, entity and minute, with its evidence; and why."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import Batch
from detectors.finding import Entity, Scope, finding_id
from detectors.sigma import SigmaDetector, explain, parse_rules
from detectors.testing import FIRST_TIME, batch, check_detector, check_replay, check_resume, check_split, run

APP = "miniprogram.app_id"
RULE = {"s": {"message|contains": "bad"}}


def said(detector: SigmaDetector, *events: dict) -> list:
    whole = batch(*({"event.dataset": "miniprogram.log", **event} for event in events))
    return [finding for _, finding in run(detector, [whole]).values()]


def test_hits_of_one_rule_entity_and_minute_are_one_finding(sigma):
    detector = sigma.load(sigma.text(RULE, custom={"miniwatch": {"entity": "AppId"}}))
    seconds = [0, 59, 60, 61, 61]
    events = [
        {
            "@timestamp": FIRST_TIME // 1000 + s * 1000,
            "message": f"bad {s}",
            APP: "wx1" if i < 4 else "wx2",
            "event.id": str(i),
        }
        for i, s in enumerate(seconds)
    ]
    found = said(detector, *events)
    assert [(one.entity.value, one.evidence.count, one.evidence.event_ids) for one in found] == [
        ("wx1", 2, ("0", "1")),
        ("wx1", 2, ("2", "3")),
        ("wx2", 1, ("4",)),
    ]
    first = found[0]
    assert first.id == finding_id(first.rule.id, Entity(Scope.APP, "wx1"), FIRST_TIME // 60_000_000)
    assert (first.time, first.first_event, first.last_event) == (FIRST_TIME, FIRST_TIME, FIRST_TIME + 59_000_000)
    assert first.evidence.values == {"message": "bad 0"}


@pytest.mark.parametrize(
    ("event", "entity"),
    [
        ({APP: "wx1", "host.name": "h", "user.id": "u"}, Entity(Scope.USER, "u")),
        ({APP: "wx1", "host.name": "h", "user.id": ""}, Entity(Scope.APP, "wx1")),
        ({"host.name": "h"}, Entity(Scope.HOST, "h")),
        ({}, Entity(Scope.DATASET, "miniprogram.log")),
    ],
)
def test_a_finding_is_about_whom_the_rule_says_or_the_first_that_is_known(sigma, event, entity):
    (finding,) = said(
        sigma.load(sigma.text(RULE, custom={"miniwatch": {"entity": "OpenId"}})), {"message": "bad", **event}
    )
    assert finding.entity == entity


def test_evidence_counts_all_and_names_the_first_twenty(sigma):
    (finding,) = said(
        sigma.load(sigma.text(RULE)), *({"message": "bad" + "x" * 300, APP: "a", "event.id": f"{i}"} for i in range(30))
    )
    assert (finding.evidence.count, finding.evidence.truncated) == (30, True)
    assert finding.evidence.event_ids == tuple(str(i) for i in range(20))
    assert len(finding.evidence.values["message"]) == 200


def test_sightings_come_in_the_order_of_rows(sigma):
    detector = sigma.load(sigma.text(RULE), sigma.text({"s": {"message": "*"}}, title="any"))
    whole = batch(
        *({"event.dataset": "miniprogram.log", "message": text, APP: text} for text in ("ok", "bad", "ok", "bad2"))
    )
    rows = [one.row for one in detector.observe(whole)]
    assert rows == [0, 1, 1, 3, 3]


def test_no_row_is_read_that_is_not_there(sigma):
    assert sigma.load(sigma.text(RULE)).observe(Batch(pl.DataFrame(), 0)) == []
    assert SigmaDetector([]).observe(batch({"event.dataset": "miniprogram.log"})) == []


MESSAGES = st.sampled_from(["bad", "so bad", "good", None])
EVENTS = st.lists(
    st.tuples(MESSAGES, st.sampled_from(["wx1", "wx2", None]), st.integers(0, 150)), min_size=1, max_size=15
)


@settings(max_examples=25, deadline=None)
@given(EVENTS)
def test_single_events_keep_the_laws(sigma, drawn):
    events = [
        {
            "event.dataset": "miniprogram.log",
            "message": m,
            APP: a,
            "@timestamp": FIRST_TIME // 1000 + s * 1000,
            "event.id": str(i),
        }
        for i, (m, a, s) in enumerate(drawn)
    ]
    check_detector(lambda: sigma.load(sigma.text(RULE)), [batch(*events)])


class Planted(SigmaDetector):
    """A detector that breaks one law."""

    bug = ""
    runs: ClassVar[Counter] = Counter()

    def observe(self, one):
        sightings = super().observe(one)
        if self.bug == "split":
            return [sighting for sighting in sightings if sighting.row == 0]
        if self.bug == "replay":
            Planted.runs["all"] += 1
            return sightings if Planted.runs["all"] % 2 else []
        return sightings

    def snapshot(self):
        state = dict(super().snapshot())
        return {**state, "windows": state["windows"].clear()} if self.bug == "resume" else state


@pytest.mark.parametrize(("bug", "check"), [("split", check_split), ("replay", check_replay), ("resume", check_resume)])
def test_a_broken_law_is_seen(sigma, bug, check):
    base = sigma.text(RULE, name="base")
    count = "title: many\nid: 5d2b1c1e-0000-4000-8000-000000000009\ncorrelation: {type: event_count, rules: [base], timespan: 1m, condition: {gte: 2}, generate: true}"
    rules = parse_rules([("a.yml", base + "\n---\n" + count)]).rules
    whole = [
        batch(*({"event.dataset": "miniprogram.log", "message": "bad", APP: f"wx{i}"} for i in range(4)))
        for _ in range(2)
    ]
    check(lambda: SigmaDetector(rules), whole[:1])
    broken = type("Broken", (Planted,), {"bug": bug})
    with pytest.raises(AssertionError, match=bug):
        check(lambda: broken(rules), whole[:1])


def test_an_explanation_says_what_was_asked_and_found(sigma):
    detection = {"s": {"message|contains": "bad"}, "f": {"log.level": "debug"}, "condition": "s and not f"}
    (rule,) = sigma.load(sigma.text(detection)).rules
    whole = batch(
        {"event.dataset": "miniprogram.log", "message": "so BAD"},
        {"event.dataset": "other", "message": "bad", "log.level": "debug"},
    )
    assert explain(rule, whole, 0).lines() == [
        "yes  all of",
        "  yes  event.dataset is miniprogram.* (found 'miniprogram.log')",
        "  yes  all of",
        "    yes  message contains 'bad' (found 'so BAD', case aside)",
        "    yes  not",
        "      no   log.level is 'debug' (the event has no such field)",
    ]
    assert [line.split()[0] for line in explain(rule, whole, 1).lines()[:3]] == ["no", "no", "no"]
