"""The archives of several streams, gone through again: what is found does not depend on how the log was shared out."""

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from partition_site import Site, log_of, spread_log, told_lines, whole_lineup

from detectors.event import WATERMARK
from detectors.sigma import SigmaDetector
from detectors.sigma.parting import Part
from monitor.backtest.archived import together
from monitor.backtest.record import PastRecord
from monitor.backtest.rerun import past_of, rerun
from monitor.testing.logs import MemoryHits


def found_again(site, rules):
    """What a run over the archive finds, each with its count."""
    found = []
    windows = {rule.id for rule in rules if rule.is_correlation}
    with past_of(site.config) as past:
        rerun(past, [SigmaDetector(rules)], PastRecord(found.append, whole_at_once=windows))
    return sorted((one.id, one.entity, one.rule.id, one.evidence.count) for one in found)


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_past_of_several_partitions_is_gone_through_as_one(tmp_path, partitions):
    lines, lineup = told_lines(7, 4_000), whole_lineup()
    (rules,) = [one.rules for one in lineup(Part.WHOLE).detectors]
    site = Site(tmp_path, spread_log(lines, partitions, random.Random(1)), lineup, hits=MemoryHits("kafka:hits", 1))
    site.read_alone()
    again = found_again(site, rules)
    assert len(again) > 50
    alone = Site(tmp_path / "alone", log_of(lines, 1), lineup).read_alone()
    assert again == alone.findings()


@given(st.lists(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=4), min_size=1, max_size=3))
def test_turns_come_together_in_the_order_of_their_watermarks(streams):
    told = []
    for number, turns in enumerate(streams):
        reached, frames = 0, []
        for turn in turns:
            marks = [reached := reached + step for step in turn]
            frames.append(
                pl.DataFrame(
                    {WATERMARK: marks, "stream": [number] * len(marks)},
                    schema={WATERMARK: pl.Int64, "stream": pl.Int64},
                )
            )
        told.append(frames)
    whole = list(together([iter(frames) for frames in told]))
    rows = [row for frame in whole for row in frame.rows()]
    assert rows == sorted(rows, key=lambda row: row[0])
    for number, frames in enumerate(told):
        assert [row for row in rows if row[1] == number] == [row for frame in frames for row in frame.rows()]
