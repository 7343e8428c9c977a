"""One subject against many: told where it is unusual, for others and for itself."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from crowds import (
    HOUR,
    SECOND,
    START,
    counted,
    cut,
    events,
    logins,
    named,
    of,
    only,
    payments,
    readings,
    remembers,
    seen,
    stored,
    stream,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detector import State
from detectors.event import Batch
from detectors.finding import Finding
from detectors.statistical import calibration, subjects
from detectors.statistical.fanout import Fanout, FanoutConfig
from detectors.statistical.relations import relations_of, subjects_of
from detectors.statistical.windows import Window

HOURS = 30
LAST = (HOURS - 2) * HOUR


def crowd(seed: int = 5) -> list[pl.DataFrame]:
    rng = np.random.default_rng(seed)
    return [logins(rng, HOURS, 1_500), payments(rng, HOURS, 600), readings(rng, HOURS, 600)]


BEFORE = 24 * HOUR + START
"""From then on something may happen."""


@cache
def learned() -> tuple[State, pl.DataFrame]:
    """What is remembered after a day of the crowd, and the rest of it."""
    whole = stream(*crowd())
    detector = only("fanout")
    first = whole.filter(pl.col("_time") < BEFORE)
    seen(detector, iter([Batch(first, int(first["_watermark"][-1]))]))
    return stored(detector.snapshot()), whole.filter(pl.col("_time") >= BEFORE).drop("_watermark", "_late")


def told(*more: pl.DataFrame) -> dict[str, Finding]:
    """What is told of the crowd and of what comes to it."""
    state, rest = learned()
    detector = only("fanout")
    detector.restore(state | dict(detector._series.snapshot()))
    return seen(detector, cut(stream(rest, *more)))


def stuffing(
    device: str, address: str, count: int, refused: float = 0.97, at: float = LAST, span: float = 0.3
) -> pl.DataFrame:
    """One device tries the accounts of many."""
    rng = np.random.default_rng(9)
    return events(
        at + np.sort(rng.random(count)) * span * HOUR,
        miniprogram__app_id="wx3",
        user__id=named("stolen", np.arange(count)),
        device__id=device,
        source__ip=address,
        event__dataset="miniprogram.gateway",
        event__action="code2Session",
        event__outcome=np.where(rng.random(count) < refused, "failure", "success"),
    )


def walker(person: str, count: int, app: str = "wx2") -> pl.DataFrame:
    """One person reads what many own."""
    return events(
        LAST + np.arange(count) * 20 * SECOND,
        miniprogram__app_id=app,
        user__id=person,
        resource__owner_id=named("u", np.arange(count)),
        resource__id=named("r", np.arange(count)),
        event__dataset="miniprogram.gateway",
        event__action="access",
        event__outcome="success",
    )


def carding(device: str, count: int) -> pl.DataFrame:
    """One device tries many payers' cards with small amounts."""
    return events(
        LAST + np.arange(count) * 30 * SECOND,
        miniprogram__app_id="wx4",
        user__id="carder",
        payment__payer_id=named("card", np.arange(count)),
        device__id=device,
        event__dataset="miniprogram.payment",
        event__action="requestPayment",
        event__outcome=np.where(np.arange(count) % 4 == 0, "success", "failure"),
        payment__amount=np.arange(count) % 50 + 1,
    )


def test_an_honest_crowd_is_left_alone():
    assert of(told()) == set()


def test_a_device_that_tries_many_accounts_is_told_and_a_carriers_address_is_not():
    found = told(stuffing("bad", "nat1", 20))
    assert of(found) == {"bad"}
    (one,) = found.values()
    assert (one.entity.scope, one.tags) == ("DeviceId", ("behaviour.8",))


def shared(device: str, count: int, begin_h: float, hours: float, seed: int) -> pl.DataFrame:
    """People who log in at one device, and get in."""
    rng = np.random.default_rng(seed)
    return events(
        (begin_h + np.sort(rng.random(count)) * hours) * HOUR,
        miniprogram__app_id="wx5",
        user__id=named(f"guest{seed}-", np.arange(count)),
        device__id=device,
        source__ip=f"shop{seed}",
        event__dataset="miniprogram.gateway",
        event__action="code2Session",
        event__outcome="success",
    )


def test_a_new_device_of_a_shop_is_as_usual_as_those_of_other_shops_and_one_that_hundreds_come_to_is_not():
    tills = [shared(f"till{number}", 8 * HOURS, 0, HOURS, 100 + number) for number in range(6)]
    new = shared("new till", 14, HOURS - 2, 0.9, 200)
    farm = shared("farm", 300, HOURS - 2, 0.9, 201)
    found = seen(only("fanout"), cut(stream(*crowd(), *tills, new, farm)))
    assert of(found) == {"farm"}


def paid(device: str, count: int, begin_h: float, hours: float, seed: int) -> pl.DataFrame:
    """People who pay at one device."""
    rng = np.random.default_rng(seed)
    return events(
        (begin_h + np.sort(rng.random(count)) * hours) * HOUR,
        miniprogram__app_id="wx5",
        user__id=named(f"guest{seed}-", np.arange(count)),
        payment__payer_id=named(f"guest{seed}-", np.arange(count)),
        device__id=device,
        event__dataset="miniprogram.payment",
        event__action="requestPayment",
        event__outcome="success",
        payment__amount=np.full(count, 1_500),
    )


def test_a_new_till_takes_money_as_those_of_other_shops_do_and_one_at_which_hundreds_pay_does_not():
    tills = [paid(f"till{number}", 8 * HOURS, 0, HOURS, 100 + number) for number in range(3)]
    new, farm = paid("new till", 24, HOURS - 2, 0.9, 200), paid("farm", 300, HOURS - 2, 0.9, 201)
    found = seen(only("fanout"), cut(stream(*crowd(), *tills, new, farm)))
    assert of(found) == {"farm"}


def test_where_nobody_paid_at_a_till_before_as_many_may_pay_as_log_in_at_one():
    count = 200 * HOURS
    phones = paid("", count, 0, HOURS, 300).with_columns(named("phone", np.arange(count)).alias("device.id"))
    tills = [shared(f"till{number}", 8 * HOURS, 0, HOURS, 100 + number) for number in range(6)]
    new, farm = paid("new till", 24, HOURS - 2, 0.9, 200), paid("farm", 300, HOURS - 2, 0.9, 201)
    found = seen(only("fanout"), cut(stream(crowd()[0], phones, *tills, new, farm)))
    assert of(found) == {"farm"}


@pytest.mark.parametrize("at_home", [0, 20_000])
def test_a_till_is_crowded_where_its_app_is_and_told_of_where_it_is_alone(at_home):
    rng = np.random.default_rng(7)
    tills = [shared(f"till{number}", 8 * HOURS, 0, HOURS, 100 + number) for number in range(6)]
    crowded = shared("till0", 160, HOURS - 2, 0.9, 300)
    flash = shared("", at_home, HOURS - 2, 0.9, 301).with_columns(
        named("phone", rng.permutation(at_home)).alias("device.id"),
        named("home", rng.permutation(at_home)).alias("source.ip"),
    )
    found = seen(only("fanout"), cut(stream(*crowd(), *tills, crowded, flash)))
    assert of(found) == (set() if at_home else {"till0"})


def test_an_address_of_nobody_else_that_tries_many_accounts_is_told():
    assert "bad" in of(told(stuffing(None, "bad", 80)))


def test_an_outage_of_the_login_service_accuses_no_device_and_no_address():
    rng = np.random.default_rng(6)
    whole = logins(rng, HOURS, 1_500)
    down = pl.col("_time") >= START + LAST
    broken = whole.with_columns(pl.when(down).then(pl.lit("failure")).otherwise("event.outcome").alias("event.outcome"))
    assert of(seen(only("fanout"), cut(stream(broken)))) == set()


def test_who_walks_through_what_others_own_is_told_and_administrators_are_not():
    found = told(walker("walker", 60))
    assert of(found) == {"walker"}
    (one,) = found.values()
    assert one.tags == ("behaviour.10",)
    assert one.measured[0].name.endswith("of wx2")


def test_a_device_that_tries_many_cards_is_told_and_a_shops_till_is_not():
    found = told(carding("bad", 40))
    assert of(found) == {"bad"}
    assert {one.tags for one in found.values()} == {("behaviour.12",)}


def test_a_slow_drip_is_told_within_the_day():
    slow = stuffing("drip", "nat2", 24, refused=1.0, at=24.1 * HOUR, span=5.5)
    found = told(slow)
    assert "drip" in of(found)


def refused_reads(person: str, count: int, app: str = "wx7", hours: float = 5.0, seed: int = 3) -> pl.DataFrame:
    """One person asks for things of a shop and is refused each."""
    rng = np.random.default_rng(seed)
    return events(
        24.1 * HOUR + np.sort(rng.random(count)) * hours * HOUR,
        miniprogram__app_id=app,
        user__id=person,
        resource__owner_id="shop",
        resource__id=named(f"r{seed}-", np.arange(count)),
        event__dataset="miniprogram.gateway",
        event__action="access",
        event__outcome="failure",
    )


@pytest.mark.parametrize("others", [0, 40])
def test_who_is_refused_for_hours_where_all_are_is_left_alone(others):
    broken = [refused_reads(f"reader{number}", 6, seed=20 + number) for number in range(others)]
    found = told(refused_reads("eager", 24), *broken)
    assert ("eager" in of(found)) == (not others)


def test_an_attack_spread_over_many_addresses_is_told_of_the_app():
    count = 300
    spread = events(
        47 * HOUR + np.arange(count) * 10 * SECOND,
        miniprogram__app_id="wx3",
        miniprogram__developer_id="dev",
        user__id=named("stolen", np.arange(count)),
        device__id=named("rented", np.arange(count) // 2),
        source__ip=named("proxy", np.arange(count) // 2),
        event__action="code2Session",
        event__outcome="failure",
    )
    found = seen(only("fanout"), cut(stream(logins(np.random.default_rng(5), 49, 1_500, 100), spread)))
    assert of(found, "failing") == {"wx3"}


@pytest.fixture
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 50)
    monkeypatch.setattr(subjects, "PEOPLE_MIN", 5)


def stubborn(count: int, at: float) -> pl.DataFrame:
    """One person tries to log in and to pay again and again."""
    return events(
        at + np.arange(count) * 10 * SECOND,
        miniprogram__app_id="wx1",
        user__id="stubborn",
        device__id="d",
        source__ip="home",
        event__action="login",
        event__outcome=np.where(np.arange(count) % 3 == 0, "success", "failure"),
        payment__payer_id="p",
        payment__amount=1_000 - np.arange(count) * 7 % 50,
    )


LITTLE = stream(
    logins(np.random.default_rng(1), 7, 60, 3),
    payments(np.random.default_rng(2), 7, 30, 3),
    readings(np.random.default_rng(3), 7, 30, 3),
    stuffing("bad", "nat1", 20, at=5.2 * HOUR),
    stubborn(30, 5.5 * HOUR),
    stubborn(30, 6.9 * HOUR),
)
cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=25, unique=True).map(sorted)


@pytest.mark.usefixtures("_soon_learned")
def test_the_little_stream_has_something_to_tell():
    assert "bad" in of(seen(only("fanout"), cut(LITTLE)))


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=8)
@given(cuts)
def test_cutting_the_stream_changes_neither_what_is_seen_nor_what_is_remembered(at):
    whole, parts = only("fanout"), only("fanout")
    assert seen(whole, cut(LITTLE, goes_on=False)) == seen(parts, cut(LITTLE, at, goes_on=False))
    remembers(whole, parts)


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=6)
@given(cuts)
def test_stopping_and_starting_anew_equals_never_having_stopped(at):
    whole = only("fanout")
    expected = seen(whole, cut(LITTLE, goes_on=False))
    state: State | None = None
    found = {}
    for one in cut(LITTLE, at, goes_on=False):
        again = only("fanout")
        if state is not None:
            again.restore(state)
        found |= {key: each for key, each in seen(again, iter([one])).items() if key not in found}
        state = stored(again.snapshot()) | dict(again._series.snapshot())
    assert found == expected
    remembers(whole, again)


@pytest.mark.usefixtures("_soon_learned")
def test_the_same_stream_says_the_same_again():
    assert seen(only("fanout"), cut(LITTLE)) == seen(only("fanout"), cut(LITTLE))


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_the_order_within_a_window_does_not_matter(seed):
    window = counted(LITTLE).with_columns(window=pl.lit(START // 300_000_000))
    order = np.random.default_rng(seed).permutation(window.height)
    left, right = Fanout(), Fanout()
    left.count(window)
    right.count(window[order[:500]])
    right.count(window[order[500:]])
    for name, frame in left.snapshot().items():
        assert frame.equals(right.snapshot()[name]), name


def test_a_flood_of_subjects_leaves_memory_bounded_and_is_counted():
    config = FanoutConfig(pairs_max=50_000, pairs_per_app_max=20_000, subjects_max=10_000)
    statistic = Fanout(config)
    for turn in range(10):
        numbers = np.arange(turn * 100_000, (turn + 1) * 100_000)
        flood = events(
            numbers % 1_000 * SECOND / 4,
            miniprogram__app_id="wx1",
            user__id=named("u", numbers),
            device__id=named("d", numbers),
            source__ip=named("a", numbers),
            event__action="login",
            event__outcome="failure",
        )
        statistic.count(counted(flood))
    first = START // 300_000_000
    for index in range(first, first + 12):
        statistic.close(Window(index))
    assert statistic.forgotten > 3_000_000
    assert statistic.bytes < 10_000_000
    assert len(statistic._known) <= 10_000
    assert len(statistic._day) <= 10_000


def test_apps_are_counted_even_where_others_are_left_out():
    config = FanoutConfig(pairs_max=5_000, pairs_per_app_max=2_000)
    statistic = Fanout(config)
    numbers = np.arange(50_000)
    flood = events(numbers // 500, miniprogram__app_id="wx1", user__id=named("u", numbers), device__id=named("d", numbers), event__action="login")  # fmt: skip
    statistic.count(counted(flood))
    kept = statistic._window.take(START // 300_000_000)
    relation = relations_of(subjects_of(kept["key"].to_numpy()))
    assert (relation == 7).sum() == 2_000
