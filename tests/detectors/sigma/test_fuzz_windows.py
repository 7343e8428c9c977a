"""Correlations, filters and the rules that they name, spoilt together; events that nobody would send: rules are taken or refused
with their place, and both ways of decoding and matching say the same of every event.

``FUZZ_S=300 pytest -m slow tests/detectors/sigma/test_fuzz_windows.py`` goes on for five minutes.
"""

from __future__ import annotations

import json
import os
import random
import time

import polars as pl
import pytest
from bending import bent, bent_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import kernel
from detectors.event import END_OF_TIME, HASH, LATE, TIME, WATERMARK, Batch
from detectors.sigma import Reading, RuleSet, SigmaDetector, parse_rules
from detectors.testing import FIRST_TIME, pieces
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.native import NativeNdjson
from monitor.pipeline import decoded_fields
from monitor.sources import RawBatch

CPU_S_MAX = 20
"""One try takes a small part of a second; what takes this long never ends."""

NAMES = {"names": ["x", "y*"]}
ID = "5d2b1c1e-0000-4000-8000-00000000005{}"
FIELDS = [
    "miniprogram.app_id",
    "user.id",
    "device.id",
    "event.action",
    "url.domain",
    "number",
    "a",
    "b.c",
    "payment.amount",
    "message",
    "row",
    "code",
    "order",
]

RULES = f"""title: one
id: {ID.format(1)}
name: one
logsource: {{product: miniprogram, service: api}}
detection: {{s: {{event.action: [login, pay*], a|contains: [x, 'y?z', '\\*']}}, t: {{number|gte: 2, b.c|exists: true}}, condition: 1 of them}}
---
title: two
id: {ID.format(2)}
name: two
logsource: {{product: miniprogram}}
detection: {{s: {{url.domain|endswith: .example, a|re: '^x+$'}}, u: {{message: null}}, words: [login, 'pa?'], condition: s or not u or words}}
---
title: three
id: {ID.format(3)}
name: three
logsource: {{product: miniprogram}}
detection: {{s: {{payment.amount|lt: 5, user.id|fieldref: device.id}}, t: {{a|cased|startswith: X, b.c|cidr: 10.0.0.0/8}}, condition: s or t}}
"""
FILTERS = f"""title: ours
logsource: {{product: miniprogram}}
filter: {{rules: [one, {ID.format(2)}], s: {{user.id: me, b.c|contains: q}}, condition: not s}}
---
title: all
logsource: {{product: miniprogram, service: api}}
filter: {{rules: any, s: {{a|expand: '%names%'}}, t: {{number: 7}}, condition: not (s and t)}}
"""
WINDOWS = [
    ("event_count", "one two", "{gte: 2}", "miniprogram.app_id"),
    ("value_count", "two", "{gt: 1, field: url.domain}", "miniprogram.app_id, user.id"),
    ("value_count", "one two", "{gte: 2, field: [a, number, code]}", "row"),
    ("value_sum", "one", "{gte: 3.5, field: number}", "user.id"),
    ("value_avg", "one three", "{gt: -1, lte: 9, field: payment.amount}", "miniprogram.app_id"),
    ("value_median", "two", "{neq: 2, field: number}", ""),
    ("value_percentile", "two", "{gte: 1, field: number, percentile: 33.3}", "miniprogram.app_id"),
    ("temporal", "one two three", "{gte: 2}", "miniprogram.app_id"),
    ("temporal", "one two", "one and not two", "user.id"),
    ("temporal_ordered", "one two", "", "miniprogram.app_id"),
    ("temporal_ordered", "one two three", "one and two and not three", "device.id"),
]  # fmt: skip


def windows() -> str:
    """Every type once, and two storeys on top of some."""
    texts = []
    for place, (kind, rules, condition, groups) in enumerate(
        [
            *WINDOWS,
            ("event_count", "w0 w4", "{gte: 1}", "miniprogram.app_id"),
            ("temporal", "w11 two", "", "miniprogram.app_id"),
        ]
    ):
        more = f", condition: {condition}" if condition else ""
        asked = (
            f"type: {kind}, rules: [{', '.join(rules.split())}], group-by: [{groups}], timespan: {place % 3 + 1}s{more}"
        )
        texts.append(
            f"title: w{place}\nid: {ID[:-3]}{place:02}\nname: w{place}\ncorrelation: {{{asked}, generate: {str(place % 2 == 0).lower()}}}\n"
        )
    texts[1] = texts[1].replace(
        "group-by: [miniprogram.app_id, user.id]", "group-by: [who], aliases: {who: {two: user.id}}"
    )
    return "---\n".join(texts)


SEEDS = [RULES, FILTERS, windows()]
VALUES = [
    "x", "X", "xx", "y1z", "y*z", "*", "", " ", "login", "PAY", "pays", "me", "q", "a.example", "B.EXAMPLE", "10.1.2.3", "2", "-1", "7",
    "1e999", "0.1", "\u0130", "\u212a", "\u00df", "\U0001f600", "\\", "\x00", "\u2028", "x" * 300, 0, 1, 2, 2.5, -0.0, 7, 5e-324, 1e308, 2**53,
    2**63, 10**30, True, False, None, [], ["x"], ["y1z", None, 2], [["x"]], {"c": "q"}, {"x": [1]}, {},
]  # fmt: skip


def lines(dice: random.Random) -> bytes:
    """Events as bytes, some of them torn."""
    found, second = [], 0.0
    for place in range(dice.randint(1, 60)):
        second = max(0.0, second + dice.choice([-0.5, 0, 0, 0.25, 1, 4]))
        event = {
            "@timestamp": FIRST_TIME // 1_000 + round(second * 1_000),
            "event.id": f"{place}",
            "event.dataset": "miniprogram.api",
        }
        event |= {
            "miniprogram.app_id": dice.choice(["wx1", "wx1", "wx2"]),
            "event.action": dice.choice(["login", "pay", "x"]),
        }
        for name in dice.sample(FIELDS, dice.randint(0, 6)):
            event[name] = dice.choice(VALUES)
        if dice.random() < 0.1:
            event = bent(event, dice)
        line = json.dumps(event, ensure_ascii=dice.random() < 0.5).encode(errors="surrogatepass")
        if dice.random() < 0.03:
            cut = dice.randrange(len(line))
            line = (
                line[:cut]
                + dice.choice([b"", b"\xff", b"{", b'"', b"\\u0000", b"]"])
                + line[cut + dice.randint(0, 2) :]
            )
        found.append(line.replace(b"\n", b" "))
    return b"\n".join(found) + b"\n"


def admitted(decoding: bool, data: bytes, fields: frozenset[str]):
    """What the door lets in of some lines, by the kernel or by Python."""
    raw, people = RawBatch("memory:1", "ndjson", data, 0, len(data)), PeopleHash(b"k" * 32)
    if decoding:
        return NativeNdjson(people, hashed=False).admit(raw, fields)
    decoder = NdjsonDecoder()
    return Door(people, decoder, hashed=False).admit(decoder.decode(raw, fields), fields)


def stream(frame: pl.DataFrame, dice: random.Random) -> list[Batch]:
    """Rows as the timeline would give them, cut somewhere."""
    times = frame.get_column("@timestamp").fill_null(FIRST_TIME)
    marks = (times.cum_max() - 2_000_000).alias(WATERMARK)
    behind = (times <= marks.shift(1, fill_value=-(2**62))).alias(LATE)
    content = frame.get_column("_line").hash().alias(HASH)
    whole = Batch(frame.with_columns(times.alias(TIME), marks, behind, content), END_OF_TIME)
    return pieces([whole], dice.randint(1, 60))


def said(found: RuleSet, batches: list[Batch], events_max: int) -> tuple[list, list, pl.DataFrame]:
    detector = SigmaDetector(found.rules, events_max)
    matches = [{rule: rows.tolist() for rule, rows in detector.matches(one).items()} for one in batches]
    sightings = [detector.observe(one) for one in batches]
    return matches, sightings, detector.snapshot()["windows"]


def attempt(seed: int) -> tuple[int, int, int]:
    """One set of files over some events; how many rules were taken, how many events, how many findings they gave."""
    begun = time.process_time()
    dice = random.Random(seed)
    texts = [text if dice.random() < 0.5 else bent_text(dice, [text]) for text in SEEDS]
    files = [(f"{place}.yml", text) for place, text in enumerate(texts)]
    dice.shuffle(files)
    found = parse_rules(files, Reading(NAMES))
    for problem in found.problems:
        assert problem.message.strip(), problem
        assert 0 <= problem.line <= dict(files)[problem.path].count("\n") + 2, problem
    data = lines(dice)
    fields = decoded_fields(frozenset[str]().union(*(rule.needs for rule in found.rules)))
    cut, events_max = dice.randrange(2**32), dice.choice([1_000_000, 1_000_000, 5])
    told = []
    for native in ("1", "0"):
        if native == "1" and kernel.module is None:
            continue
        os.environ["MINIWATCH_NATIVE"] = native
        one = admitted(native == "1", data, fields)
        batches = stream(one.frame, random.Random(cut)) if one.frame.height else []
        told.append((one.frame.to_dict(as_series=False), one.dead_letters, said(found, batches, events_max)))
    first = told[0]
    for other in told[1:]:
        assert repr(first[0]) == repr(other[0])  # not-a-number is not equal to itself
        assert first[1] == other[1]
        assert first[2][:2] == other[2][:2]
        assert first[2][2].equals(other[2][2])
    assert time.process_time() - begun < CPU_S_MAX
    return len(found.rules), len(first[0]["_line"]), sum(map(len, first[2][1]))


@pytest.fixture(autouse=True)
def _native(monkeypatch):
    monkeypatch.setenv("MINIWATCH_NATIVE", "1")  # what a test sets is taken back


def test_the_seeds_are_whole_and_find_something():
    found = parse_rules([(f"{place}.yml", text) for place, text in enumerate(SEEDS)], Reading(NAMES))
    assert [str(one) for one in found.problems] == []
    assert len(found.rules) == 3 + len(WINDOWS) + 2
    assert sum(attempt(seed)[2] for seed in range(10)) > 50


@given(st.integers(min_value=0, max_value=2**63))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_spoilt_correlations_and_filters_are_taken_or_refused_and_both_ways_say_the_same(seed):
    attempt(seed)


@pytest.mark.slow
def test_very_many_spoilt_correlations_and_filters_over_odd_events():
    end = time.monotonic() + float(os.environ.get("FUZZ_S", "60"))
    seed, begun = random.SystemRandom().randrange(2**40), time.monotonic()
    tries, totals = 0, [0, 0, 0]
    while time.monotonic() < end:
        seed += 1
        try:
            totals = [total + one for total, one in zip(totals, attempt(seed), strict=True)]
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        tries += 1
    print(
        f"{tries} tries in {time.monotonic() - begun:.0f} s: {totals[0]} rules, {totals[1]} events, {totals[2]} findings"
    )
