"""How many are active, and who stands behind an address: counted about, alike however the stream is cut."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import LATE, TIME, WATERMARK
from detectors.finding import Entity, Scope
from monitor.surroundings.activity import SPAN_US, Activity
from monitor.surroundings.neighbours import GENERATION_US, PLACES, Neighbours
from monitor.surroundings.passers import passers
from playbooks.surroundings import Active, Behind

NOON = 1_780_315_200 * 1_000_000
REACH_S = 302.0
LAG = 3 * SPAN_US  # what that comes to, in whole spans


def events(rows):
    """Events of (time, app, user, device, address, late)."""
    text = dict.fromkeys(("miniprogram.app_id", "user.id", "device.id", "source.ip"), pl.String)
    frame = pl.DataFrame(rows, schema={TIME: pl.Int64, **text, LATE: pl.Boolean}, orient="row")
    return frame.with_columns(pl.col(TIME).cum_max().alias(WATERMARK))


def crowd(people, apps=1, at=NOON, address="203.0.113.7"):
    return events([(at, f"wx{n % apps}", f"u{n}", None, address, False) for n in range(people)])


def watched(memory, *frames):
    for frame in frames:
        memory.observe(passers(frame))
    if isinstance(memory, Neighbours):
        memory.settle()
    return memory


def tick(at):
    return events([(at, None, None, None, None, False)])


def closed(*frames, at=NOON):
    """What was active around a time, told a while after."""
    later = at + LAG
    return watched(Activity(REACH_S), *frames, tick(later)).at(later)


@pytest.mark.parametrize("people", [0, 1, 50, 3_000, 50_000])
def test_people_and_apps_are_counted_about(people):
    active = closed(crowd(people, apps=max(people // 3, 1)))
    assert active.people == pytest.approx(people, rel=0.05, abs=1)
    assert active.apps == pytest.approx(people // 3 or min(people, 1), rel=0.05, abs=1)


def test_who_comes_again_is_counted_once_an_hour():
    assert closed(crowd(500), crowd(500, at=NOON - 600_000_000)).people == pytest.approx(500, rel=0.05)


def test_after_an_hour_who_does_not_come_again_is_not_active():
    assert closed(crowd(500, at=NOON - 3_900_000_000), crowd(20)).people == pytest.approx(20, abs=1)


def test_late_events_are_not_counted():
    late = crowd(500).with_columns(pl.lit(value=True).alias(LATE))
    assert closed(late, crowd(5)).people == pytest.approx(5, abs=1)


def test_where_nobody_is_named_an_address_stands_for_a_person():
    rows = [(NOON, "wx1", None, None, f"203.0.113.{n}", False) for n in range(100)]
    assert closed(events(rows)).people == pytest.approx(100, rel=0.05)


def test_before_anything_was_seen_nobody_knows():
    assert Activity(REACH_S).at(NOON) == Active()


def test_memory_is_bounded_over_a_year_of_events():
    memory = Activity(REACH_S)
    for day in range(0, 365, 5):
        watched(memory, crowd(10, at=NOON + day * 86_400_000_000))
    assert sum(frame.estimated_size() for frame in memory.snapshot().values()) < 400_000


STREAMS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from([None, *(f"wx{n}" for n in range(9))]),
        st.sampled_from([None, *(f"u{n}" for n in range(9))]),
        st.just(None),
        st.sampled_from([None, *(f"203.0.113.{n}" for n in range(4))]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=40,
)


@st.composite
def parts(draw):
    """A stream whose times go on, and the batches that it comes in; few spans between neighbours, and now and then very many."""
    time, batches = NOON, []
    for batch in draw(st.lists(STREAMS, max_size=6)):
        rows = []
        for ahead, *who, late in batch:
            time += 0 if late else draw(st.sampled_from([0, 0, 1, 60, 3_600, 90_000])) * 1_000_000
            rows.append((time - (1_000_000_000 if late else ahead * 7_000_000), *who, late))
        batches.append(events(rows))
    return batches


def told(batches):
    """Who was active at each event, asked when its batch has come."""
    memory, answers = Activity(REACH_S), []
    for batch in batches:
        watched(memory, batch)
        answers += [memory.at(time) for time in batch[TIME].to_list()]
    return answers


@settings(max_examples=150, deadline=None)
@given(parts())
def test_the_counts_do_not_depend_on_how_the_stream_is_cut(batches):
    whole = pl.concat([events([]), *batches])
    single = [whole.slice(row, 1) for row in range(whole.height)]
    expected = told(single)
    assert told(batches) == expected
    assert told([whole]) == expected


@settings(max_examples=100, deadline=None)
@given(parts())
def test_neighbours_do_not_depend_on_how_the_stream_is_cut(batches):
    whole = pl.concat([events([]), *batches])
    cuts = [watched(Neighbours(), *cut) for cut in ([whole], batches)]
    for name in range(4):
        assert len({cut.behind(Entity(Scope.ADDRESS, f"203.0.113.{name}")) for cut in cuts}) == 1


@settings(max_examples=60, deadline=None)
@given(parts(), st.data())
def test_taking_up_a_snapshot_is_never_having_stopped(batches, data):
    stop = data.draw(st.integers(0, len(batches)))
    for kind in (lambda: Activity(REACH_S), Neighbours):
        straight, resumed = watched(kind(), *batches), kind()
        resumed.restore(watched(kind(), *batches[:stop]).snapshot())
        watched(resumed, *batches[stop:])
        assert all(straight.snapshot()[name].equals(frame) for name, frame in resumed.snapshot().items())


def test_a_snapshot_of_an_earlier_version_has_none_of_it():
    for memory in (Activity(REACH_S), Neighbours()):
        memory.restore({})


# Who stands behind an address


def behind(frame, value="203.0.113.7", scope=Scope.ADDRESS):
    return watched(Neighbours(), frame).behind(Entity(scope, value))


def test_people_behind_an_address_are_counted_about():
    few, many = behind(crowd(3)), behind(crowd(60, apps=40))
    assert 1 <= few.people <= 4
    assert few.apps == 1
    assert many.people > 25
    assert many.apps > 20


def test_a_quiet_address_has_nobody_behind_it():
    assert behind(crowd(60), "203.0.113.8") == Behind()
    assert behind(crowd(60), "not an address") == Behind()
    assert behind(crowd(60), "wx01", Scope.APP) == Behind()


def test_a_range_has_all_those_of_its_addresses_behind_it():
    frame = pl.concat(
        [crowd(5, address=f"203.0.113.{n}").with_columns(pl.lit(f"u{n}").alias("user.id")) for n in range(40)]
    )
    assert behind(frame, "203.0.113.0/24", Scope.RANGE).people > 25
    assert behind(frame, "203.0.113.7", Scope.RANGE).people == 1
    assert behind(frame, "10.0.0.0/8", Scope.RANGE).people == 2**24


def test_who_was_there_a_day_ago_is_not_behind_an_address_now():
    memory = watched(Neighbours(), crowd(60), crowd(2, at=NOON + 2 * GENERATION_US, address="203.0.113.9"))
    assert memory.behind(Entity(Scope.ADDRESS, "203.0.113.7")) == Behind()


def test_addresses_that_fill_the_tables_blur_little():
    rng = np.random.default_rng(5)
    rows = [(NOON, "wx1", f"u{n}", None, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", False) for n in range(PLACES)]
    memory = watched(Neighbours(), events(rows))
    found = [memory.behind(Entity(Scope.ADDRESS, rows[n][4])).people for n in rng.integers(0, PLACES, 500)]
    assert np.mean(found) < 2
    assert max(found) < 10
