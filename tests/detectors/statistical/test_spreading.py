"""Hosts that several apps begin to ask at once: told where nothing explains it, and for nobody who goes where everybody goes."""

from __future__ import annotations

from functools import cache, partial

import polars as pl
import pytest
from crowds import HOUR, START, stored, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import NO_SHRINKING, check_cut, check_replay, check_resume, told, with_only
from shops import bare, shops, since, visits

from detectors.detector import State
from detectors.event import TIME, WATERMARK, Batch
from detectors.finding import Finding
from detectors.statistical import calibration, shown, spreading
from detectors.statistical.spreading import SpreadingConfig

BEFORE = 108.0
AT = BEFORE + 1.0
LOOKING = partial(with_only, "spreading")


@cache
def learned() -> tuple[State, pl.DataFrame]:
    """What is remembered of sixty apps after four days and a half, some of which take up a host of their own now and then; and what follows."""
    hours = int(BEFORE) + 30
    whole = stream(
        shops(3, 60, hours, 4),
        *(visits(f"wx{30 + one}", 76.0 + one, 1, 2, host=f"own{one}.example", seed=one) for one in range(20)),
    )
    first = whole.filter(pl.col(TIME) < START + int(BEFORE * HOUR))
    detector = LOOKING()
    detector.observe(Batch(first, int(first[WATERMARK][-1])))
    return stored(detector.snapshot()), bare(since(whole, BEFORE))


def happens(*more: pl.DataFrame) -> dict[tuple[str, str], Finding]:
    """What is told when this happens beside the usual."""
    state, rest = learned()
    detector = LOOKING()
    detector.restore(state)
    return told(detector, stream(rest, *more))


def begins(apps: int, host: str = "meet.example", begin: float = AT, **columns: object) -> list[pl.DataFrame]:
    """Apps that begin to ask a host, one after the other, a few times."""
    return [visits(f"wx{one}", begin + 3 * one, 1, 2, host=host, each=1, seed=one, **columns) for one in range(apps)]


def test_usual_traffic_is_left_alone():
    assert happens() == {}


def test_a_host_that_several_apps_begin_to_ask_is_told_with_who_they_are():
    found = happens(*begins(5))
    assert set(found) == {("meet.example", "spreading")}
    (one,) = found.values()
    assert one.entity.scope.value == "Domain"
    assert one.tags == ("behaviour.4",)
    assert one.owner == "dev"
    assert "wx0, wx1, wx2" in one.title


@pytest.mark.parametrize(
    ("what", "more"),
    [
        (
            "each app a host of its own",
            [one for app in range(5) for one in begins(5, f"h{app}.example")[app : app + 1]],
        ),
        ("with a version", begins(5, version="2.0", app__declared_domains='["meet.example"]')),
        ("a host that everybody has", begins(5, "api.shop1.example")[:1]),
        ("days apart", begins(1) + begins(2, begin=AT + 20)[1:]),
    ],
)
def test_what_is_none(what, more):
    assert happens(*more) == {}, what


def test_many_invented_hosts_take_no_more_room_than_there_is():
    detector = with_only("spreading", spreading=SpreadingConfig(taken_max=50))
    state, rest = learned()
    detector.restore(state)
    names = pl.select("h" + pl.int_range(400).cast(pl.String)).to_series()
    flood = visits("wx9", AT, 1, 400, host="x", each=1).with_columns(names.alias("url.domain"))
    told(detector, stream(rest, flood))
    one = next(each for each in detector._statistics if each.name == "spreading")
    assert len(one._taken) <= 50
    assert one.forgotten >= 350


# Laws


@pytest.fixture
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 6)
    for module in (shown, spreading):
        monkeypatch.setattr(module, "LEARNING", 24)


LITTLE = stream(
    shops(1, 6, 8, 8),
    *(visits(f"wx{one % 6}", 0.5, 1, 1, host=f"own{one}.example", each=1, seed=50 + one) for one in range(80)),
    *(visits(f"wx{one}", 5 + one / 2, 0.2, 2, host="meet.example", each=1, seed=one) for one in range(4)),
)
cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=25, unique=True).map(sorted)


@pytest.mark.usefixtures("_soon_learned")
def test_the_little_stream_has_something_to_tell():
    assert ("meet.example", "spreading") in told(LOOKING(), LITTLE)


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=6, phases=NO_SHRINKING)
@given(cuts)
def test_cutting_the_stream_changes_neither_what_is_seen_nor_what_is_remembered(at):
    check_cut(LOOKING, LITTLE, at)


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=5, phases=NO_SHRINKING)
@given(cuts)
def test_stopping_and_starting_anew_equals_never_having_stopped(at):
    check_resume(LOOKING, LITTLE, at)


@pytest.mark.usefixtures("_soon_learned")
def test_the_same_stream_says_the_same_again():
    check_replay(LOOKING, LITTLE)
