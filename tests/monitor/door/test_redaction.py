"""Redaction: what is a secret or a person goes, what only looks like one stays, and no line takes long."""

import hashlib
import json
import re
import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redactable import GONE, PIECES, SECRET, STAYS, body, line_of

from detectors.event import LINE
from monitor.door.redaction import ROUNDS_MAX, redact, redact_tree, suspects

LINE_BYTES = 1 << 20
SECONDS_MAX = 10  # what takes as long as its square takes minutes; a line of a busy machine's may take a few seconds


def hash_of(text):
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def by_columns(line):
    return redact(pl.Series(LINE, [line]), hash_of)[LINE][0]


def by_tree(line):
    return redact_tree(line, hash_of)[0]


@pytest.mark.parametrize("way", [by_columns, by_tree])
@pytest.mark.parametrize(("line", "secret"), GONE.values(), ids=GONE)
def test_a_secret_is_gone(line, secret, way):
    assert secret not in way(line)
    assert suspects(pl.Series(LINE, [line])).all()


@pytest.mark.parametrize("way", [by_columns, by_tree])
@pytest.mark.parametrize("line", STAYS.values(), ids=STAYS)
def test_what_only_looks_like_a_secret_stays(line, way):
    assert json.loads(way(line)) == json.loads(line)


def test_what_stands_after_a_secret_stays():
    line = body(password='a"b\\', next="stays")
    for way in (by_columns, by_tree):
        assert json.loads(json.loads(way(line))["message"])["next"] == "stays"


def test_the_same_digits_inside_of_a_longer_number_stay():
    line = line_of("13812345678 and 99138123456789")
    assert by_columns(line).endswith('> and 99138123456789"}')


def test_a_line_with_many_matches_is_replaced_like_one_with_few():
    parts = [f"password=hunter{number}" for number in range(3 * ROUNDS_MAX)]
    few = redact(pl.Series(LINE, [line_of(part) for part in parts]), hash_of)
    many = redact(pl.Series(LINE, [line_of(" ".join(parts)), line_of(SECRET)]), hash_of)
    assert json.loads(many[LINE][0])["message"] == " ".join(json.loads(line)["message"] for line in few[LINE])
    assert many["kinds"].to_list() == [["password"], None]


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=12).map(lambda pieces: re.sub("[\n\ud800-\udfff]", "", "".join(pieces))))
def test_what_redaction_changes_is_a_suspect(line):
    if by_columns(line) != line:
        assert suspects(pl.Series(LINE, [line])).all()


def numbered(piece):
    """As many of these as fill a line, each with a number of its own."""
    return "".join(piece % number for number in range(LINE_BYTES // len(piece % 0)))


@pytest.mark.parametrize("way", [by_columns, by_tree])
@pytest.mark.parametrize(
    "piece",
    [
        "138%08d,",
        "openid=oUpF8uMuAJO%010d&",
        "-----BEGIN PRIVATE KEY-----%d",
        "password=hunter%d;",
        "eyJhbGciOi.eyJ%d.abc ",
        "eyJ-138%08d-",
        "token=a/b%d.c/",
        "<openid>oUpF8uMuAJO%010d",
        "<token><![CDATA[]%d",
        "<%d",
        "<sub_a%d:",
        "openid:[oUpF8uMuAJO%010d,",
        "token:['%d",
        "token:[\\\\n%d[",
        "password:[a%d,",
        "u003c%d",
    ],
)
def test_a_long_line_full_of_matches_takes_seconds(piece, way):
    line = line_of(numbered(piece))
    begun = time.process_time()
    way(line)
    assert time.process_time() - begun < SECONDS_MAX
