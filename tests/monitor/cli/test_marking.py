"""``findings mark``: the word, how long it counts, what an exception would silence, and how often a rule is right."""

import shlex
import shutil
from datetime import datetime

import pytest

from detectors.finding import Scope
from monitor.backtest.silencing import Silenced
from monitor.cli import marking
from monitor.cli.marking import EXCEPTION_DAYS_DEFAULT, command_for
from monitor.cli.opening import record
from monitor.clock import now_us
from monitor.moments import DAY_US, micros
from monitor.stores import Turn
from monitor.stores.undos import MARK_DAYS_DEFAULT
from monitor.testing import stored_finding

WHY = ("--reason", "A test of theirs")


@pytest.fixture
def town(miniwatch, tmp_path):
    """A copy of the simulated day, in which things may be marked."""
    shutil.copytree(miniwatch.folder / "data", tmp_path / "data")
    return type(miniwatch)(tmp_path)


def often(town):
    """The findings of a rule about one entity that was found several times."""
    by_pair = {}
    for row in town.rows("findings", "list"):
        by_pair.setdefault((row["rule"]["id"], row["entity"]["scope"], row["entity"]["value"]), []).append(row)
    return max(by_pair.values(), key=len)


def days_left(text):

    return (micros(datetime.fromisoformat(text)) - now_us()) / DAY_US


def test_each_word_is_kept_with_its_end_and_taken_back(town):
    keys = [row["id"] for row in often(town)[:3]]
    for key, word in zip(keys, ["true", "false", "benign-known"], strict=True):
        town.here("findings", "mark", key[:12], word, *WHY)
    marks = {row["finding"]: row for row in town.rows("marks", "list")}
    assert {key: row["verdict"] for key, row in marks.items()} == dict(
        zip(keys, ["true", "false", "benign-known"], strict=True)
    )
    assert days_left(marks[keys[0]]["expires"]) == pytest.approx(MARK_DAYS_DEFAULT, abs=0.1)
    town.here("findings", "mark", keys[0], "true", *WHY, "--expires", "90d")
    again = {row["finding"]: row for row in town.rows("marks", "list")}
    assert days_left(again[keys[0]]["expires"]) == pytest.approx(90, abs=0.1)
    town.here("findings", "mark", *keys, "none", *WHY)
    assert town.rows("marks", "list", "--expired") == []


def test_how_long_is_configured(town, tmp_path):
    (tmp_path / "config.toml").write_text("[feedback]\nmark_days = 3\n")
    town.here("findings", "mark", often(town)[0]["id"], "true", *WHY)
    (row,) = town.rows("marks", "list")
    assert days_left(row["expires"]) == pytest.approx(3, abs=0.1)


def test_a_false_one_offers_the_exception_that_then_can_be_made(town):
    one = often(town)[0]
    told = town.here("findings", "mark", one["id"], "false", *WHY).stderr
    assert f"have silenced besides: {len(often(town)) - 1} findings" in told
    (offered,) = [line for line in told.splitlines() if line.startswith("To except it: miniwatch ")]
    assert town.rows("exceptions", "list") == []
    town.here(*shlex.split(offered.removeprefix("To except it: miniwatch ")))
    (made,) = town.rows("exceptions", "list")
    entity = one["entity"]
    assert (made["rule"], made["scope"], made["value"]) == (one["rule"]["id"], entity["scope"], entity["value"])
    assert days_left(made["expires"]) == pytest.approx(EXCEPTION_DAYS_DEFAULT, abs=0.1)


@pytest.mark.parametrize("scope", ["AppId", "Ip", "OpenId"])
def test_the_command_names_the_entity_and_a_reason_that_a_shell_reads(scope):
    one = Silenced(
        rule="r1", scope=Scope(scope), value="it's", since=0, until=1, findings=0, true=0, false=0, benign_known=0, decisions=(), more=False
    )  # fmt: skip
    whom = ["--app", "it's"] if scope == "AppId" else ["--scope", scope, "--value", "it's"]
    words = ["miniwatch", "exceptions", "add", "r1", *whom, "--expires", "14d", "--reason", "$(theirs)"]
    assert shlex.split(command_for(one, "$(theirs)", 14)) == words


def test_with_exception_it_is_made_and_what_is_right_is_warned_of_first(town):
    one, other = often(town)[:2]
    town.here("findings", "mark", other["id"], "true", *WHY)
    (done,) = town.rows("findings", "mark", one["id"], "false", *WHY, "--exception", "--expires", "14d")
    (made,) = town.rows("exceptions", "list")
    assert done["exceptions"] == [made]
    assert days_left(made["expires"]) == pytest.approx(14, abs=0.1)
    assert [row["true"] for row in done["silenced"]] == [1]
    told = town.here("findings", "mark", one["id"], "false", *WHY, "--exception").stderr
    assert told.index("WARNING: 1 finding that would be silenced was marked as true") < told.index("Added exception")


def test_many_are_looked_back_on_up_to_a_bound(town, monkeypatch):
    monkeypatch.setattr(marking, "TOLD_MAX", 3)
    rows = {(row["rule"]["id"], row["entity"]["value"]): row["id"] for row in town.rows("findings", "list")}
    keys = list(rows.values())[:4]
    told = town.here("findings", "mark", *keys, "false", *WHY).stderr
    assert told.count("To except it") == 3
    assert "of 4 pairs of a rule and an entity; the first 3 are looked back on" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["true", "--exception"], "an exception is made of what is false"),
        (["none", "--expires", "9d"], "what is taken back has no end"),
        (["true", "--expires", "900d"], "between now and a year"),
        (["false", "--reason", " "], "say why"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_marked(town, words, told):
    key = often(town)[0]["id"]
    reason = [] if "--reason" in words else WHY
    assert told in town.here("findings", "mark", key, *words, *reason, code=2).stderr
    assert town.rows("marks", "list") == []


def test_precision_stands_in_the_list_of_rules_where_there_are_marks(town):
    rows = often(town)
    rule = rows[0]["rule"]["id"]
    assert "PRECISION" not in town.here("rules", "list").stdout
    assert {row["feedback"] for row in town.rows("rules", "list")} == {None}
    town.here("findings", "mark", *[row["id"] for row in rows[:3]], "true", *WHY)
    town.here("findings", "mark", rows[3]["id"], "false", *WHY)
    town.here("findings", "mark", rows[4]["id"], "benign-known", *WHY)
    said = {row["id"]: row["feedback"] for row in town.rows("rules", "list")}[rule]
    low, high = said.pop("low"), said.pop("high")
    assert (round(low, 3), round(high, 3)) == (0.301, 0.954)
    assert said == {"precision": 0.75, "marked": 5, "true": 3, "false": 1, "benign_known": 1}
    listed = town.here("rules", "list")
    assert "75 % (30 % to 95 %)  5" in listed.stdout
    assert "What sigma finds is right, by what people have marked: 75 %" in listed.stderr
    for command in (["rules", "show", rule], ["explain", rows[0]["id"]]):
        assert "75 % (30 % to 95 %) at 95 %: 3 of 4 marked findings true; 1 benign-known" in town.here(*command).stdout


def test_what_is_known_and_benign_is_told_when_it_comes_again(town):
    one = often(town)[0]
    town.here("findings", "mark", one["id"], "benign-known", "--reason", "A partner's load test")
    told = town.here("explain", one["id"]).stdout
    assert "benign-known: it does not count; input of allow-lists and training until" in told


def test_precision_of_what_is_in_no_file_is_told_beside_the_list(town):
    counted = stored_finding("m" * 32, rule="statistical.rate", kind="statistical", detector="statistical")
    with record(None, town.folder / "data") as opened:
        opened.store.commit(Turn(number=opened.store.last_turn() + 1, findings=[counted]))
    town.here("findings", "mark", counted.id, "false", *WHY)
    told = town.here("rules", "list").stderr
    assert "What statistical finds is right, by what people have marked: 0 % (0 % to 79 %)" in told
    assert "statistical.rate, which is in no file: 0 %" in told
    town.here("exceptions", "add", "statistical.rate", "--app", "wx1", *WHY)
    assert [row["rule"] for row in town.rows("exceptions", "list")] == ["statistical.rate"]
