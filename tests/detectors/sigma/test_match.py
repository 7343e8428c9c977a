"""A verdict on an event rests on that event alone: not on the batch it came in, nor on what was seen before."""

from __future__ import annotations

import gc
import random
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.sigma import memory
from detectors.sigma.match import Look, Matcher
from detectors.testing import batch

LOG, API = "miniprogram.log", "miniprogram.api"
ROWS = 1_100  # enough for columns to be read for few rows alone

RULES = [
    {"s": {"miniprogram.api": "rare", "miniprogram.api_args.path|contains": "secret"}},
    {"s": {"miniprogram.api": "rare", "miniprogram.api_args.a.b|exists": True}, "f": {"user.id": "u1"}, "condition": "s and not f"},
    {"s": {"miniprogram.api": "rare", "source.ip|cidr": ["10.0.0.0/8", "2001:db8::/32"]}},
    {"s": {"miniprogram.api": "rare", "user.id|fieldref": "device.id"}},
    {"s": {"miniprogram.api": "rare", "miniprogram.api_args.n|gte": 5}, "o": {"message|re": "^b.d"}, "condition": "s or o"},
    {"s": {"message|startswith": "BA", "http.response.status_code|lt": 500}},
    {"s": {"message": None, "user.id|exists": True}},
]  # fmt: skip

texts = st.sampled_from([None, "bad", "bud", "BAD one", "good", "ß"])
events = st.fixed_dictionaries(
    {
        "event.dataset": st.sampled_from([LOG, API]),
        "miniprogram.api": st.sampled_from([None, "rare", "common"]),
        "miniprogram.api_args": st.sampled_from(
            [None, '{"path":"/secret"}', '{"a":{"b":1}}', '{"a.b":0,"n":7}', '["n"]', '{"n":"5.5"}', '{"n":', '{"\\u006e":9}']
        ),
        "message": texts,
        "user.id": st.sampled_from([None, "u1", "u2"]),
        "device.id": st.sampled_from([None, "u1", "U2"]),
        "source.ip": st.sampled_from([None, "10.1.2.3", "2001:db8::1", "::ffff:10.0.0.1", "1::2::3", "8.8.8.8"]),
        "http.response.status_code": st.sampled_from([None, 200, 500]),
    }
).map(lambda event: {name: value for name, value in event.items() if value is not None})  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(events, min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_a_verdict_rests_on_the_event_alone(sigma, kinds, chance):
    alone = [_verdicts(sigma, [event])[0] for event in kinds]
    few = [chance.randrange(len(kinds)) for _ in range(20)]
    common = {"event.dataset": LOG, "message": "good"}
    drawn = [few.pop() if few and chance.random() < 0.1 else None for _ in range(ROWS)]
    whole = [common if kind is None else kinds[kind] for kind in drawn]
    ordinary = _verdicts(sigma, [common])[0]
    expected = [ordinary if kind is None else alone[kind] for kind in drawn]
    assert _verdicts(sigma, whole) == expected


@pytest.mark.parametrize("bound", ["VALUES_MAX", "BYTES_MAX"])
def test_a_memory_that_starts_anew_says_the_same(sigma, monkeypatch, bound):
    chance = random.Random(7)
    whole = [{"event.dataset": LOG, "message": f"{chance.choice(['bad', 'ok'])} {chance.randrange(40)}"} for _ in range(400)]  # fmt: skip
    told = _verdicts(sigma, whole)
    monkeypatch.setattr(memory, bound, 3)
    assert _verdicts(sigma, whole) == told
    assert {frozenset(one) for one in told} == {frozenset(), frozenset({4})}


@pytest.mark.parametrize("condition", ["not s", "s and not s", "not s or not s"])
def test_a_rule_that_is_true_of_no_row_is_not_named(sigma, condition):
    detector = sigma.load(sigma.text({"s": {"message": "bad"}, "condition": condition}))
    assert detector.matches(batch({"event.dataset": LOG, "message": "bad"})) == {}


def _verdicts(sigma, whole):
    """For each event, the places of the rules that are true of it: asked in two parts, for a detector remembers answers."""
    detector = sigma.load(*(sigma.text(rule) for rule in RULES))
    places = {rule.id: place for place, rule in enumerate(detector.rules)}
    verdicts = [set() for _ in whole]
    for start, part in ((0, whole[:7]), (7, whole[7:])):
        for rule_id, rows in detector.matches(batch(*part)).items() if part else ():
            for row in rows.tolist():
                verdicts[start + row].add(places[rule_id])
    return verdicts


def test_a_batch_that_was_looked_at_is_let_go_at_once(sigma):
    rules = sigma.load(*(sigma.text(rule) for rule in RULES)).rules
    gc.disable()  # memory that waits for it grows by batches
    try:
        whole = batch(*({"event.dataset": LOG, "message": f"bad {n}"} for n in range(9)))
        look = Look(Matcher(rules), whole.frame)
        assert look.matches()
        known = weakref.ref(look)
        del look
        assert known() is None
    finally:
        gc.enable()


def test_lists_of_any_length_are_compared_in_bounded_memory(sigma, monkeypatch):
    monkeypatch.setattr("detectors.sigma.predicates.MEETINGS_MAX", 10)
    rule = {"s": {"url.domain|fieldref|contains": "http.request.referrer"}}
    lists = ["[{}]".format(",".join(f'"{side}{n}"' for n in range(40))) for side in ("a", "b")]
    events = [{"url.domain": lists[0], "http.request.referrer": one} for one in (lists[0], lists[1], "a39", "b")]
    assert sigma.hits(rule, *events) == [True, False, True, False]


def test_a_list_too_long_is_the_text_it_is(sigma):
    long = "[{}]".format(",".join(['"a"'] * 1_001))
    assert sigma.hits({"s": {"message": "a"}}, {"message": long}, {"message": '["a"]'}) == [False, True]
    assert sigma.hits({"s": {"message|contains": '"a","a"'}}, {"message": long}) == [True]
