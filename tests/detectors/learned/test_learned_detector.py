"""Models at work: what is unlike others is told with what makes it so, once, and the same however the stream is cut."""

from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pytest
from app_hours import DAY_ONE, HOUR_MS, batches, hour_of, model, named
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import END_OF_TIME, Batch
from detectors.finding import Scope, Severity
from detectors.learned.detector import Asked, LearnedConfig, LearnedDetector
from detectors.learned.hours import SLOTS, HoursConfig
from detectors.learned.telling import TellingConfig
from detectors.testing import batch, check_detector, run

END = Batch(batch().frame, END_OF_TIME)
MODEL = replace(model(), digest="0123456789abcdef" * 4)
OTHER = replace(model(2), digest="f" * 64)


def found_in(events, detector=None):
    detector = detector or LearnedDetector(MODEL)
    return [finding for _, finding in run(detector, [batch(*events), END]).values()]


def test_an_app_unlike_others_is_told_with_its_features():
    (finding,) = found_in(hour_of(9))
    assert (finding.entity.scope, finding.entity.value, finding.owner) == (Scope.APP, named(3), "dev-1")
    assert (finding.detector, finding.kind) == ("learned", "learned")
    assert (finding.rule.id, finding.rule.version) == ("learned.shop", MODEL.digest[:16])
    assert {"login", "background", "failures"} <= {one.name for one in finding.measured}
    assert len(finding.measured) <= 5
    login = next(one for one in finding.measured if one.name == "login")
    assert login.value == pytest.approx(60 / 70, abs=1e-4)
    assert login.usual < 0.1
    assert login.learned_h == 100
    assert "where" in finding.title


def test_a_model_is_never_sure():
    (finding,) = found_in(hour_of(9))
    assert finding.severity in {Severity.LOW, Severity.MEDIUM}
    assert 0.3 <= finding.confidence <= 0.5
    assert not finding.proof


def test_a_category_without_its_own_forest_is_asked_of_all():
    (finding,) = found_in(hour_of(9, strange=(4,)))
    assert finding.rule.id == "learned.all"


def test_what_goes_on_is_one_finding_that_grows():
    events = [one for hour in (5, 6, 8) for one in hour_of(hour)]
    (finding,) = found_in(events)
    assert finding.evidence.count == 3 * 60
    assert finding.last_event - finding.first_event == 4 * HOUR_MS * 1_000 - 1


def test_what_begins_again_after_a_quiet_day_is_told_anew():
    config = LearnedConfig(telling=TellingConfig(quiet_h=2))
    events = [one for hour in (5, 9) for one in hour_of(hour)]
    assert len(found_in(events, LearnedDetector(MODEL, config=config))) == 2


def test_a_world_that_changed_makes_nobody_strange():
    detector = LearnedDetector(MODEL)
    assert found_in(hour_of(9, strange=range(30), apps=40), detector) == []


def spread_out(events, apps):
    """The same with apps whose hours begin at different minutes."""
    names = {named(app): (named(app, app % SLOTS), 300_000 * (app % SLOTS)) for app in range(apps)}
    moved = []
    for one in events:
        name, later = names[one["miniprogram.app_id"]]
        time = datetime.fromisoformat(one["@timestamp"]) + timedelta(milliseconds=later)
        moved.append(one | {"miniprogram.app_id": name, "@timestamp": time.isoformat()})
    return sorted(moved, key=lambda one: one["@timestamp"])


def test_an_hour_of_an_app_is_its_own():
    (finding,) = found_in(spread_out(hour_of(9), 6))
    assert finding.entity.value == named(3, 3)
    assert finding.evidence.count == 60
    assert finding.first_event == (DAY_ONE + 9 * HOUR_MS + 3 * 300_000) * 1_000


def test_the_world_changes_for_all_apps_whenever_their_hours_begin():
    events = spread_out(hour_of(9, strange=range(30), apps=40), 40)
    assert len(found_in(events)) <= 20
    config = LearnedConfig(telling=TellingConfig(per_hour_max=2))
    events = spread_out(hour_of(9, strange=range(5), apps=20), 20)
    assert len(found_in(events, LearnedDetector(MODEL, config=config))) == 2


def test_no_more_than_so_many_are_told_in_an_hour():
    config = LearnedConfig(telling=TellingConfig(per_hour_max=2))
    assert len(found_in(hour_of(9, strange=range(5), apps=20), LearnedDetector(MODEL, config=config))) == 2


def test_a_model_that_is_tried_is_only_recorded():
    told = found_in(hour_of(9), LearnedDetector(MODEL, OTHER))
    assert {(one.shadow, one.rule.version) for one in told} == {(False, MODEL.digest[:16]), (True, OTHER.digest[:16])}
    assert len({one.id for one in told}) == 2


def test_who_takes_over_goes_on_with_what_was_counted_and_known():
    events = hour_of(9)
    first, second = LearnedDetector(None, MODEL), LearnedDetector(MODEL)
    first.observe(batch(*events[:100]))
    second.take_over(first)
    found = second.observe(batch(*events[100:])) + second.observe(END)
    assert [one.finding.evidence.count for one in found] == [60]


def test_with_a_snapshot_of_another_model_what_was_counted_goes_on():
    events = hour_of(9)
    first, second = LearnedDetector(OTHER), LearnedDetector(MODEL)
    first.observe(batch(*events[:100]))
    second.restore(first.snapshot())
    found = second.observe(batch(*events[100:])) + second.observe(END)
    assert [one.finding.rule.version for one in found] == [MODEL.digest[:16]]


def test_what_opinions_are_worth_is_remembered():
    first, second = LearnedDetector(MODEL), LearnedDetector(MODEL)
    first.observe(batch(*[one for hour in range(6) for one in hour_of(hour)]))
    first.observe(END)
    second.restore(first.snapshot())
    again, state = second.snapshot(), first.snapshot()
    assert {name: frame.rows() for name, frame in again.items()} == {
        name: frame.rows() for name, frame in state.items()
    }
    assert state[f"learned.{MODEL.digest[:16]}.together"]["count"].sum() == len(MODEL.held) + 36


def test_a_snapshot_of_somebody_else_is_refused():
    with pytest.raises(ValueError, match="not a snapshot of the learned detector"):
        LearnedDetector(MODEL).restore({"next": batch().frame})


def test_nobody_makes_themselves_usual():
    events = [one for hour in range(24) for one in hour_of(hour)]
    detector = LearnedDetector(MODEL, config=LearnedConfig(telling=TellingConfig(quiet_h=0)))
    counts = sorted(finding.time for finding in found_in(events, detector))
    assert len(counts) >= 12


@st.composite
def days(draw):
    """Hours with strange apps among others, and where they are cut."""
    hours = draw(st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True))
    events = [one for hour in sorted(hours) for one in hour_of(hour, draw(st.sets(st.integers(0, 4), max_size=2)), 5)]
    kept = draw(st.integers(min_value=1, max_value=6))
    few = [one for place, one in enumerate(events) if place % kept != 1 or kept == 1]
    return few, draw(st.lists(st.integers(1, len(few)), max_size=3))


@settings(max_examples=12)
@given(days())
def test_findings_do_not_depend_on_cuts_nor_on_restarts(day):
    events, cuts = day
    parts = [*batches(events, cuts, lateness_s=0), END]
    check = [Batch(one.frame[:], one.watermark) for one in parts]
    whole = run(LearnedDetector(MODEL, OTHER), [*batches(events), END])
    divided = run(LearnedDetector(MODEL, OTHER), check)
    assert whole == divided


def test_all_laws_hold():
    events = [one for hour in (3, 22) for one in hour_of(hour, (1,), 3, 40)]
    check_detector(lambda: LearnedDetector(MODEL, OTHER), [*batches(events, (50, 170)), END])


def test_the_bound_is_what_is_afforded():
    assert TellingConfig(false_per_1000_apps_day=1).bound == pytest.approx(np.log10(24_000))
    with pytest.raises(ValueError, match="false_per_1000_apps_day"):
        TellingConfig(false_per_1000_apps_day=0)


HOURS = {hour: hour_of(hour) for hour in range(4, 10)}
EARLY, LATE_ONES = ([one for hour in hours for one in HOURS[hour]] for hours in (range(4, 7), range(7, 10)))


def changed_over(before, after):
    """What both find when one takes over from the other in the midst of a happening, with the counts of each finding."""
    found = before.observe(batch(*EARLY))
    after.take_over(before)
    found += after.observe(batch(*LATE_ONES)) + after.observe(END)
    counts = {}
    for one in found:
        key = one.finding.id, one.finding.shadow, one.finding.rule.version
        counts[key] = counts.get(key, 0) + one.finding.evidence.count
    return counts


def test_a_model_that_comes_into_force_tells_anew_of_what_goes_on_and_is_no_longer_in_shadow():
    counts = changed_over(LearnedDetector(MODEL, OTHER), LearnedDetector(OTHER))
    spoken = {(shadow, version): count for (_, shadow, version), count in counts.items()}
    ours, others = MODEL.digest[:16], OTHER.digest[:16]
    assert spoken == {(False, ours): 120, (True, others): 120, (False, others): 240}
    assert len({key for key, _, _ in counts}) == 3


def test_a_model_in_the_same_role_goes_on_with_what_it_told():
    counts = changed_over(LearnedDetector(MODEL), LearnedDetector(MODEL, OTHER))
    ours = [count for (_, shadow, version), count in counts.items() if version == MODEL.digest[:16]]
    assert ours == [6 * 60]
    tried = changed_over(LearnedDetector(None, OTHER), LearnedDetector(MODEL, OTHER))
    assert [count for (_, shadow, _), count in tried.items() if shadow] == [6 * 60]


def test_a_model_that_is_only_tried_again_tells_anew():
    counts = changed_over(LearnedDetector(OTHER), LearnedDetector(None, OTHER))
    assert sorted((shadow, count) for (_, shadow, _), count in counts.items()) == [(False, 120), (True, 240)]


def known(detector, model=MODEL):
    """What is remembered of a model: what its opinions are worth, and how features have moved."""
    state = detector.snapshot()
    name = f"learned.{model.digest[:16]}"
    return {
        key.removeprefix(name): frame.rows()
        for key, frame in state.items()
        if key.startswith(name) and not key.endswith((".told", ".looks", ".counts"))
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [((MODEL, None), (MODEL, OTHER)), ((None, MODEL), (MODEL, None)), ((MODEL, None), (None, MODEL))],
)
def test_whatever_becomes_of_a_model_what_is_known_of_it_goes_on(before, after):
    first, second = LearnedDetector(*before), LearnedDetector(*after)
    first.observe(batch(*EARLY))
    first.observe(Batch(batch().frame, batch(*EARLY).watermark))
    beforehand = known(first)
    assert beforehand != known(second)
    assert beforehand[".drift"][0][1] is not None
    second.take_over(first)
    assert known(second) == beforehand


def test_a_new_model_begins_with_what_it_knows_from_its_training():
    first, second = LearnedDetector(MODEL), LearnedDetector(OTHER)
    fresh = known(LearnedDetector(OTHER), OTHER)
    first.observe(batch(*EARLY))
    second.take_over(first)
    assert known(second, OTHER) == fresh


def test_days_that_went_by_before_count_for_who_takes_over():
    first, second, third = LearnedDetector(MODEL), LearnedDetector(MODEL, OTHER), LearnedDetector(MODEL)
    first.observe(batch(*EARLY))
    first.observe(batch(*LATE_ONES))
    first.observe(END)  # no hour of the day is open any more
    third.restore(first.snapshot())
    second.take_over(first)
    tomorrow = [one | {"@timestamp": one["@timestamp"].replace("-02T", "-03T")} for one in HOURS[4]]
    for detector in (second, third):
        detector.observe(batch(*tomorrow))
        detector.observe(END)
    assert known(second) == known(third)


def test_with_another_memory_of_hours_what_was_counted_goes_on():
    other = LearnedConfig(hours=HoursConfig(apps_max=1_000))
    counts = [
        changed_over(LearnedDetector(MODEL), LearnedDetector(MODEL, config=config))
        for config in (LearnedConfig(), other)
    ]
    assert counts[0] == counts[1]
    assert list(counts[0].values()) == [6 * 60]


def test_who_takes_over_does_not_disturb_who_went_before():
    """A change that fails leaves the one before at work."""
    before, calm = LearnedDetector(MODEL), LearnedDetector(MODEL)
    found = {}
    for detector in (before, calm):
        detector.observe(batch(*EARLY))
        if detector is before:
            LearnedDetector(OTHER, MODEL).take_over(before)
        found[detector] = detector.observe(batch(*LATE_ONES)) + detector.observe(END)
    assert found[before] == found[calm]


@pytest.mark.parametrize(("active", "tried"), [(MODEL, OTHER), (MODEL, None), (None, OTHER)])
def test_a_detector_is_made_again_of_what_it_says_that_is_asked(active, tried):
    config = LearnedConfig(telling=TellingConfig(quiet_h=3), hours=HoursConfig(apps_max=77))
    asked = LearnedDetector(active, tried, config).asked
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(asked), type=Asked)
    models = {one.digest: one for one in (MODEL, OTHER)}
    again = LearnedDetector.of(wire, models.__getitem__)
    assert (again.model, again.tried, again.config, again.asked) == (active, tried, config, asked)


def test_how_features_have_moved_is_told_of_each_model():
    detector = LearnedDetector(MODEL, OTHER)
    assert detector.drift == {MODEL.digest: {}, OTHER.digest: {}}


def test_what_is_not_told_is_counted():
    changed = LearnedDetector(MODEL, OTHER)
    assert found_in(hour_of(9, strange=range(30), apps=40), changed) == []
    assert changed.held_back == 30
    few = LearnedDetector(MODEL, config=LearnedConfig(telling=TellingConfig(per_hour_max=2)))
    found_in(hour_of(9, strange=range(5), apps=20), few)
    assert few.held_back == 3
