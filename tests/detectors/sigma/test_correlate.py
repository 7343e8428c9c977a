"""Windows over time: edges, ties, groups, and what findings say of them. `test_timelines.py` and `test_window_laws.py` have the rest."""

from __future__ import annotations

import polars as pl
import pytest

from detectors.event import END_OF_TIME, MICROSECONDS, Batch
from detectors.finding import Entity, Scope, finding_id
from detectors.sigma import SigmaDetector
from detectors.testing import FIRST_TIME, batch, cut, run

BASE = "5d2b1c1e-0000-4000-8000-000000000001"
OTHER = "5d2b1c1e-0000-4000-8000-000000000002"
COUNT = "5d2b1c1e-0000-4000-8000-000000000003"
APP, USER, DOMAIN = "miniprogram.app_id", "user.id", "url.domain"


def rules(
    sigma, condition=None, kind="event_count", groups=(APP,), span="10s", bases=("login",), **correlation
) -> SigmaDetector:
    login = sigma.text({"s": {"event.action": "login"}}, id=BASE, name="login")
    pay = sigma.text({"s": {"event.action": ["pay", "login"]}}, id=OTHER, name="pay")
    more = {
        "type": kind,
        "rules": list(bases),
        "group-by": list(groups),
        "timespan": span,
        "condition": condition or {"gte": 3},
        **correlation,
    }
    count = sigma.text({"s": {"x": "x"}}, id=COUNT)
    header = "\n".join(line for line in count.splitlines() if line.startswith(("title", "id")))
    return sigma.load(login, *([pay] if "pay" in bases else []), f"{header}\ncorrelation: {more!r}\n")


def at(second: float, app: str | None = "wx1", action: str = "login", **more) -> dict:
    time_ms = FIRST_TIME // 1_000 + round(second * 1_000)
    return {"@timestamp": time_ms, "event.dataset": "miniprogram.auth", "event.action": action, APP: app, **more}


def crossings(detector: SigmaDetector, *batches: Batch) -> list[tuple[float, str, int]]:
    """(second, entity, count) of each window's finding, in order."""
    found = [finding for _, finding in run(detector, batches).values() if finding.rule.id == COUNT]
    return [((one.time - FIRST_TIME) / MICROSECONDS, one.entity.value, one.evidence.count) for one in found]


def test_a_window_fires_at_the_event_that_crosses_its_threshold_and_not_again_while_above(sigma):
    one = batch(*(at(second) for second in (0, 1, 2, 3, 4)))
    assert crossings(rules(sigma), one) == [(2, "wx1", 3)]


def test_a_window_fires_again_only_after_it_has_fallen_below(sigma):
    one = batch(*(at(second) for second in (0, 1, 2, 11.5, 11.6, 30)))
    assert crossings(rules(sigma), one) == [(2, "wx1", 3), (11.6, "wx1", 3)]


@pytest.mark.parametrize(("last", "fires"), [(9.999999, True), (10, False)])
def test_an_event_exactly_one_span_ago_is_out_of_the_window(sigma, last, fires):
    one = batch(at(0), at(5), {**at(0), "@timestamp": FIRST_TIME / 1_000 + last * 1_000})
    assert bool(crossings(rules(sigma), one)) is fires


def test_events_of_one_instant_are_counted_one_by_one(sigma):
    one = batch(*(at(0, **{"event.id": str(place)}) for place in range(5)))
    assert crossings(rules(sigma), one) == [(0, "wx1", 3)]


def test_groups_do_not_see_each_other_and_events_without_the_group_take_no_part(sigma):
    one = batch(at(0), at(1, "wx2"), at(2, None), at(3), at(4, "wx2"), at(5, None), at(6, None), at(7, "wx2"))
    assert crossings(rules(sigma), one) == [(7, "wx2", 3)]


def test_without_a_group_all_events_are_counted_together(sigma):
    one = batch(at(0), at(1, "wx2"), at(2, "wx3"))
    assert crossings(rules(sigma, groups=()), one) == [(2, "wx3", 3)]


def test_no_event_enters_before_the_watermark_has_reached_it(sigma):
    detector = rules(sigma)
    assert crossings(detector, batch(*(at(second) for second in (0, 1, 2)), lateness_s=5)) == []
    sightings = detector.observe(batch(at(7, "wx9"), lateness_s=5))
    assert [(one.row, one.finding.evidence.count) for one in sightings] == [(0, 3)]


def test_a_window_is_known_at_the_row_whose_watermark_has_reached_it(sigma):
    one = batch(at(0), at(1), at(2), at(3, "a"), at(4.5, "b"), at(5, "c"), lateness_s=2)
    assert [one.row for one in rules(sigma).observe(one)] == [4]
    tick = batch(at(0), at(1), at(2), lateness_s=2, watermark=END_OF_TIME)
    assert [one.row for one in rules(sigma).observe(tick)] == [3]


def test_a_batch_without_rows_only_moves_the_watermark(sigma):
    detector = rules(sigma)
    assert detector.observe(batch(at(0), at(1), at(2), lateness_s=60)) == []
    sightings = detector.observe(Batch(pl.DataFrame(), END_OF_TIME))
    assert [(one.row, one.finding.last_event - FIRST_TIME) for one in sightings] == [(0, 2 * MICROSECONDS)]


def test_a_late_event_meets_stateless_rules_only(sigma):
    events = batch(at(0), at(1), at(1.5), _late=[False, False, True])
    assert crossings(rules(sigma), events) == []
    assert len(rules(sigma, generate=True).observe(events)) == 1


def test_an_event_hit_by_two_base_rules_counts_once(sigma):
    one = batch(at(0), at(1, action="pay"), at(2))
    assert crossings(rules(sigma, bases=("login", "pay")), one) == [(2, "wx1", 3)]


def test_base_rules_speak_themselves_only_when_the_rule_says_generate(sigma):
    one = batch(at(0), at(1), at(2))
    assert {sighting.finding.rule.id for sighting in rules(sigma, generate=True).observe(one)} == {BASE, COUNT}
    spoken = {sighting.finding.rule.id for sighting in rules(sigma).observe(one)}
    assert spoken == {COUNT}


def test_an_alias_lets_rules_group_by_fields_of_their_own(sigma):
    aliases = {"who": {"login": USER, "pay": "payment.payer_id"}}
    detector = rules(sigma, groups=("who",), bases=("login", "pay"), aliases=aliases)
    events = [
        at(0, user={"id": "u"}),
        at(1, action="pay", payment={"payer_id": "u"}),
        at(2, action="pay", payment={"payer_id": "u"}),
    ]
    assert crossings(detector, batch(*events)) == [(2, "wx1", 3)]


@pytest.mark.parametrize(
    ("groups", "entity"),
    [
        ((USER, APP), Entity(Scope.USER, "u")),
        (("url.path", APP, USER), Entity(Scope.APP, "wx1")),
        (("url.path",), Entity(Scope.APP, "wx1")),
        ((), Entity(Scope.APP, "wx1")),
    ],
)
def test_a_window_is_about_the_first_group_that_names_somebody(sigma, groups, entity):
    one = batch(*(at(second, **{USER: "u", "url.path": "/"}) for second in range(3)))
    (sighting,) = rules(sigma, groups=groups).observe(one)
    assert sighting.finding.entity == entity


def test_the_finding_names_the_window_its_groups_and_its_events(sigma):
    one = batch(*(at(i / 10, **{"event.id": f"e{i}", "miniprogram.developer_id": "dev"}) for i in range(30)))
    (sighting,) = rules(sigma, {"gte": 25}).observe(one)
    finding = sighting.finding
    assert finding.evidence.event_ids == tuple(f"e{i}" for i in range(20))
    assert (finding.evidence.count, finding.evidence.truncated, finding.owner) == (25, True, "dev")
    assert finding.evidence.values == {APP: "wx1", "count": "25"}
    assert (finding.first_event, finding.last_event - FIRST_TIME) == (FIRST_TIME, 2_400_000)


def test_groups_about_one_entity_that_fire_at_the_same_instant_are_findings_of_their_own(sigma):
    one = batch(*(at(second, **{DOMAIN: name}) for second in (0, 1, 2) for name in ("a.example", "b.example")))
    found = run(rules(sigma, groups=(APP, DOMAIN)), [one])
    values = sorted(finding.evidence.values[DOMAIN] for _, finding in found.values())
    assert values == ["a.example", "b.example"]
    assert crossings(rules(sigma, groups=(APP, DOMAIN)), one) == [(2, "wx1", 3), (2, "wx1", 3)]


def test_a_finding_grouped_by_its_entity_alone_is_named_by_rule_entity_and_time(sigma):
    one = batch(*(at(second) for second in (0, 1, 2)))
    (sighting,) = rules(sigma).observe(one)
    assert sighting.finding.id == finding_id(COUNT, Entity(Scope.APP, "wx1"), FIRST_TIME + 2 * MICROSECONDS)


def test_the_order_in_which_a_rule_names_its_groups_does_not_change_the_id(sigma):
    one = batch(*(at(second, **{"url.path": "/", "miniprogram.page": "p"}) for second in (0, 1, 2)))
    orders = ((APP, "url.path", "miniprogram.page"), ("miniprogram.page", "url.path", APP))
    ids = {sighting.finding.id for groups in orders for sighting in rules(sigma, groups=groups).observe(one)}
    assert len(ids) == 1


def test_distinct_values_are_counted_while_they_are_in_the_window(sigma):
    detector = rules(sigma, {"gte": 3, "field": DOMAIN}, kind="value_count")
    named = [(0, "a"), (1, "b"), (2, "a"), (3, None), (10.5, "c"), (11, "b"), (12.5, "d")]
    one = batch(*(at(second, **{DOMAIN: name}) for second, name in named))
    assert crossings(detector, one) == [(10.5, "wx1", 3), (11, "wx1", 3), (12.5, "wx1", 3)]


def test_what_must_be_forgotten_is_counted_and_is_the_oldest(sigma):
    detector = SigmaDetector(rules(sigma).rules, window_events_max=2)
    first = batch(at(0), at(1), at(2, "wx2"), lateness_s=60)
    assert detector.observe(first) == []
    assert detector.forgotten == 1
    later = batch(at(3), at(4, "wx2"), watermark=END_OF_TIME)
    assert crossings(detector, later) == []


def test_what_a_window_can_still_reach_is_not_cleared_away(sigma):
    detector = rules(sigma)
    others = [at(1 + place / 200, f"other{place}") for place in range(1_100)]
    assert crossings(detector, batch(at(0.5), at(0.6), *others, at(10, "last"))) == []
    assert detector.snapshot()["windows"].height == 1_103
    assert crossings(detector, batch(at(10.2), at(10.4), watermark=END_OF_TIME)) == [(10.2, "wx1", 3)]


def test_windows_begin_empty_when_a_rule_has_changed(sigma):
    before, same, changed = rules(sigma), rules(sigma), rules(sigma, {"gte": 2})
    before.observe(batch(at(0), at(1)))
    same.restore(before.snapshot())
    changed.restore(before.snapshot())
    assert len(same.observe(batch(at(2)))) == 1
    assert changed.observe(batch(at(2))) == []


def test_a_snapshot_of_something_else_is_refused(sigma):
    with pytest.raises(ValueError, match="not a snapshot"):
        rules(sigma).restore({"windows": pl.DataFrame({"a": [1]}), "counts": pl.DataFrame({"forgotten": [0]})})
    with pytest.raises(ValueError, match="not a snapshot"):
        rules(sigma).restore({})


def test_cutting_keeps_the_watermark_of_each_row():
    one = batch(at(0), at(1), at(2), lateness_s=1)
    first, second = cut(one, 1)
    assert (first.watermark, second.watermark) == (one.frame["_watermark"][0], one.watermark)


def test_a_look_that_fails_half_way_leaves_the_windows_as_they_were(sigma, monkeypatch):
    detector, twin = rules(sigma), rules(sigma)
    for one in (detector, twin):
        one.observe(batch(at(0), at(1)))
    with monkeypatch.context() as failing:
        failing.setattr(detector._correlator, "_clear", lambda _watermark: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            detector.observe(batch(at(2)))
    assert detector.snapshot()["windows"].equals(twin.snapshot()["windows"])
    assert crossings(detector, batch(at(2))) == [(2, "wx1", 3)]


@pytest.mark.parametrize("name", ["row", "code", "order", "key", "group", "number"])
def test_a_field_may_be_called_like_one_of_our_own_columns(sigma, name):
    one = batch(*(at(place / 10, **{name: text}) for place, text in enumerate("xxyxy")))
    found = run(rules(sigma, groups=(APP, name)), [one])
    assert [finding.evidence.values for _, finding in found.values()] == [{APP: "wx1", name: "x", "count": "3"}]


def test_a_list_counts_as_the_one_text_that_it_is(sigma):
    detector = rules(sigma, {"gte": 3, "field": "v"}, kind="value_count")
    one = batch(*(at(place, v=value) for place, value in enumerate([["a", "b"], "a", ["a", "b"], "b", ["b", "a"]])))
    assert crossings(detector, one) == [(3, "wx1", 4)]
