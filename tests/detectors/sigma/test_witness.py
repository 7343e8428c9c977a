"""Rules that wait for their witnesses are true of the same rows as rules that meet every row."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.sigma.match import Bounds, Matcher
from detectors.testing import batch

FIELDS = ("message", "url.full", "user_agent.original", "http.response.status_code")
WORDS = ("ab", "Bc", "abc", "x", "é", "1", "*b*c", "a?c", "*a", "b*")
LOG, API = "miniprogram.log", "miniprogram.api"

ALL_MEET_ALL = Bounds(rules_min=10**9, rows_min=10**9)
WITNESSES_FIRST = [Bounds(rules_min=1, rows_min=1, few_share=share) for share in (1, 2, 4)]

values = st.one_of(st.sampled_from(WORDS), st.lists(st.sampled_from(WORDS), min_size=1, max_size=3))
modifiers = st.sampled_from(
    ["", "|contains", "|startswith", "|endswith", "|contains|cased", "|re", "|exists", "|contains|all"]
)


@st.composite
def selections(draw):
    selection = {}
    for field in draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2, unique=True)):
        modifier = draw(modifiers)
        value = draw(values)
        if modifier == "|exists":
            value = draw(st.booleans())
        if modifier == "|contains|all":
            value = [draw(st.sampled_from(WORDS[:6])), draw(st.sampled_from(WORDS[:6]))]
        if modifier == "|re":
            value = draw(
                st.sampled_from(
                    ["a.c", "^ab", "(ab|x)+1", "(?i)BC$", "[ab]c?", "abc.?", "(?i)(abc|cba)b*", "b(?i:ABc)"]
                )
            )
        selection[field + modifier] = value
    return selection


@st.composite
def rules(draw):
    condition = draw(
        st.sampled_from(
            ["s", "s and t", "s or t", "s and not t", "not s", "1 of them", "(s or t) and u", "s and (t or not u)"]
        )
    )
    detection = {name: draw(selections()) for name in ("s", "t", "u")}
    return {**detection, "condition": condition}, draw(st.sampled_from(["log", "api", None]))


texts = st.one_of(st.none(), st.text("abcBC1xé/", max_size=5), st.sampled_from(['["ab","xé"]', '["1"]', "[]"]))
events = st.fixed_dictionaries(
    {
        "event.dataset": st.sampled_from([LOG, API]),
        "message": texts,
        "url.full": texts,
        "user_agent.original": st.sampled_from([None, "abc", "Bc", "x1"]),
        "http.response.status_code": st.sampled_from([None, 1, 200]),
    }
).map(lambda event: {name: value for name, value in event.items() if value is not None})


@settings(max_examples=150, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=6), st.lists(st.lists(events, max_size=24), min_size=1, max_size=3))
def test_witnesses_change_nothing(sigma, kinds, batches):
    texts = [
        sigma.text(
            detection,
            logsource={"product": "miniprogram", **({"service": service} if service else {})},
            title=str(place),
        )
        for place, (detection, service) in enumerate(kinds)
    ]
    loaded = sigma.load(*texts).rules
    matchers = [Matcher(loaded, bounds) for bounds in (ALL_MEET_ALL, *WITNESSES_FIRST)]
    for one in batches:
        frame = batch(*(one or [{"event.dataset": "other"}])).frame
        expected, *found = [
            {rule: rows.tolist() for rule, rows in matcher.match(frame).items()} for matcher in matchers
        ]
        assert found == [expected] * len(found)


@pytest.mark.parametrize("repeated", [True, False])
def test_columns_of_few_and_of_many_values_give_the_same_rows(sigma, repeated):
    words = [f"w{place % 7 if repeated else place}" for place in range(5_000)]
    detector = sigma.load(
        *(
            sigma.text(
                {"s": {"message|endswith": f"w{n}"}, "f": {"url.full|contains": "9"}, "condition": "s and not f"}
            )
            for n in range(6)
        )
    )
    one = batch(*({"event.dataset": LOG, "message": word, "url.full": f"u{place}"} for place, word in enumerate(words)))
    found = {
        rule.id: rows.tolist() for rule, rows in ((rule, detector.matches(one).get(rule.id)) for rule in detector.rules)
    }
    for number, rule in enumerate(detector.rules):
        expected = [place for place, word in enumerate(words) if word.endswith(f"w{number}") and "9" not in f"u{place}"]
        assert found[rule.id] == expected
