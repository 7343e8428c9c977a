"""What stands inside of a call's arguments is found, whatever else the app wrote beside it."""

import json
import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.sigma import arguments
from detectors.sigma.arguments import Arguments, keys_of
from detectors.sigma.columns import elements

EVIL = "http://evil.example/collect"
DEEP = 5_000
DIGITS = "9" * 5_000


def at(path, *texts):
    return Arguments(texts, keys_of(path)).at(path)


@pytest.mark.parametrize(
    "beside",
    [
        r'"\ud800"',
        r'"\udc00 and more of it"',
        r'{"\udfff": 1}',
        "[" * DEEP + "]" * DEEP,
        '{"a":' * DEEP + "1" + "}" * DEEP,
        "[" * DEEP + r'"]\"\\", "\ud800"' + "]" * DEEP,
        "[" * 996 + "]" * 996,
        DIGITS,
        "1e999",
        rf'["\ud800", 1e999, {DIGITS}]',
    ],
)
def test_nothing_beside_a_value_hides_it(sigma, beside):
    field = "miniprogram.api_args"
    outer, inner = f'{{"url":"{EVIL}","data":{beside}}}', f'{{"header":{{"data":{beside},"url":"{EVIL}"}}}}'
    assert sigma.hits({"s": {f"{field}.url": EVIL}}, {field: outer}) == [True]
    assert sigma.hits({"s": {f"{field}.header.url": EVIL}}, {field: inner}) == [True]


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (r'"a\ud800b"', "a\ufffdb"),
        (r'"\udc00\ud83d\ude00"', "\ufffd\U0001f600"),
        (r'["\ud800",1.50,{"x": null}]', '["\ufffd",1.5,{"x":null}]'),
        (DIGITS, DIGITS),
        ("-1e999", "-1e999"),
    ],
)
def test_an_odd_value_itself_is_told_as_text(written, told):
    assert at("x", f'{{"x":{written}}}') == [told]


def test_of_what_is_nested_too_deep_the_upper_part_is_told():
    (told,) = at("x", '{"x":' + '["up",' * DEEP + "1" + "]" * DEEP + "}")
    assert told is not None
    assert json.loads(told)[:1] == ["up"]


def test_of_a_repeated_key_the_last_counts_either_way():
    assert at("x", '{"x":1,"x":2}', r'{"x":1,"x":2,"y":"\ud800"}') == ["2", "2"]


@pytest.mark.parametrize(
    "text", ['{"x":NaN,"y":1}', '{"x":1,}', '{"x":1} {', '{"x":"\ud7ff', '{"x":' + "[" * DEEP, '["x"]', r'"\ud800"', ""]
)
def test_what_is_no_object_holds_nothing(text):
    assert at("x", text, None) == [None, None]


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), trees, min_size=1))
def test_what_had_to_be_mended_tells_the_same(tree):
    tree.pop("odd", None)
    plain, odd = json.dumps(tree), json.dumps({**tree, "odd": "\ud800"})
    for path in ("a", "a.b", "b", "c.a.b"):
        first, second = at(path, plain, odd)
        assert first == second


def test_a_large_object_is_read_once_for_all_paths_below_it(monkeypatch):
    read, value = [], arguments._value
    monkeypatch.setattr(arguments, "_value", lambda raw: read.append(raw) or value(raw))
    text = json.dumps({"data": {f"k{number}": number for number in range(2_000)}})
    found = Arguments([text], {"data"})
    assert [found.at(f"data.k{number}") for number in range(10)] == [[str(number)] for number in range(10)]
    assert len(read) == 1


def test_what_there_is_no_room_to_remember_is_found_all_the_same(monkeypatch):
    monkeypatch.setattr(arguments, "REMEMBERED_BYTES_MAX", 40_000)
    text = json.dumps({"data": {f"k{number}": number for number in range(2_000)}})
    found = Arguments([text] * 3, {"data"})
    assert [found.at(f"data.k{number}") for number in range(3)] == [[str(number)] * 3 for number in range(3)]


@pytest.mark.parametrize("beside", ['"\\ud800"', "[" * DEEP + "]" * DEEP])
def test_mending_takes_time_in_proportion_to_the_text(beside):
    text = '{"x":1,"y":' + beside + ',"z":[' + "[{}]," * 50_000 + "0]}"
    begun = time.process_time()
    assert at("x", text) == ["1"]
    assert time.process_time() - begun < 2.0


def test_a_list_nested_to_the_limit_of_the_stack_is_no_accident():
    for depth in range(900, 1010):
        texts, _ = elements(pl.Series("a", ["x", "[" * depth + "]" * depth]))
        assert "x" in texts.to_list()


def test_a_list_with_half_a_surrogate_pair_has_its_elements():
    texts, owners = elements(pl.Series("a", [r'["evil","\ud800"]']))
    assert texts.to_list() == ["evil", "\ufffd"]
    assert owners.tolist() == [0, 0]
