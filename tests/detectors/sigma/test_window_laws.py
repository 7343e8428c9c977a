"""The laws of windows, for every type and for correlations of correlations: what the reference says, however the stream
is cut, restarted or out of order within the lateness."""

from __future__ import annotations

from typing import Any

import pytest
from by_hand import APP, Said, by_hand, correlation, detector_of, ids
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import END_OF_TIME, Batch
from detectors.finding import EVIDENCE_IDS_MAX, Finding
from detectors.sigma import longs, reckoning, sorted_blocks
from detectors.testing import FIRST_TIME, batch, check_detector, pieces

KINDS = [
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_median",
    "value_percentile",
    "temporal",
    "temporal_ordered",
]
WORDS = ["a and not b", "a or b and c", "not b", "b and not a or c", "a and b", "a or b or c"]
IN_ORDER = ["a and b", "a and not b", "a and b and not c", "a and c or b and c", "a and b or c"]
OPERATORS = ["gt", "gte", "lt", "lte", "eq", "neq"]

steps = st.tuples(
    st.integers(-3, 4),  # half seconds after the event before
    st.sampled_from(["wx1", "wx1", "wx1", "wx1", "wx2", None]),
    st.sampled_from(["a", "b", "c", "ab", "bc", "x"]),
    st.sampled_from(["a", "b", "c", None]),
    st.sampled_from(["1", "2", "2.5", "0.1", "0.2", "-1", "7", "4", "5.5", "no", None]),
)


@pytest.fixture(autouse=True, scope="module", params=[None, 5], ids=["together", "apart"])
def _apart(request):
    """Groups that remember more events than so many are set apart, as if they were very many."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param is not None:
            patch.setattr(longs, "EVENTS_MIN", request.param)
            patch.setattr(reckoning, "REBUILT_SHARE", 1)
            patch.setattr(sorted_blocks, "BLOCK", 2)
        yield


@st.composite
def conditions(draw, kind: str) -> Any:
    if kind.startswith("temporal"):
        if draw(st.booleans()):
            return draw(st.sampled_from(WORDS if kind == "temporal" else IN_ORDER))
        return {draw(st.sampled_from(OPERATORS)): draw(st.integers(0, 3))}
    numbers = st.integers(0, 4) if kind.endswith("count") else st.sampled_from([-1, 0, 0.1, 1, 2, 2.5, 3, 5])
    found: dict[str, Any] = {draw(st.sampled_from(OPERATORS)): draw(numbers)}
    if draw(st.integers(0, 4)) == 0:
        found = {"gt": draw(numbers), "lte": draw(numbers)}
    if kind != "event_count":
        found["field"] = "url.domain" if kind == "value_count" else "number"
    if kind == "value_percentile":
        found["percentile"] = draw(st.sampled_from([0, 10, 33.3, 50, 95, 100]))
    return found


@st.composite
def documents(draw, kind: str, rules: str | None = None, name: str = "rule") -> dict:
    condition = draw(conditions(kind))
    named = [word for word in condition.split() if word in "abc"] if isinstance(condition, str) else []
    many = (
        "a b c a b"[: draw(st.sampled_from([1, 3, 5]))]
        if kind != "temporal_ordered"
        else draw(st.sampled_from(["a b", "a b c", "b a b"]))
    )
    asked = " ".join(sorted(set(named))) or many
    if rules is not None:
        condition = (
            draw(
                st.sampled_from(
                    [f"{rules.replace(' ', ' and ')}", f"{rules.replace('b', '').strip()} and not b", {"gte": 2}]
                )
            )
            if kind.startswith("temporal")
            else condition
        )
        asked = rules
    groups = draw(st.sampled_from(["app", "app", "app", "app to", ""]))
    return correlation(
        kind, asked, span=draw(st.sampled_from(["3s", "5s", "8s"])), group=groups, name=name, condition=condition
    )


@st.composite
def streams(draw) -> list[Batch]:
    """A stream in batches, out of order within and beyond the lateness, ended or not."""
    second, events = 10.0, []
    for place, (step, app, action, to, number) in enumerate(
        draw(st.lists(steps, min_size=1, max_size=25) | st.lists(steps, min_size=20, max_size=40))
    ):
        second = max(0.0, second + step / 2)
        events.append(event(place, second, app, action, to, number))
    whole = batch(*events, lateness_s=draw(st.sampled_from([0, 1, 2, 5])))
    whole = Batch(whole.frame, draw(st.sampled_from([whole.watermark, END_OF_TIME])))
    return pieces([whole], draw(st.integers(1, 30)))


def event(place: int, second: float, app: str | None, action: str, to: str | None, number: str | None) -> dict:
    return {
        "@timestamp": FIRST_TIME // 1_000 + round(second * 1_000),
        "event.dataset": "miniprogram.api",
        "event.id": f"{place:03}",
        "event.action": action,
        "url.domain": to,
        "number": number,
        APP: app,
    }


def said_by(rules: tuple[dict, ...], batches: list[Batch]) -> list[Said]:
    """What the engine says of the last rule, in the reference's words."""
    said = []
    for one in findings_of(rules, batches):
        *groups, holds = one.evidence.values.values()
        said.append(Said(one.time, tuple(groups), one.evidence.count, float(holds)))
    return sorted(said, key=lambda one: (one.time, one.key, one.events))


def findings_of(rules: tuple[dict, ...], batches: list[Batch]) -> list[Finding]:
    """What the engine finds by the last rule, in the order of time."""
    detector = detector_of(*rules)
    closed = [*batches, Batch(batches[0].frame.clear(), END_OF_TIME)]
    found = [sighting.finding for one in closed for sighting in detector.observe(one)]
    return sorted((one for one in found if one.rule.id == ids()["rule"]), key=lambda one: (one.time, one.id))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_windows_speak_exactly_where_the_reference_does(kind, data):
    rules, batches = (data.draw(documents(kind)),), data.draw(streams())
    assert said_by(rules, batches) == by_hand(batches, *rules)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_cutting_replaying_and_resuming_change_nothing(kind, data):
    document = data.draw(documents(kind))
    document["correlation"]["generate"] = True
    check_detector(lambda: detector_of(document), data.draw(streams()))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), drawn=st.lists(steps, min_size=2, max_size=20), random=st.randoms(use_true_random=False))
def test_order_within_the_lateness_does_not_matter(kind, data, drawn, random):
    rules = (data.draw(documents(kind)),)
    events = [event(place, place % 7, *step[1:]) for place, step in enumerate(drawn)]
    shuffled = random.sample(events, len(events))
    one, other = ([batch(*order, lateness_s=60, watermark=END_OF_TIME)] for order in (events, shuffled))
    assert said_by(rules, one) == said_by(rules, other)


@st.composite
def chains(draw, levels: int = 1) -> tuple[dict, ...]:
    """A correlation over another, or over one over another, over rules on single events."""
    found = [draw(documents(draw(st.sampled_from(KINDS)), name="inner"))]
    below = "inner"
    for name in ["middle", "rule"][2 - levels :]:
        kind, rules = draw(st.sampled_from(KINDS)), draw(st.sampled_from([f"{below} b", f"b {below}"]))
        found.append(draw(documents(kind, rules=rules, name=name)))
        below = name
    return tuple(found)


@settings(max_examples=150, deadline=None)
@given(chains(), streams())
def test_correlations_of_correlations_speak_exactly_where_the_reference_does(rules, batches):
    assert said_by(rules, batches) == by_hand(batches, *rules)


@settings(max_examples=150, deadline=None)
@given(chains(), streams())
def test_findings_of_chains_name_the_single_events_behind_them(rules, batches):
    found = sorted(
        (one for one in findings_of(rules, batches)),
        key=lambda one: (one.time, tuple(one.evidence.values.values())[:-1], one.evidence.count),
    )
    for one, said in zip(found, by_hand(batches, *rules), strict=True):
        named = one.evidence.event_ids
        assert set(named) <= said.behind
        assert len(named) == len(set(named)) == min(len(said.behind), EVIDENCE_IDS_MAX)
        assert one.first_event == said.begun


@pytest.mark.parametrize("levels", [1, 2])
@settings(max_examples=60, deadline=None)
@given(data=st.data(), drawn=st.lists(steps, min_size=2, max_size=25), random=st.randoms(use_true_random=False))
def test_order_within_the_lateness_does_not_matter_to_chains(levels, data, drawn, random):
    rules = data.draw(chains(levels))
    events = [event(place, place % 7, *step[1:]) for place, step in enumerate(drawn)]
    shuffled = random.sample(events, len(events))
    one, other = ([batch(*order, lateness_s=60, watermark=END_OF_TIME)] for order in (events, shuffled))
    assert findings_of(rules, one) == findings_of(rules, pieces(other, data.draw(st.integers(1, 30))))


@settings(max_examples=60, deadline=None)
@given(chains(), streams())
def test_cutting_replaying_and_resuming_change_nothing_of_chains(rules, batches):
    check_detector(lambda: detector_of(*rules), batches)
