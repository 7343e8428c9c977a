"""What streams tell of who comes by, put together, is what one stream knows that sees all: however they are cut, and whoever dies."""

from collections import deque

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import LATE, TIME, WATERMARK
from detectors.finding import Entity, Scope
from monitor.surroundings import Surroundings
from monitor.surroundings.activity import SPAN_US, Activity
from monitor.surroundings.gathered import Gathered
from monitor.surroundings.neighbours import GENERATION_US, Neighbours
from monitor.surroundings.news import moment_of
from monitor.surroundings.telling import Telling, telling
from playbooks.testing import finding

NOON = 1_780_315_200 * 1_000_000
LATENESS = 2_000_000
APPS, STREAMS = 7, 3


def surroundings(kind=Surroundings):
    return kind(Activity(302.0), Neighbours(), None, LATENESS)


def stream():
    return telling(surroundings())


def events(rows):
    """Events of (time, app, user, address, late, watermark)."""
    schema = {TIME: pl.Int64, "miniprogram.app_id": pl.String, "user.id": pl.String, "source.ip": pl.String}
    frame = pl.DataFrame(rows, schema={**schema, LATE: pl.Boolean, WATERMARK: pl.Int64}, orient="row")
    return frame.with_columns(pl.lit(None, pl.String).alias("device.id"))


SMALL_US = (0, 0, 1_000, 400_000, 400_000, 1_000_000, 1_000_000, 2_000_000)
STEPS_US = (*SMALL_US, *SMALL_US, 30_000_000, SPAN_US, 4_000_000_000, GENERATION_US, 3 * GENERATION_US)


@st.composite
def logs(draw):
    """Rows in the order of arrival, whose times are behind that or ahead of it, and late where they are far behind."""
    mark, rows = NOON, []
    for _ in range(draw(st.integers(1, 40))):
        mark += draw(st.sampled_from(STEPS_US))
        app, user, address = draw(st.integers(0, APPS - 1)), draw(st.integers(0, 8)), draw(st.integers(0, 1))
        off = draw(st.sampled_from([-500_000_000, -1, 1, LATENESS, LATENESS, 299_000_000]))
        who = f"wx{app}", f"u{user}" if user else None, f"203.0.113.{address}" if address else None
        rows.append((mark + off, *who, off < 0, mark))
    return rows


def found(row):
    """A finding of an event, and its place in the order of arrivals."""
    time, *_, address, _late, mark = row
    entity = Entity(Scope.ADDRESS, address) if address else Entity(Scope.RANGE, "203.0.113.0/30")
    return finding(entity=entity, time=time, id=f"{mark}-{time}-{entity.value}"), mark + LATENESS


def asked(around, row):
    one, order = found(row)
    told = around.behind([one], {one.id: order})[one.id]
    return around.active([one])[one.id], told


def by_one(rows, cut):
    """What one stream says of each event once the turn with it has come."""
    around, answers = surroundings(), []
    while rows:
        turn, rows = rows[:cut], rows[cut:]
        around.observe(events(turn))
        answers += [asked(around, row) for row in turn]
    around.neighbours.settle()
    return answers, around


class Partition:
    """One of several streams, and who works on it."""

    def __init__(self, rows):
        self.rows = rows
        self.done = self.turn = 0
        self.kept = 0, stream().snapshot()
        self.around = stream()

    @property
    def reached(self):
        if self.done == len(self.rows):
            return 2**62
        return self.rows[self.done - 1][-1] if self.done else 0

    def work(self, size):
        """A turn; what it tells."""
        rows = self.rows[self.done : self.done + size]
        self.around.observe(events(rows))
        self.done += len(rows)
        self.turn += 1
        watermark = rows[-1][-1] if rows else self.reached
        told = self.around.news(watermark, all_of_it=self.done == len(self.rows))
        if told:
            self.around.was_told()
        return told

    def keep(self):
        self.kept = self.done, self.around.snapshot()

    def die(self):
        """Another begins with what was kept, and reads again from there."""
        begun, state = self.kept
        self.around = stream()
        self.around.restore(state)
        for row in self.rows[begun : self.done]:
            self.around.observe(events([row]))


class Answering:
    """Whoever answers: hears what was told, and dies now and then."""

    def __init__(self, rows):
        self.waiting = deque(rows)
        self.record, self.kept = [], None
        self.answers = []
        self.around = surroundings(Gathered)

    def hear(self, stream, turn, told):
        self.record.append((stream, turn, told))
        self.around.hear(stream, turn, told)

    def answer(self, horizon):
        self.around.all_have_told(moment_of(horizon))
        while self.waiting and self.waiting[0][-1] < horizon:
            self.answers.append(asked(self.around, self.waiting.popleft()))
        self.around.settle(moment_of(min(horizon, self.waiting[0][-1] if self.waiting else horizon)))

    def keep(self):
        self.kept, turns = self.around.kept()
        self.record = [row for row in self.record if row[1] > turns.get(row[0], 0)]

    def die(self):
        self.around = surroundings(Gathered)
        self.around.begin(self.kept)
        for row in self.record:
            self.around.hear(*row)


def by_many(rows, chance):
    """What is said of each event where streams by app tell, as soon as none of them can say anything earlier."""
    partitions = [Partition([row for row in rows if int(row[1][2:]) % STREAMS == number]) for number in range(STREAMS)]
    answering = Answering(rows)
    while any(one.done < len(one.rows) for one in partitions):
        number = chance.draw(st.integers(0, STREAMS - 1))
        one = partitions[number]
        if told := one.work(chance.draw(st.integers(1, 6))):
            answering.hear(str(number), one.turn, told)
        answering.answer(min(each.reached for each in partitions))
        for act in chance.draw(
            st.lists(st.sampled_from([one.keep, one.die, answering.keep, answering.die]), max_size=2)
        ):
            act()
    for number, one in enumerate(partitions):
        if told := one.work(1):
            answering.hear(str(number), one.turn, told)
    answering.answer(2**62)
    answering.around.settle(None)
    return answering.answers, answering.around


@settings(max_examples=150, deadline=None)
@given(logs(), st.integers(1, 9), st.data())
def test_many_streams_know_together_what_one_knows(rows, cut, chance):
    expected, one = by_one(rows, cut)
    answers, together = by_many(rows, chance)
    assert answers == expected
    for name, frame in one.neighbours.snapshot().items():
        assert together.neighbours.snapshot()[name].equals(frame), name
    assert together.activity.snapshot()["activity"].equals(one.activity.snapshot()["activity"])
    times = [row[0] + spans * SPAN_US for row in rows for spans in range(-15, 16, 5)]
    assert [together.activity.at(time) for time in times] == [one.activity.at(time) for time in times]


@settings(max_examples=50, deadline=None)
@given(logs(), st.integers(1, 9), st.integers(1, 9))
def test_what_one_stream_says_does_not_depend_on_its_turns(rows, cut, other):
    assert by_one(rows, cut)[0] == by_one(rows, other)[0]


def crowd(people, mark=NOON):
    return events([(mark, f"wx{n % 5}", f"u{n}", "203.0.113.7", False, mark) for n in range(people)])


def test_a_memory_that_told_nothing_before_is_told_whole():
    old = surroundings()
    old.observe(crowd(40))
    old.neighbours.settle()
    state = {name: frame for name, frame in old.snapshot().items() if not name.endswith("_waiting")}
    begun = stream()
    begun.restore(state)
    gathered = surroundings(Gathered)
    gathered.hear("a", 1, begun.news(NOON, all_of_it=False))
    begun.was_told()
    assert not begun.has_news
    address = Entity(Scope.ADDRESS, "203.0.113.7")
    assert gathered.neighbours.behind(address) == old.neighbours.behind(address)
    assert gathered.neighbours.behind(address).people > 20


def test_more_than_may_wait_is_told_whole(monkeypatch):
    monkeypatch.setattr("monitor.surroundings.telling.UNTOLD_MAX", 50)
    one, gathered = stream(), surroundings(Gathered)
    one.observe(crowd(60))
    assert not one.neighbours.waiting.has()
    gathered.hear("a", 1, one.news(NOON, all_of_it=True))
    assert gathered.neighbours.behind(Entity(Scope.ADDRESS, "203.0.113.7")).people > 25


def test_what_is_new_waits_until_a_moment_has_passed_and_is_told_once():
    one = stream()
    one.observe(crowd(3))
    assert one.news(NOON, all_of_it=False) == b""
    assert one.news(NOON + 1_000_000, all_of_it=False)
    assert one.news(NOON, all_of_it=True)
    one.was_told()
    one.observe(crowd(3))
    assert not one.has_news


def test_of_a_stream_that_is_far_behind_no_more_waits_than_may(monkeypatch):
    monkeypatch.setattr("monitor.surroundings.gathered.WAITING_MAX", 50)
    one, gathered = stream(), surroundings(Gathered)
    one.observe(crowd(60))
    gathered.hear("a", 1, one.news(NOON, all_of_it=True))
    assert not gathered.neighbours.waiting.has()
    assert gathered.kept()[1] == {"a": 1}


def test_what_is_spoilt_is_refused():
    one = stream()
    one.observe(crowd(60))
    told = one.news(NOON, all_of_it=True)
    with pytest.raises(ValueError, match="spoilt"):
        surroundings(Gathered).hear("a", 1, told.replace(b"x\x01", b"y\x01", 1))


def test_streams_that_tell_are_streams():
    assert isinstance(stream(), Telling)
