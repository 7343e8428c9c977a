"""Correlations on timelines, each with what must come out, against the slow reference, cut and restarted in every way.

An event is written ``a@1.5:user=u,n=3``: what it hits (rules a to d), its second, and fields; it is of app wx1 unless it
says otherwise. What is wanted is written ``1.5=3``: the second at which the correlation speaks, and what its window holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl
import pytest
from by_hand import APP, FIELDS, by_hand, correlation, detector_of, ids

from detectors.event import END_OF_TIME, MICROSECONDS, Batch
from detectors.sigma import correlate, measure, readings
from detectors.testing import FIRST_TIME, batch, check_detector, cut, run

EPOCH = datetime.fromtimestamp(FIRST_TIME // MICROSECONDS, UTC)


@dataclass(frozen=True)
class Timeline:
    what: str
    rules: tuple[dict, ...]
    events: str
    want: str
    more: dict = field(default_factory=dict)


def counts(rules="a", condition=None, **more):
    return correlation("event_count", rules, condition=condition or {"gte": 3}, **more)


def distinct(condition=None, rules="a", fields="url.domain", **more):
    return correlation("value_count", rules, condition={"field": fields, **(condition or {"gte": 3})}, **more)


def sums(condition=None, rules="a", fields="number", **more):
    return correlation("value_sum", rules, condition={"field": fields, **(condition or {"gte": 10})}, **more)


def average(condition=None, **more):
    return correlation("value_avg", "a", condition={"field": "number", **(condition or {"gt": 5})}, **more)


def median(condition=None, **more):
    return correlation("value_median", "a", condition={"field": "number", **(condition or {"gte": 5})}, **more)


def percentile(which, condition=None, **more):
    return correlation(
        "value_percentile", "a", condition={"field": "number", "percentile": which, **(condition or {"gte": 9})}, **more
    )


def together(rules="a b", condition=None, **more):
    return correlation("temporal", rules, **({"condition": condition} if condition else {}), **more)


def ordered(rules="a b", condition=None, **more):
    return correlation("temporal_ordered", rules, **({"condition": condition} if condition else {}), **more)


def of(what: str, rules: dict | tuple[dict, ...], events: str, want: str, **more) -> Timeline:
    return Timeline(what, rules if isinstance(rules, tuple) else (rules,), events, want, more)


ALIAS = {"aliases": {"who": {"a": "user.id", "b": "other.user"}}, "group": "who"}
BURST = counts(name="inner", condition={"gte": 2})
BY_USER = counts(name="inner", group="user", condition={"gte": 2})

TIMELINES = [
    # event_count
    of("fires at the crossing event and not while above", counts(), "a@0 a@1 a@2 a@3 a@4", "2=3"),
    of("fires again after it has fallen below", counts(), "a@0 a@1 a@2 a@11.5 a@11.6 a@30", "2=3 11.6=3"),
    of("does not fire again when it never fell below", counts(), "a@0 a@1 a@2 a@3 a@10.5 a@11.2", "2=3"),
    of("an event just inside of the window", counts(), "a@0 a@5 a@9.999999", "9.999999=3"),
    of("an event exactly one span ago is out", counts(), "a@0 a@5 a@10", ""),
    of("one span ago and a microsecond less", counts(span="1s"), "a@0 a@0.5 a@0.999999 a@1.499999", "0.999999=3 1.499999=3"),
    of("events of one instant are counted one by one", counts(), "a@0:id=1 a@0:id=2 a@0:id=3 a@0:id=4", "0=3"),
    of("groups do not see each other", counts(), "a@0 a@1:app=wx2 a@2 a@3:app=wx2 a@4:app=wx2", "4@wx2=3"),
    of("an event without its group takes no part", counts(), "a@0 a@1:app= a@2 a@3:app= a@4", "4=3"),
    of("two groups together must both be there", counts(group="app user"), "a@0:user=u a@1 a@2:user=u a@3:user=v a@4:user=u", "4@wx1,u=3"),
    of("two groups cross at the same instant", counts(group="app user"), "a@0:user=u a@0:user=v a@1:user=u a@1:user=v a@2:user=u a@2:user=v", "2@wx1,u=3 2@wx1,v=3"),
    of("without a group all are counted together", counts(group=""), "a@0 a@1:app=wx2 a@2:app=wx3", "2=3"),
    of("events of other rules do not count", counts(), "a@0 b@1 a@2 c@3 a@4", "4=3"),
    of("several base rules are counted together", counts("a b"), "a@0 b@1 a@2", "2=3"),
    of("an event hit by two base rules counts once", counts("a b"), "ab@0 ab@1 b@2", "2=3"),
    of("a rule named twice counts once", counts("a a"), "a@0 a@1 a@2", "2=3"),
    of("more than", counts(condition={"gt": 2}), "a@0 a@1 a@2 a@3", "2=3"),
    of("exactly: above it falls silent, and speaks again on the way down", counts(condition={"eq": 2}), "a@0 a@1 a@2 a@11.5", "1=2 11.5=2"),
    of("fewer than: fires where the window was empty, and after it was fuller", counts(condition={"lt": 3}), "a@0 a@1 a@2 a@11.5 a@30", "0=1 11.5=2 30=1"),
    of("at most", counts(condition={"lte": 1}), "a@0 a@1 a@20", "0=1 20=1"),
    of("other than", counts(condition={"neq": 2}), "a@0 a@1 a@2 a@20", "0=1 2=3 20=1"),
    of("a range speaks when it is entered", counts(condition={"gt": 1, "lte": 3}), "a@0 a@1 a@2 a@3 a@4 a@12.5", "1=2 12.5=3"),
    of("a late event takes no part", counts(), "a@0 a@1 a@1.5 a@2", "2=3", _late=[False, False, True, False]),
    of("events out of order within the lateness", counts(), "a@2 a@0 a@1 a@3", "2=3", lateness_s=5),
    of("an event behind the lateness does not count", counts(), "a@0 a@9 a@1 a@9.5", "9.5=3", lateness_s=5),
    of("aliases: each rule groups by its own field", counts("a b", **ALIAS), "a@0:user=u b@1:other.user=u b@2:user=v,other.user=u", "2@u=3"),
    of("a single name for rules and group-by", {**counts(), "correlation": {**counts()["correlation"], "rules": "a", "group-by": APP}}, "a@0 a@1 a@2", "2=3"),
    of("a rule may be named by its id", counts(ids()["a"]), "a@0 a@1 a@2", "2=3"),
    # value_count
    of("distinct values are counted while they are in the window", distinct(), "a@0:to=a a@1:to=b a@2:to=a a@3 a@10.5:to=c a@11:to=b a@12.5:to=d", "10.5=3 11=3 12.5=3"),
    of("the same value again is no other", distinct(), "a@0:to=a a@1:to=a a@2:to=a a@3:to=b", ""),
    of("a value that has left and comes back counts", distinct(), "a@0:to=a a@8:to=b a@10:to=c a@10.5:to=a", "10.5=3"),
    of("a value in two groups is two", distinct({"gte": 2}), "a@0:to=a a@1:to=b,app=wx2 a@2:to=b", "2=2"),
    of("several fields are one value together", distinct(fields=["url.domain", "url.path"]), "a@0:to=a,via=/ a@1:to=a,via=/x a@2:to=a,via=/ a@3:to=b a@4:to=b,via=/", "4=3"),
    of("values differ by case", distinct(), "a@0:to=a a@1:to=A a@2:to=b", "2=3"),
    of("values through an alias", distinct(rules="a b", fields="who", aliases={"who": {"a": "url.domain", "b": "url.path"}}), "a@0:to=x b@1:via=y b@2:via=x a@3:to=z", "3=3"),
    of("an event without the value does not begin the window anew", distinct({"gte": 2}), "a@0:to=a a@5 a@9:to=b", "9=2"),
    # value_sum
    of("a sum crosses", sums(), "a@0:n=4 a@1:n=5 a@2:n=1 a@3:n=1", "2=10"),
    of("a sum crosses again after numbers have left", sums(), "a@0:n=9 a@1:n=1 a@10:n=8 a@11:n=3", "1=10 11=11"),
    of("tenths add up as people add them", sums({"gte": 0.3}), "a@0:n=0.1 a@1:n=0.2 a@2:n=0.1", "1=0.3"),
    of("a negative number takes it below, and it crosses again", sums(), "a@0:n=10 a@1:n=-5 a@2:n=4 a@3:n=1", "0=10 3=10"),
    of("what is no number takes no part", sums(), "a@0:n=9 a@1:n=many a@2:n= a@3:n=1", "3=10"),
    of("numbers that are far too large count as the largest", sums({"gte": 1e15}), "a@0:n=1e300 a@1:n=1", "0=9007199254740992"),
    of("a large sum and a small one do not disturb each other", sums({"gte": 0.3}), "a@0:n=1e14,app=wx2 a@1:n=0.1 a@2:n=0.2", "0@wx2=100000000000000 2=0.3"),
    of("sums through an alias", sums(rules="a b", fields="x", aliases={"x": {"a": "number", "b": "other.number"}}), "a@0:n=4 b@1:m=5 b@2:n=7 b@3:m=1", "3=10"),
    of("a sum that is less", sums({"lt": 0}), "a@0:n=1 a@1:n=-2 a@2:n=0 a@20:n=-1", "1=-1 20=-1"),
    of("a sum that fell below just before the event", sums(), "a@0:n=10 a@5:n=1 a@11:n=10", "0=10 11=11"),
    of("parts of numbers that make a whole", sums({"gte": 2}), "a@0:n=0.7 a@1:n=0.8 a@2:n=0.6", "2=2.1"),
    # value_avg
    of("an average crosses", average(), "a@0:n=1 a@1:n=9 a@2:n=6 a@3:n=1 a@4:n=20", "2=5.333333333333333 4=7.4"),
    of("an average crosses because a number has left", average(), "a@0:n=1 a@1:n=9 a@10.5:n=9", "10.5=9"),
    of("an average of thirds", average({"gte": 0.1}), "a@0:n=0.1 a@1:n=0.1 a@2:n=0.1", "0=0.1"),
    of("an average that falls", average({"lt": 5}), "a@0:n=6 a@1:n=3 a@2:n=9 a@3:n=0", "1=4.5 3=4.5"),
    of("an average that fell below just before the event", average(), "a@0:n=20 a@5:n=1 a@11:n=20", "0=20 11=10.5"),
    # value_median and value_percentile
    of("a median of an odd number", median(), "a@0:n=1 a@1:n=9 a@2:n=6", "1=5"),
    of("a median of an even number lies between the two", median({"gt": 5}), "a@0:n=1 a@1:n=9 a@2:n=6 a@3:n=5", "2=6"),
    of("a median of numbers that leave", median(), "a@0:n=1 a@1:n=1 a@2:n=8 a@11.5:n=9", "11.5=8.5"),
    of("the lowest percentile is the least", percentile(0, {"gte": 2}), "a@0:n=3 a@1:n=1 a@2:n=5 a@11.5:n=4", "0=3 11.5=4"),
    of("the highest is the greatest", percentile(100), "a@0:n=3 a@1:n=9 a@2:n=5", "1=9"),
    of("between two numbers by how far", percentile(95, {"gte": 8}), "a@0:n=0 a@1:n=8 a@2:n=10", "2=9.8"),
    of("a fraction of a percentile", percentile(12.5, {"gte": 1}), "a@0:n=0 a@1:n=8", "1=1"),
    of("equal numbers", percentile(90), "a@0:n=9 a@1:n=9 a@2:n=9", "0=9"),
    of("percentiles of groups", percentile(100), "a@0:n=9,app=wx2 a@1:n=1 a@2:n=9", "0@wx2=9 2=9"),
    of("a median that fell below just before the event", median(), "a@0:n=9 a@5:n=1 a@11:n=9", "0=9 11=5"),
    of("a percentile that fell below just before the event", percentile(100), "a@0:n=9 a@5:n=1 a@11:n=9", "0=9 11=9"),
    of("the second highest of five", percentile(75, {"eq": 7}), "a@0:n=9 a@1:n=5 a@2:n=6 a@3:n=4 a@4:n=7", "4=7"),
    # temporal
    of("all rules in any order", together(), "b@0 a@1 a@2", "1=2"),
    of("three rules", together("a b c"), "a@0 c@1 a@2 b@3", "3=3"),
    of("one rule often is not all", together(), "a@0 a@1 a@2", ""),
    of("just inside of the window", together(), "a@0 b@9.999999", "9.999999=2"),
    of("one span ago is out", together(), "a@0 b@10", ""),
    of("an event that hits both is enough", together(), "ab@0", "0=2"),
    of("some of the rules are enough when the rule says so", together("a b c", {"gte": 2}), "a@0 c@1 b@2", "1=2"),
    of("exactly one of the rules", together("a b", {"eq": 1}), "a@0 b@1 a@11.5", "0=1 11.5=1"),
    of("groups stay apart", together(), "a@0 b@1:app=wx2 b@2", "2=2"),
    of("again after it fell below", together(), "a@0 b@1 a@12 b@13", "1=2 13=2"),
    of("not again while it holds", together(), "a@0 b@1 a@5 b@6 a@12 b@13", "1=2"),
    of("together again because one left just before the event", together(), "a@0 b@5 a@11", "5=2 11=2"),
    of("different fields by alias", together(**ALIAS), "a@0:user=u b@1:user=u b@2:other.user=u", "2@u=2"),
    of("a and not b: no b before it", together(condition="a and not b"), "a@0 b@1 a@2 a@11.5 a@12", "0=1 11.5=1"),
    of("a and not b: an event that is both does not count", together(condition="a and not b"), "ab@0 a@20", "20=1"),
    of("a or b", together(condition="a or b"), "b@0 a@1 a@20", "0=1 20=1"),
    of("a and b or c", together("a b c", "a and b or c"), "a@0 c@1 b@2 a@11.5 b@12", "1=2 11.5=2 12=2"),
    of("words without a list of rules", together("", "a and b"), "a@0 b@1", "1=2"),
    # temporal_ordered
    of("one after the other", ordered(), "a@0 b@1", "1=2"),
    of("the wrong order", ordered(), "b@0 a@1", ""),
    of("the right order after the wrong one", ordered(), "b@0 a@1 b@2", "2=2"),
    of("at the same instant order does not matter", ordered(), "b@0:id=1 a@0:id=2", "0=2"),
    of("an event that is both is one after the other", ordered(), "ab@0", "0=2"),
    of("the first has left when the last comes", ordered("a b c"), "a@0 b@5 c@10 a@11 b@12 c@13", "13=3"),
    of("a later first one serves", ordered("a b c"), "a@0 a@4 b@5 c@11", "11=3"),
    of("a later first one does not serve an earlier second", ordered("a b c"), "a@0 b@5 a@6 c@11", ""),
    of("there and back again", ordered("a b a"), "a@0 b@1 a@2", "2=3"),
    of("two of three in order", ordered("a b c", {"gte": 2}), "c@0 b@1 a@2 c@3", "3=2"),
    of("in order again because the first left just before the event", ordered(), "a@0 b@5 a@9 b@10.5", "5=2 10.5=2"),
    of("in order and without", ordered("a b c", "a and b and not c"), "a@0 b@1 a@20 c@21 b@22", "1=2"),
    of("in order, either", ordered("a b c", "a and c or b and c"), "c@0 b@1 c@2", "2=2"),
    of("groups stay apart, in order too", ordered(), "a@0 b@1:app=wx2 a@2:app=wx2 b@3:app=wx2", "3@wx2=2"),
    # correlations of correlations
    of("bursts are counted", (BURST, counts("inner", condition={"gte": 2}, span="60s")), "a@0 a@1 a@2 a@20 a@21", "21=2"),
    of("a burst, then another rule", (BURST, ordered("inner b", span="60s")), "a@0 b@1 a@2 b@3", "3=2"),
    of("another rule, then a burst", (BURST, ordered("b inner", span="60s")), "a@0 a@1 b@2 a@20 a@21", "21=2"),
    of("a burst without another rule", (BURST, together("inner b", "inner and not b", span="60s")), "a@0 a@1 b@2 a@20 a@21", "1=1"),
    of("the event that ends the burst is also the other", (BURST, together("inner b", span="60s")), "a@0 ab@1", "1=2"),
    of("groups of the inner one are those of the outer", (BY_USER, distinct({"gte": 2}, rules="inner", fields="user.id", group="user")), "a@0:user=u a@1:user=u a@2:user=v a@3:user=v", ""),
    of("what the inner one is grouped by can be counted", (BY_USER, distinct({"gte": 2}, rules="inner", fields="user.id", span="60s")), "a@0:user=u a@1:user=u a@2:user=v a@3:user=v", "3=2"),
    of("the outer groups by a field of the crossing event", (BY_USER, counts("inner", condition={"gte": 2}, group="to", span="60s")), "a@0:user=u a@1:user=u,to=x a@2:user=v,to=y a@3:user=v,to=x", "3@x=2"),
    of("three stand on each other", (BURST, counts("inner", name="middle", condition={"gte": 2}, span="60s"), ordered("middle b", span="100s")), "a@0 a@1 b@2 a@20 a@21 b@30", "30=2"),
    of("a sum over crossing events", (BURST, sums(rules="inner", span="60s")), "a@0:n=1 a@1:n=4 a@20:n=9 a@21:n=6", "21=10"),
]  # fmt: skip


def events_of(line: Timeline) -> Batch:
    events = []
    for place, word in enumerate(line.events.split()):
        action, _, rest = word.partition("@")
        second, _, more = rest.partition(":")
        given = dict(part.split("=") for part in more.split(",")) if more else {}
        fields = {
            FIELDS.get(name, name): value or None for name, value in {"app": "wx1", **given}.items() if name != "id"
        }
        events.append(
            {
                "@timestamp": (EPOCH + timedelta(seconds=float(second))).isoformat(),
                "event.dataset": "miniprogram.api",
                "event.action": action,
                "event.id": given.get("id", f"{place:03}"),
                **fields,
            }
        )
    return batch(*events, **line.more)


def said_by(line: Timeline, *batches: Batch) -> list[str]:
    """What the engine says of the last correlation, as the timelines are written."""
    said = []
    for _, found in run(detector_of(*line.rules), [*batches, Batch(batches[0].frame.clear(), END_OF_TIME)]).values():
        if found.rule.id == ids()["rule"]:
            *groups, (_, holds) = found.evidence.values.items()
            said.append(written(found.time, tuple(value for _, value in groups), holds))
    return sorted(said)


def written(time: int, key: tuple[str, ...], holds: str) -> str:
    second = f"{(time - FIRST_TIME) / MICROSECONDS:.6f}".rstrip("0").rstrip(".")
    return f"{second}={holds}" if key in (("wx1",), ()) else f"{second}@{','.join(key)}={holds}"


@pytest.mark.parametrize("line", TIMELINES, ids=lambda line: line.what)
def test_the_engine_says_what_is_wanted_wherever_the_stream_is_cut(line):
    whole = events_of(line)
    assert said_by(line, whole) == sorted(line.want.split())
    for row in range(1, whole.frame.height):
        assert said_by(line, *cut(whole, row)) == sorted(line.want.split()), f"cut at {row}"


@pytest.mark.parametrize("line", TIMELINES, ids=lambda line: line.what)
def test_the_reference_says_the_same(line):
    def text(number: float) -> str:
        return str(int(number)) if number == int(number) else repr(number)

    said = [written(one.time, one.key, text(one.holds)) for one in by_hand([events_of(line)], *line.rules)]
    assert sorted(said) == sorted(line.want.split())


@pytest.mark.parametrize("line", TIMELINES, ids=lambda line: line.what)
def test_a_restart_after_any_event_changes_nothing(line):
    check_detector(lambda: detector_of(*line.rules), [events_of(line)])
    check_detector(lambda: detector_of(*line.rules), in_pieces(events_of(line), Random(line.what)))


@pytest.mark.parametrize("line", TIMELINES[::4], ids=lambda line: line.what)
def test_groups_of_which_the_hashes_are_the_same_stay_apart(line, monkeypatch):
    for module in (correlate, readings):
        monkeypatch.setattr(module, "group_of", lambda _: pl.lit(7, dtype=pl.UInt64))
    whole = events_of(line)
    assert said_by(line, whole) == sorted(line.want.split())
    check_detector(lambda: detector_of(*line.rules), [whole])


@pytest.mark.parametrize("line", TIMELINES[::3], ids=lambda line: line.what)
def test_very_many_groups_over_a_very_long_time_are_told_apart_as_well(line, monkeypatch):
    monkeypatch.setattr(measure, "PLACES_MAX", 0)
    assert said_by(line, events_of(line)) == sorted(line.want.split())


def in_pieces(whole: Batch, random: Random) -> list[Batch]:
    """The stream cut at random places."""
    pieces, rest = [], whole
    while rest.frame.height > 1 and random.random() < 0.8:
        head, rest = cut(rest, random.randrange(1, rest.frame.height))
        pieces.append(head)
    return [*pieces, rest]


def test_there_are_sixty_timelines_and_each_type_has_its_own():
    assert len(TIMELINES) >= 60
    assert len({line.what for line in TIMELINES}) == len(TIMELINES)


@pytest.mark.parametrize("make", [together, ordered])
@pytest.mark.parametrize(
    ("brackets", "without"),
    [
        ("a and (b or c)", "a and b or a and c"),
        ("a and not (b or c)", "a and not b and not c"),
        ("c and not (a and not b)", "c and not a or c and b"),
        ("not (not a or not b or c)", "a and b and not c"),
    ],
)
def test_brackets_mean_what_they_would_written_out(make, brackets, without):
    events = "a@0 b@1 c@2 a@10.5 c@11.5 b@30 c@31 a@32 ab@50 c@51"
    said = [
        said_by(of("", make("a b c", words), events, ""), events_of(of("", make(), events, "")))
        for words in (brackets, without)
    ]
    assert said[0] == said[1] != []
