"""What each modifier means: an event it is true of and one it is not."""

from __future__ import annotations

import base64

import pytest
from sigma.modifiers import modifier_mapping

M = "message"

TABLE = [
    # key, value, events it is true of, events it is not true of
    (M, "Login", [{M: "login"}, {M: "LOGIN"}], [{M: "login "}, {M: ""}, {}]),
    (M, ["a", "b"], [{M: "a"}, {M: "B"}], [{M: "ab"}]),
    (M, "", [{M: ""}], [{M: "x"}, {}]),
    (M, "a*", [{M: "a"}, {M: "Ab\nc"}], [{M: "ba"}]),
    (M, "*a", [{M: "ba"}], [{M: "ab"}]),
    (M, "*a*", [{M: "bab"}], [{M: "b"}]),
    (M, "a*b", [{M: "ab"}, {M: "a\nxB"}], [{M: "abc"}, {M: "xab"}]),
    (M, "a?b", [{M: "axb"}, {M: "a中b"}, {M: "aİb"}], [{M: "ab"}, {M: "axxb"}]),
    (M, r"a\*b", [{M: "a*b"}], [{M: "axb"}]),
    (M, r"a\?b", [{M: "a?b"}], [{M: "axb"}]),
    (M, r"a\\*", [{M: "a\\x"}], [{M: "a*"}]),
    (M, r"C:\Windows", [{M: "c:\\windows"}], [{M: "c:windows"}]),
    (M, "*", [{M: "x"}, {M: ""}], [{}]),
    (M, "?*", [{M: "x"}], [{M: ""}, {}]),
    (M, "a.b*c+", [{M: "a.bxc+"}], [{M: "axbxcc"}]),
    (M + "|contains", "xy", [{M: "aXYb"}], [{M: "x y"}, {}]),
    (M + "|contains", ["xy", "zz", "q1", "q2"], [{M: "azzb"}, {M: "Q2"}], [{M: "xz"}]),
    (M + "|contains", "a*b", [{M: "xAyBz"}], [{M: "ba"}]),
    (M + "|contains|all", ["a", "b"], [{M: "ba"}], [{M: "a"}, {M: "b"}]),
    (M + "|startswith", ["ab", "cd"], [{M: "ABc"}, {M: "cdx"}], [{M: "xab"}]),
    (M + "|endswith", ["ab", "cd"], [{M: "xAB"}], [{M: "abx"}]),
    (M + "|cased", "Ab", [{M: "Ab"}], [{M: "ab"}]),
    (M + "|contains|cased", "Ab", [{M: "xAby"}], [{M: "xaby"}]),
    (M + "|startswith|cased", "A?b", [{M: "Axbc"}], [{M: "axbc"}]),
    (M + "|neq", "a", [{M: "b"}, {}], [{M: "A"}]),
    (M + "|re", "a.c", [{M: "xabcx"}], [{M: "ABC"}, {M: "a\nc"}, {}]),
    (M + "|re|i", "a.c", [{M: "ABC"}], [{M: "ac"}]),
    (M + "|re|s", "a.c", [{M: "a\nc"}], [{M: "ac"}]),
    (M + "|re|m", "^c$", [{M: "a\nc"}], [{M: "ac"}]),
    (M + "|re|i|s", "^a.c$", [{M: "A\nC"}], [{M: "A\nCx"}]),
    (M + "|re", r"^\d{3}\*\?$", [{M: "123*?"}], [{M: "12*?"}]),
    (M + "|re|startswith", "a|b", [{M: "axx"}, {M: "bxx"}], [{M: "xa"}, {M: "xb"}]),
    (M + "|re|endswith", "a|b", [{M: "xxb"}], [{M: "bx"}]),
    (M + "|re|contains", "a+b", [{M: "xaabx"}], [{M: "xbx"}]),
    (M + "|base64", "foo bar", [{M: base64.b64encode(b"foo bar").decode()}], [{M: "foo bar"}]),
    (M + "|base64offset|contains", "/bin/sh", [{M: base64.b64encode(b"x" * i + b"/bin/sh -i").decode()} for i in range(3)],
     [{M: base64.b64encode(b"/bin/bash").decode()}]),
    (M + "|wide|base64offset|contains", "ping", [{M: base64.b64encode(b"xx" + "ping".encode("utf-16le")).decode()}],
     [{M: base64.b64encode(b"ping").decode()}]),
    (M + "|utf16le|base64offset|contains", "ping", [{M: base64.b64encode("ping".encode("utf-16le")).decode()}], [{M: "ping"}]),
    (M + "|utf16be|base64offset|contains", "ping", [{M: base64.b64encode("ping".encode("utf-16be")).decode()}], [{M: "ping"}]),
    (M + "|utf16|base64offset|contains", "ping", [{M: base64.b64encode(b"\xff\xfe" + "ping".encode("utf-16le")).decode()}],
     [{M: base64.b64encode(b"ping").decode()}]),
    (M + "|windash|contains", " -f", [{M: f"x {dash}F"} for dash in "-/–—―"], [{M: "x f"}]),
    (M + "|windash|contains|all", [" -f", " -g"], [{M: "x /f -g"}], [{M: "x -f"}]),
    ("source.ip|cidr", "10.0.0.0/8", [{"source.ip": "10.255.0.1"}], [{"source.ip": "11.0.0.1"}, {"source.ip": "10.0.0"},
     {"source.ip": "10.0.0.256"}, {"source.ip": "010.0.0.1"}, {"source.ip": "x"}, {}]),
    ("source.ip|cidr", ["192.168.1.0/24", "2001:db8::/32"], [{"source.ip": "192.168.1.7"}, {"source.ip": "2001:DB8::1"},
     {"source.ip": "::ffff:192.168.1.7"}], [{"source.ip": "2001:db9::1"}, {"source.ip": "192.168.2.7"}]),
    ("other", 5, [{"other": "5"}, {"other": 5}, {"other": "5.0"}], [{"other": "55"}, {"other": "x5"}, {}]),
    ("other", "5", [{"other": 5}], [{"other": "5.0"}]),
    ("other", 1.5, [{"other": 1.5}, {"other": "1.50"}], [{"other": 1}]),
    ("other", 9007199254740993, [{"other": 9007199254740993}], [{"other": 9007199254740992}]),
    ("other|gt", 5, [{"other": "5.1"}, {"other": 6}], [{"other": 5}, {"other": "abc"}, {"other": "inf"}, {}]),
    ("other|gte", 5, [{"other": 5}], [{"other": 4.9}]),
    ("other|lt", -1, [{"other": "-2"}], [{"other": -1}, {"other": ""}]),
    ("other|lte", 5, [{"other": 5}], [{"other": 6}]),
    ("miniprogram.scene", 1037, [{"miniprogram.scene": 1037}], [{"miniprogram.scene": 1038}, {}]),
    ("miniprogram.scene", "1037", [{"miniprogram.scene": 1037}], [{"miniprogram.scene": 10370}]),
    ("miniprogram.scene|startswith", "10", [{"miniprogram.scene": 1037}], [{"miniprogram.scene": 2037}]),
    ("miniprogram.scene|lt", 2.5, [{"miniprogram.scene": 2}], [{"miniprogram.scene": 3}]),
    ("miniprogram.scene|lt", 10**30, [{"miniprogram.scene": 2}], [{}]),
    ("http.response.status_code|gte", 400, [{"http.response.status_code": 404}], [{"http.response.status_code": 399}, {}]),
    ("process.cpu.pct|gt", 0.5, [{"process.cpu.pct": 0.51}], [{"process.cpu.pct": 0.5}]),
    ("miniprogram.foreground", False, [{"miniprogram.foreground": False}], [{"miniprogram.foreground": True}, {}]),
    ("miniprogram.foreground", "TRUE", [{"miniprogram.foreground": True}], [{"miniprogram.foreground": False}]),
    ("other", True, [{"other": "True"}, {"other": True}], [{"other": "1"}]),
    ("other", None, [{}, {"other": None}], [{"other": ""}, {"other": "x"}]),
    ("other|exists", True, [{"other": ""}, {"other": []}, {"other": [None]}], [{}, {"other": None}]),
    ("other|exists", False, [{}, {"other": None}], [{"other": "x"}]),
    ("@timestamp|hour", 3, [{"@timestamp": "2026-03-01T03:59:59Z"}, {"@timestamp": "2026-03-01T05:10:00+02:00"}],
     [{"@timestamp": "2026-03-01T04:00:00Z"}]),
    ("@timestamp|hour|gte", 22, [{"@timestamp": "2026-03-01T22:00:00Z"}], [{"@timestamp": "2026-03-01T21:59:59Z"}]),
    ("@timestamp|minute", 7, [{"@timestamp": "2026-03-01T22:07:00Z"}], [{"@timestamp": "2026-03-01T07:08:00Z"}]),
    ("@timestamp|day", 31, [{"@timestamp": "2026-03-31T22:07:00Z"}], [{"@timestamp": "2026-03-30T22:07:00Z"}]),
    ("@timestamp|week", 53, [{"@timestamp": "2027-01-01T00:00:00Z"}], [{"@timestamp": "2026-01-01T00:00:00Z"}]),
    ("@timestamp|month", [1, 2], [{"@timestamp": "2026-02-01T00:00:00Z"}], [{"@timestamp": "2026-03-01T00:00:00Z"}]),
    ("@timestamp|year", 2026, [{"@timestamp": "2026-12-31T23:59:59Z"}], [{"@timestamp": "2027-01-01T00:00:00Z"}]),
    ("event.ingested|hour", 3, [{"event.ingested": "2026-03-01T03:59:59Z"}], [{"@timestamp": "2026-03-01T03:00:00Z"}]),
    ("a|fieldref", "b", [{"a": "X", "b": "x"}, {"a": ["y", "x"], "b": "x"}], [{"a": "x", "b": "y"}, {"a": "x"}, {"b": "x"}, {}]),
    ("a|fieldref|startswith", "b", [{"a": "Xyz", "b": "xy"}], [{"a": "zxy", "b": "xy"}]),
    ("a|fieldref|endswith", "b", [{"a": "zXy", "b": "xy"}], [{"a": "xyz", "b": "xy"}]),
    ("a|fieldref|contains", "b", [{"a": "zXyz", "b": "xy"}], [{"a": "xzy", "b": "xy"}]),
    ("a|fieldref|neq", "b", [{"a": "x", "b": "y"}, {"a": "x"}, {}], [{"a": "X", "b": "x"}]),
    (M, r"a\\b", [{M: "a\\b"}], [{M: "a\\\\b"}]),
    (M, r"a\\\*", [{M: "a\\*"}], [{M: "a\\x"}, {M: "a*"}]),
    (M, r"a\\\b", [{M: "a\\\\b"}], [{M: "a\\b"}]),
    (M, r"a\\\\b", [{M: "a\\\\b"}], [{M: "a\\b"}]),
    (M, r"a\\\\*", [{M: "a\\\\x"}], [{M: "a\\x"}]),
    (M, "a\\", [{M: "a\\"}], [{M: "a"}]),
    (M, "??", [{M: "ab"}, {M: "中文"}], [{M: "a"}, {M: "abc"}]),
    (M, "*a*b*", [{M: "xaxbx"}, {M: "AB"}], [{M: "ba"}]),
    (M, [None, "a"], [{}, {M: None}, {M: "a"}], [{M: "b"}, {M: ""}]),
    (M, ["a", 5, True], [{M: "a"}, {M: 5}, {M: "5"}, {M: True}], [{M: "b"}]),
    (M + "|contains", "", [{M: "x"}, {M: ""}], [{}]),
    (M + "|startswith", "", [{M: "x"}], [{}]),
    (M + "|contains", r"\*", [{M: "a*b"}], [{M: "ab"}]),
    (M + "|endswith", "\\cmd.exe", [{M: "C:\\Windows\\CMD.EXE"}], [{M: "cmd.exe"}]),
    (M + "|contains|neq", ["a", "b"], [{M: "c"}, {}], [{M: "xa"}, {M: "bx"}]),
    (M + "|neq", ["a", "b*"], [{M: "c"}, {M: None}], [{M: "A"}, {M: "bx"}]),
    (M + "|cased", ["Ab", "c*"], [{M: "Ab"}, {M: "cD"}], [{M: "ab"}, {M: "CD"}]),
    (M + "|endswith|cased", "Ab", [{M: "xAb"}], [{M: "xab"}]),
    (M + "|contains|all|cased", ["A", "b"], [{M: "bA"}], [{M: "ba"}]),
    (M + "|re|ignorecase", "^a.c$", [{M: "ABC"}], [{M: "abcd"}]),
    (M + "|re|multiline", "^c$", [{M: "a\nc"}], [{M: "ac"}]),
    (M + "|re|dotall", "^a.c$", [{M: "a\nc"}], [{M: "ac"}]),
    (M + "|re|i|m|s", "^b.c$", [{M: "a\nB\nC"}], [{M: "bc"}]),
    (M + "|re", ["^a", "b$"], [{M: "ax"}, {M: "xb"}], [{M: "xay"}]),
    (M + "|re|all", ["a", "b"], [{M: "ba"}], [{M: "a"}]),
    (M + "|re", r"[a-c]{2,3}|(xy)+z?", [{M: "abc"}, {M: "-xyxyz"}], [{M: "a-b"}]),
    (M + "|wide|base64", "ping", [{M: base64.b64encode("ping".encode("utf-16le")).decode()}], [{M: "ping"}]),
    (M + "|base64", ["a", "b"], [{M: "YQ=="}, {M: "Yg=="}], [{M: "Yw=="}]),
    (M + "|base64offset|contains|all", ["foobar", "quux"], [{M: base64.b64encode(b"quux foobar").decode()}],
     [{M: base64.b64encode(b"foobar").decode()}]),
    (M + "|windash|endswith", "-x", [{M: "a /x"}], [{M: "a x"}]),
    (M + "|windash", "a-b -c", [{M: "a-b /c"}], [{M: "a/b -c"}]),
    ("source.ip|cidr", "192.168.7.7/32", [{"source.ip": "192.168.7.7"}], [{"source.ip": "192.168.7.8"}]),
    ("source.ip|cidr", "::1/128", [{"source.ip": "::1"}, {"source.ip": "0:0:0:0:0:0:0:1"}], [{"source.ip": "::2"}]),
    ("source.ip|cidr", "fe80::/10", [{"source.ip": "FE80::1"}], [{"source.ip": "fec0::1"}, {"source.ip": "10.0.0.1"}]),
    ("source.ip|cidr|neq", "10.0.0.0/8", [{"source.ip": "11.0.0.1"}, {}], [{"source.ip": "10.0.0.1"}]),
    ("other", "1*", [{"other": 123}, {"other": "1"}], [{"other": 213}]),
    ("other", [1, 2.5], [{"other": 1}, {"other": "2.50"}], [{"other": 2}]),
    ("other|neq", 5, [{"other": 6}, {"other": "x"}, {}], [{"other": 5}, {"other": "5.0"}]),
    ("other|gt", [5, 10], [{"other": 6}], [{"other": 5}]),
    ("other|gt|all", [5, 10], [{"other": 11}], [{"other": 6}]),
    ("other", "x", [{"other": ["w", "X"]}], [{"other": ["w"]}, {"other": []}]),
    ("other|contains|all", ["a", "b"], [{"other": ["xa", "xb"]}, {"other": "ab"}], [{"other": ["xa"]}]),
    ("other|neq", "x", [{"other": ["w"]}], [{"other": ["w", "x"]}]),
    ("@timestamp|year|lt", 2026, [{"@timestamp": "2025-12-31T23:59:59Z"}], [{"@timestamp": "2026-01-01T00:00:00Z"}]),
    ("@timestamp|month|neq", 5, [{"@timestamp": "2026-04-30T00:00:00Z"}], [{"@timestamp": "2026-05-01T00:00:00Z"}]),
    ("miniprogram.scene|fieldref", "a", [{"miniprogram.scene": 5, "a": "5"}], [{"miniprogram.scene": 5, "a": "6"}]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "true", "false"), TABLE, ids=[f"{row[0]}: {row[1]}" for row in TABLE])
def test_a_modifier_is_true_of_what_it_means_and_of_nothing_else(sigma, key, value, true, false):
    assert sigma.hits({"s": {key: value}}, *true, *false) == [True] * len(true) + [False] * len(false)


@pytest.mark.parametrize(("key", "value", "true", "false"), TABLE, ids=[f"not {row[0]}: {row[1]}" for row in TABLE])
def test_the_negation_is_true_of_everything_else(sigma, key, value, true, false):
    detection = {"s": {key: value}, "condition": "not s"}
    assert sigma.hits(detection, *true, *false) == [False] * len(true) + [True] * len(false)


@pytest.mark.parametrize(("key", "value", "true", "false"), TABLE, ids=[f"alone {row[0]}: {row[1]}" for row in TABLE])
def test_an_event_alone_in_its_batch_is_judged_the_same(sigma, key, value, true, false):
    assert [sigma.hits({"s": {key: value}}, event)[0] for event in (true[0], false[0])] == [True, False]


def test_every_modifier_of_pysigma_has_its_row():
    shown = {name for key, *_ in TABLE for name in key.split("|")[1:]}
    assert {*modifier_mapping, "utf16le"} - shown == {"expand"}  # which has tests of its own


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("istanbul", "ISTANBUL"),
        ("İstanbul", "İSTANBUL"),
        ("k", "\u212a"),
        ("ΟΔΟΣ", "οδος"),
        ("straße", "STRAẞE"),
        ("ärger", "ÄRGER"),
    ],
)
def test_case_is_folded_alike_in_rule_and_event(sigma, written, seen):
    assert sigma.hits({"s": {M: written}}, {M: seen}, {M: seen + "x"}) == [True, False]
    assert sigma.hits({"s": {M + "|contains": written}}, {M: f"x{seen}x"}, {M: "x"}) == [True, False]


def test_a_capital_sigma_is_found_at_the_end_of_a_word_and_inside_it(sigma):
    assert sigma.hits({"s": {M + "|contains": "ΔΟΣ"}}, {M: "ΟΔΟΣ"}, {M: "ΟΔΟΣΑ"}) == [True, True]
