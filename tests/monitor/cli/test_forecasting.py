"""`miniwatch doctor --forecast`: what an operator reads of what is full next."""

import json
import math
import re
import sys
from pathlib import Path

import pytest

from monitor.cli.forecasting import COLUMNS, of_told, share_told, size_told, told
from monitor.cli.options import Form
from monitor.cli.printing import write_rows
from monitor.clock import now_us
from monitor.forecasting.outlook import forecasts
from monitor.kept import Kept
from monitor.moments import DAY_US, HOUR_US
from monitor.stores import Segment, Turn
from monitor.stores.folders import ArchiveFolder
from monitor.stores.measured import SLOT_S, Gauge, Measurement

SLOT = SLOT_S * 1_000_000
THEN = 20_422 * DAY_US + 7 * HOUR_US  # 2025-11-30T07:00
GIB = float(1 << 30)
FOLDER = "/var/lib/miniwatch"


def measured(what, value, days, bound=None, host="n1", place=FOLDER, until=THEN):
    begin = until - int(days * DAY_US)
    return [
        Measurement(what=what, host=host, place=place, time=at, value=value((at - begin) / DAY_US), bound=bound)
        for at in range(begin, until + 1, SLOT)
    ]


def installation(days=10.0, until=THEN, place=FOLDER):
    """A disk that fills, a worker that gets busier, a partition that is behind, and what does not grow."""
    day = (8, 13, 10)

    def used(at):
        return (140 + sum(day[n % 3] for n in range(int(at))) + day[int(at) % 3] * (at % 1)) * GIB

    where = {"until": until, "place": place}
    return [
        *measured(Gauge.ARCHIVE, lambda at: used(at) - 80 * GIB, days, **where),
        *measured(Gauge.BUSY, lambda at: (0.5 + 0.02 * at) * (0.6 + 0.4 * math.sin(6.28 * at)), days, 1.0, **where),
        *measured(Gauge.DISK, used, days, 400 * GIB, **where),
        *measured(Gauge.LAG, lambda at: max(0, at - days + 0.2) * 3 * GIB, days, GIB, "", "kafka:calls/3", until),
        *measured(Gauge.RECORD, lambda at: (2 + at / 40) * GIB, days, **where),
        *measured(Gauge.SPOOL, lambda _at: GIB / 40, days, 4 * GIB, **where),
    ]


def expected(rows, first_day=""):
    return forecasts(rows, retention_days=180, first_days={("n1", FOLDER): first_day}, turn_bytes=1 << 25)


def shown(found, width, monkeypatch, capsys):
    """The table as a terminal of this width has it, without colours."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    write_rows(Form.TABLE, [told(one, found) for one in found], COLUMNS)
    said = capsys.readouterr()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", said.out).splitlines()
    assert max(map(len, lines)) <= width
    return "\n".join(line.rstrip() for line in lines), said.err


WIDE = """\
WHAT                        STATE    NOW                A DAY      FULL IN  RESTS ON      FOUND
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
lag of kafka:calls/3        problem  0.6 of 1 GiB       +3 GiB     3 h      4 h 45 min    more comes than is read:
                                                                                          grows by 128 MiB an hour for
                                                                                          4 h 45 min; not ready from
                                                                                          2025-11-30 10:12
disk /var/lib/miniwatch     ok       241 of 400 GiB     +10.3 GiB  15 d     10 d by days  full on 2025-12-15, between
                                                                                          2025-12-14 and 2025-12-16
busy /var/lib/miniwatch     ok       69 %               +2.0 %     15 d     10 d by days  busy all the time from
                                                                                          2025-12-16; at its busiest,
                                                                                          1.5 times as much can come
spool /var/lib/miniwatch    ok       25.6 MiB of 4 GiB                                    is read as it comes
archive /var/lib/miniwatch  ok       161 GiB            +10.3 GiB           10 d by days  is part of what the disk
                                                                                          holds
record /var/lib/miniwatch   ok       2.2 GiB            +25.6 MiB           10 d by days  is part of what the disk
                                                                                          holds"""

NARROW = """\
WHAT                 STATE    NOW                FULL IN  FOUND
──────────────────────────────────────────────────────────────────────────────
lag of               problem  0.6 of 1 GiB       3 h      more comes than is
kafka:calls/3                                             read: grows by 128
                                                          MiB an hour for 4 h
                                                          45 min; not ready
                                                          from 2025-11-30
                                                          10:12
disk                 ok       241 of 400 GiB     15 d     full on 2025-12-15,
/var/lib/miniwatch                                        between 2025-12-14
                                                          and 2025-12-16
busy                 ok       69 %               15 d     busy all the time
/var/lib/miniwatch                                        from 2025-12-16; at
                                                          its busiest, 1.5
                                                          times as much can
                                                          come
spool                ok       25.6 MiB of 4 GiB           is read as it comes
/var/lib/miniwatch
archive              ok       161 GiB                     is part of what the
/var/lib/miniwatch                                        disk holds
record               ok       2.2 GiB                     is part of what the
/var/lib/miniwatch                                        disk holds"""


def test_a_terminal_of_120_columns_shows_all(monkeypatch, capsys):
    assert shown(expected(installation()), 120, monkeypatch, capsys) == (WIDE, "")


def test_a_terminal_of_80_columns_shows_what_is_full_when(monkeypatch, capsys):
    table, said = shown(expected(installation()), 80, monkeypatch, capsys)
    assert table == NARROW
    assert said == "Left out for want of width: A DAY, RESTS ON; a wider terminal or -o json shows them.\n"


def test_the_documentation_shows_it_as_it_is(capsys):
    found = expected(installation())
    write_rows(Form.TABLE, [told(one, found) for one in found], COLUMNS)
    page = (Path(__file__).parents[3] / "docs" / "size.md").read_text()
    assert f"$ miniwatch doctor --forecast\n{capsys.readouterr().out}" in page


def sentences(rows, first_day=""):
    found = expected(rows, first_day)
    return {told(one, found)["name"]: told(one, found)["found"] for one in found}


def test_what_is_not_known_yet_is_not_guessed():
    said = sentences(installation(days=4 / 24))
    assert said[f"disk {FOLDER}"] == "not enough history yet: 4 h of 6 h"
    assert said[f"busy {FOLDER}"].startswith("not enough history yet: 4 h of 3 d; at its busiest, ")


def test_a_short_history_does_not_look_far():
    assert sentences(installation(days=0.5))[f"disk {FOLDER}"] == "not full within 5 d, as far as can be seen"


def test_an_archive_says_what_it_comes_to():
    said = sentences(installation(), "2025-11-20")
    assert said[f"archive {FOLDER}"].startswith("at most 1.9 TiB: from 2026-05-20 on old days go")


def test_other_cases_have_their_words():
    gib = {"bound": GIB, "host": "", "place": "kafka:calls/0"}
    assert sentences(measured(Gauge.LAG, lambda at: (1 - at / 2) * GIB, 1, **gib)) == {
        "lag of kafka:calls/0": "catches up within 1 d"
    }
    wavering = sentences(measured(Gauge.LAG, lambda at: (0.5 + 0.1 * math.sin(40 * at)) * GIB, 1, **gib))
    assert wavering == {"lag of kafka:calls/0": "behind for 1 d, and comes no nearer"}
    full = sentences(measured(Gauge.SPOOL, lambda _at: 4 * GIB, 1, bound=4 * GIB))
    assert full == {f"spool {FOLDER}": "it is full"}
    assert sentences(measured(Gauge.BUSY, lambda _at: 0.99, 5, 1.0)) == {f"busy {FOLDER}": "no time is left"}
    assert sentences(measured(Gauge.BUSY, lambda _at: 0.001, 5, 1.0)) == {f"busy {FOLDER}": "has next to nothing to do"}
    assert sentences(measured(Gauge.RECORD, lambda at: at * GIB, 3, host="", place="")) == {
        "record": "how much room there is, only its server knows"
    }


def test_machines_are_named_where_there_are_several():
    rows = measured(Gauge.DISK, lambda at: at * GIB, 3, 90 * GIB)
    assert [*sentences(rows + measured(Gauge.DISK, lambda at: 2 * at * GIB, 3, 90 * GIB, "n2"))] == [
        f"disk n2:{FOLDER}",
        f"disk n1:{FOLDER}",
    ]


@pytest.mark.parametrize(
    ("count", "bound", "said"),
    [
        (135.4 * GIB, 400 * GIB, "135 of 400 GiB"),
        (5e6, GIB, "4.8 MiB of 1 GiB"),
        (0, GIB, "0 of 1 GiB"),
        (99.97 * GIB, 200 * GIB, "100 of 200 GiB"),
        (3 * GIB * 1024, 8 * GIB * 1024, "3 of 8 TiB"),
    ],
)
def test_sizes_are_read_in_one_unit_where_they_can_be(count, bound, said):
    assert of_told(count, bound) == said


def test_sizes_and_shares_have_as_many_digits_as_one_reads():
    assert [size_told(one) for one in (0, 999, -3 * GIB, 2048, 307.2 * 1048576)] == [
        "0 B", "999 B", "-3 GiB", "2 KiB", "307 MiB",
    ]  # fmt: skip
    assert [share_told(one) for one in (0.004, 0.123, 1.0, -0.02)] == ["0.4 %", "12 %", "100 %", "-2.0 %"]


# The command


@pytest.fixture
def kept(fresh):
    made = Kept.open(fresh.folder / "data")
    yield made
    made.store.close()


@pytest.mark.usefixtures("kept")
def test_before_anything_was_measured_it_says_so(fresh):
    said = fresh.here("doctor", "--forecast")
    assert said.stdout == ""
    assert said.stderr == "Nothing was measured yet: a running daemon does so every 15 minutes.\n"
    assert "forecast" not in fresh.here("doctor").stdout
    assert fresh.rows("doctor", "--forecast") == []


def test_a_stopped_daemon_s_measurements_are_as_of_then_and_a_problem_is_a_problem(fresh, kept):
    kept.store.measure(installation())
    said = fresh.here("doctor", "--forecast", code=1)
    assert said.stdout.splitlines()[1].startswith("lag of kafka:calls/3")
    assert "Last measured 2025-11-30 07:00:00 UTC, " in said.stderr
    assert "1 problem, 0 warnings." in said.stderr


def test_without_problems_it_leaves_with_0(fresh, kept):
    kept.store.measure([one for one in installation(until=now_us()) if one.what is not Gauge.LAG])
    said = fresh.here("doctor", "--forecast")
    assert said.stderr == "Nothing is known to be full within 7 days.\n"
    (sign,) = (row for row in fresh.rows("doctor") if row["what"] == "forecast")
    assert (sign["state"], sign["found"]) == ("ok", "nothing is known to be full within 7 days")


def test_that_all_is_well_is_not_said_of_what_is_not_known_yet(fresh, kept):
    kept.store.measure([one for one in installation(1 / 24, now_us()) if one.what in {Gauge.DISK, Gauge.SPOOL}])
    said = fresh.here("doctor", "--forecast").stderr
    assert said == "Nothing is known to be full within 7 days; of 1 of 2 there is not enough history yet.\n"


def test_doctor_tells_what_is_full_soon_among_its_signs(fresh, kept):
    now = now_us()
    kept.store.measure(measured(Gauge.DISK, lambda at: (300 + at * 15) * GIB, 4, 400 * GIB, until=now))
    (sign,) = (row for row in fresh.rows("doctor") if row["what"] == "forecast")
    assert sign["state"] == "warning"
    assert sign["found"].startswith(f"disk {FOLDER}: full on ")
    assert sign["advice"] == "make room, or keep events for less long (retention.events_days)"


def test_programs_read_numbers_and_times(fresh, kept):
    kept.store.measure(installation())
    said = fresh.here("doctor", "--forecast", "-o", "ndjson", code=1).stdout
    rows = {row["what"]: row for row in map(json.loads, said.splitlines())}
    disk = rows["disk"]
    assert (disk["state"], disk["outlook"], disk["compared"]) == ("ok", "fills", "days")
    assert (disk["host"], disk["place"], disk["bound"]) == ("n1", FOLDER, 400 * GIB)
    assert disk["growth_day_low"] < disk["growth_day"] < disk["growth_day_high"]
    assert disk["measured"] < disk["full_earliest"] < disk["full"] < disk["full_latest"]
    assert disk["history_s"] == 10 * 86_400
    (as_array,) = [json.loads(fresh.here("doctor", "--forecast", "-o", "json", code=1).stdout)]
    assert {row["what"]: row for row in as_array} == rows


def test_how_old_the_archive_is_comes_from_the_record(fresh, kept):
    folder = str(fresh.folder / "data")
    kept.store.put_folder(ArchiveFolder(name="f", host="n1", path=f"{folder}/archive", time=1))
    kept.store.measure([one for one in installation(place=folder) if one.what is Gauge.ARCHIVE])
    (row,) = fresh.rows("doctor", "--forecast")
    assert (row["outlook"], row["most"], row["retained"]) == ("grows", None, None)
    day = {"day": "2025-11-20", "turn_first": 1, "turn_last": 1, "rows": 1, "bytes": 1, "sha256": ""}
    segment = Segment(path="a", time_min=0, time_max=1, folder="f", **day)
    kept.store.commit(Turn(number=1, segments=[segment]))
    (row,) = fresh.rows("doctor", "--forecast")
    assert (row["outlook"], row["retained"][:10]) == ("stays under", "2026-05-20")


def test_it_does_not_go_with_deep(fresh):
    assert "leave out --deep" in fresh.here("doctor", "--forecast", "--deep", code=2).stderr
