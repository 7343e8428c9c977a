"""What stands inside of arguments is the same whether the kernel or Python reads it."""

import json

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors import kernel
from detectors.sigma.arguments import Arguments
from detectors.sigma.members import Members

KEYS = frozenset({"a", "b", "c.d", "c", "é", "x" * 13, ""})
PATHS = sorted(KEYS)

scalars = st.sampled_from(
    ["null", "true", "false", "0", "-0", "1", "-7", "01", "1.5", "-0.0", "1e5", "1E400", ".5", "1.", "NaN", "Infinity", "tru",
     "9" * 17, "9" * 18, "9" * 400, "-" + "8" * 17, "0." + "3" * 40, '""', '"x"', '"twelve bytes"', '"thirteen byte"', '"é\U0001f600"',
     r'"\""', r'"\\"', r'"\/\b\f\n\r\t"', r'"\u0041"', r'"\u00e9\u0000"', r'"\ud83d\ude00"', r'"\ud800"', r'"\uDFFF"', r'"\u12"', r'"\x"',
     r'"a long text with an escape \n in it"', '"\t"', '"\x7f"', '"open', "[1, 2]", "{}", '{"d": 1}', '{"d": {"e": "\\ud800"}}', "[]", "[",
     "[" * 59 + "]" * 59, "[" * 60 + "]" * 60, "[" * 61 + "]" * 61, "[" * 1_100 + "]" * 1_100, '{"a":' * 61 + "1" + "}" * 61, '{"a" 1}', "[1 2]", '[{"a":1,}]',
     '{"a":1,"a":2}', "[tru]", "[01]", "{1:2}"]
)  # fmt: skip
keys = st.sampled_from(
    ['"a"', '"b"', '"c"', '"c.d"', '"é"', '"' + "x" * 13 + '"', '""', '"other"', r'"\u0061"', r'"\ud800"', "a", '"a']
)
blanks = st.sampled_from(["", "", "", " ", "\n\t", "\r", "\x0b", "\ufeff"])


@st.composite
def texts(draw):
    """Something like an object."""
    pairs = [
        draw(blanks)
        + draw(keys)
        + draw(blanks)
        + draw(st.sampled_from([":", ":", ":", "", "::"]))
        + draw(blanks)
        + draw(scalars)
        for _ in range(draw(st.integers(0, 4)))
    ]
    around = st.sampled_from(["{}", "{}", "{}", "{}", "[]", "{", "}", "{}}", '{}{"a":1}', "{,}"])
    outside = draw(around)
    text = outside[0] + draw(st.sampled_from([",", ",", ",", ", ", ",,"])).join(pairs) + outside[1:]
    return draw(blanks) + text + draw(blanks)


plain = st.dictionaries(
    st.sampled_from(["a", "b", "c", "é", "z"]), st.text(max_size=20) | st.integers() | st.booleans() | st.none()
)
columns = st.lists(st.none() | texts() | texts() | texts() | plain.map(json.dumps) | st.text(max_size=5), max_size=8)


@settings(max_examples=300, deadline=None)
@given(columns, st.integers(0, 2))
@example(['{"a":"x"}', None, r'{"a":"\ud800","b":"y"}', '{"b":1}'], 0)
@example(['{"a":1,"a":null}', '{"a":null,"a":"thirteen bytes"}'], 0)
def test_the_kernel_and_python_find_the_same_inside_of_arguments(written, skipped):
    written = [None if text is None else text.encode("utf-8", "replace").decode() for text in written]
    column = pl.Series("arguments", written, dtype=pl.String)[skipped:]
    kept = written[skipped:]
    for names in (KEYS, KEYS - {"c.d"}):
        found, expected = Members(column, names), Arguments(kept, names)
        for path in sorted(names):
            assert found.at(path).to_list() == expected.at(path), path


@pytest.mark.skipif(not kernel.available(), reason="says what the kernel leaves to Python")
def test_only_what_is_written_in_an_unusual_way_is_left_to_python():
    usual = pl.Series(
        ['{"a":"x","z":[1,{"y":2.5}]}', ' { "a" : -12 , "b" : true }\n', r'{"a":"\u00e9\n"}', "[1]", "", None, "{}"]
    )
    unusual = pl.Series(['{"a":1.5}', '{"a":{}}', '{"a":[1]}', r'{"b":"\ud800"}', '{"z":1e5}', '{"a":1,}', '{"a":1} {'])
    assert Members(usual, {"a", "b"})._odd.to_list() == []
    assert Members(unusual, {"a", "b"})._odd.to_list() == list(range(7))


def test_without_the_kernel_the_same_is_found(monkeypatch):
    monkeypatch.setenv("MINIWATCH_NATIVE", "0")
    column = pl.Series(['{"a":"x"}', '{"a":1.50}', None])
    assert Members(column, {"a"}).at("a").to_list() == ["x", "1.5", None]
