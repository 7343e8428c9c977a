"""`miniwatch model` as an operator sees it: on an archive that is enough to learn from, and on one that is not."""

import json
import os
import pwd
import shutil
import sqlite3

import numpy as np
import polars as pl
import pytest
from app_hours import DAY_ONE, HOUR_MS
from made_models import add, file_of, of_another_version
from typer.testing import CliRunner

from detectors.learned.features import NAMES
from detectors.learned.hours import slots_of
from detectors.learned.training import HELD, PARTS, parts_of
from monitor.cli.tree import app
from monitor.kept import Kept
from monitor.stores.models import ModelState

CONFIG = "[rules]\nbuiltin = false\n[playbooks]\nbuiltin = false\n[statistics]\nenabled = false\n"
HOURS = 27
LEARNED = HOURS - 1
"""The last hour has not ended."""

A_PART = 27
HELD_APPS = 78
"""Apps of each fifth; more of that which calibrates, for that takes as many hours as three of the others."""


class Folder:
    """The command line, run in this process on one data folder with a small configuration."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "config.toml").write_text(CONFIG)

    def __call__(self, *arguments, code=0):
        options = ["--config", str(self.folder / "config.toml"), "--data-dir", str(self.folder / "data")]
        result = CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False, prog_name="miniwatch")
        assert result.exit_code == code, result.output
        return result

    def rows(self, *arguments):
        return [json.loads(line) for line in self(*arguments, "-o", "ndjson").stdout.splitlines()]

    @property
    def standing(self):
        return {row["number"]: row["state"] for row in self.rows("model", "list")}

    def entries(self):
        return [row for row in self.rows("audit", "list") if row["action"].startswith("model.")]


def apps():
    """Apps of which as many are in each fifth, and whose hours are those of the clock."""
    every = pl.Series([f"wx{number}" for number in range(12_000)])
    names = every.to_numpy()[slots_of(every.hash().to_numpy()) == 0].astype(np.str_)
    parts = parts_of(names)
    return np.concatenate([names[parts == part][: HELD_APPS if part == HELD else A_PART] for part in range(PARTS)])


def events(path, names, hours, seed=5):
    """What people do in honest apps, hour by hour."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(names) * hours), rng.integers(22, 40, len(names) * hours))
    count = len(of)
    people = rng.integers(2, 15, len(names) * hours)[of]
    visitor = rng.integers(0, 1 << 30, count) % people
    frame = pl.DataFrame(
        {
            "@timestamp": DAY_ONE + of // len(names) * HOUR_MS + rng.integers(0, HOUR_MS, count),
            "id": np.arange(count).astype(str),
            "action": rng.choice(["request", "getStorage", "Page.onLoad", "login"], count, p=[0.5, 0.2, 0.26, 0.04]),
            "outcome": rng.choice(["success", "failure"], count, p=[0.97, 0.03]),
            "app_id": names[of % len(names)],
            "page": rng.integers(0, 6, count).astype(str),
            "foreground": rng.random(count) > 0.03,
            "user": visitor.astype(str),
            "bytes": rng.integers(0, 900, count),
        }
    ).sort("@timestamp")
    frame.select(
        "@timestamp",
        pl.struct("id", "action", "outcome", pl.lit("miniprogram.api").alias("dataset")).alias("event"),
        pl.struct("app_id", "page", "foreground").alias("miniprogram"),
        pl.struct(pl.col("user").alias("id")).alias("user"),
        pl.struct(("198.51.100." + pl.col("user")).alias("ip")).alias("source"),
        pl.struct(pl.struct("bytes").alias("request")).alias("http"),
    ).write_ndjson(path)
    return f"file:{path}"


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """An archive, and a model that was trained on it."""
    made = Folder(tmp_path_factory.mktemp("models"))
    made("run", "--until-end", "--source", events(made.folder / "events.ndjson", apps(), HOURS))
    made.summary = made("model", "train", "--reason", "the first")
    return made


@pytest.fixture
def trained(learned, tmp_path):
    """The same, to change."""
    shutil.copytree(learned.folder / "data", tmp_path / "data")
    return Folder(tmp_path)


@pytest.fixture
def few(tmp_path):
    """An archive of an hour of three apps."""
    made = Folder(tmp_path)
    made("run", "--until-end", "--source", events(tmp_path / "events.ndjson", np.array(["wx1", "wx2", "wx3"]), 1))
    return made


def test_what_was_trained_is_told_and_tried(learned):
    told = learned.summary
    assert f"Model 1: learned from {len(apps()) * LEARNED:,} hours of apps" in told.stderr
    assert "of planted misbehaviour" in told.stderr
    assert told.stdout.startswith("model 1 (")
    assert "is tried; no daemon runs, so it counts from the next start on" in told.stdout
    assert learned.standing == {1: "candidate"}
    train, tried = learned.entries()
    assert (train["action"], train["subject"], train["reason"]) == ("model.train", "model 1", "the first")
    assert (tried["action"], tried["subject"], tried["reason"]) == ("model.try", "model 1", "the first")
    assert train["actor"].startswith("operator:")


def test_a_list_is_objects_with_all_there_is_to_know(learned):
    (row,) = learned.rows("model", "list")
    assert (row["number"], row["state"], len(row["digest"])) == (1, "candidate", 64)
    story = row["story"]
    assert story["rows"] == len(apps()) * LEARNED
    assert story["held_rows"] == HELD_APPS * LEARNED
    assert story["figures"]["rows"] == A_PART * LEARNED
    assert story["first"] == "2026-03-02T00:00:00.000000Z"
    assert story["until"] == "2026-03-03T02:00:00.000000Z"
    assert story["left_out"] == 0
    told = learned("model", "list").stdout.splitlines()
    assert told[0].split()[:2] == ["MODEL", "STATE"]
    assert f"{len(apps()) * LEARNED:,}" in told[1]


def test_a_model_is_shown_by_number_and_by_digest(learned):
    (row,) = learned.rows("model", "list")
    for name in ("1", row["digest"][:10]):
        told = json.loads(learned("model", "show", name, "-o", "json").stdout)
        assert told.pop("precision_of_models") is None, "no finding is marked"
        assert told == row
    told = learned("model", "show", "1").stdout
    assert "candidate since" in told
    assert "finds" in told
    assert "login storm" in told


@pytest.mark.parametrize("command", ["show", "evaluate"])
def test_without_a_name_the_one_in_force_is_meant(trained, command):
    refused = trained("model", command, code=2)
    assert "no model is in force" in refused.stderr
    assert "miniwatch model list" in refused.stderr
    trained("model", "activate", "1", "--reason", "quiet")
    told = json.loads(trained("model", command, "-o", "json").stdout)
    assert told.get("number", told.get("model")) == 1


@pytest.mark.parametrize(
    "asked",
    [["show", "7"], ["evaluate", "7"], ["activate", "7", "--reason", "r"], ["show", "abcdef0"], ["show", "abc"]],
)
def test_a_name_that_is_none_is_wrong_usage_and_what_there_is_can_be_seen(learned, asked):
    assert f"there is no model {asked[1]}; miniwatch model list shows" in learned("model", *asked, code=2).stderr


def test_a_model_is_held_against_the_archive(learned):
    told = json.loads(learned("model", "evaluate", "1", "-o", "ndjson").stdout)
    (row,) = learned.rows("model", "list")
    assert (told["model"], told["rows"]) == (1, len(apps()) * LEARNED)
    assert told["figures"] == row["story"]["figures"]
    assert set(told["drift"]) == set(NAMES)
    assert max(told["drift"].values()) < 0.1
    assert f"0 of {len(NAMES)} features have changed" in learned("model", "evaluate", "1").stdout.replace("\n", " ")


def test_a_model_comes_into_force_and_goes_with_a_reason(trained):
    assert "is in force; no daemon runs" in trained("model", "activate", "1", "--reason", "quiet").stdout
    assert trained.standing == {1: "active"}
    assert "is in force already" in trained("model", "activate", "1", "--reason", "r", code=1).stdout
    assert "is withdrawn" in trained("model", "rollback", "--reason", "loud").stdout
    assert trained.standing == {1: "withdrawn"}
    refused = trained("model", "rollback", "--reason", "loud", code=1)
    assert "nothing to go back from" in refused.stdout
    assert "stays in force" in refused.stderr
    assert [(row["action"], row["reason"]) for row in trained.entries()][2:] == [
        ("model.activate", "quiet"),
        ("model.rollback", "loud"),
    ]


@pytest.mark.parametrize("asked", [["activate", "1"], ["rollback"]])
def test_a_change_without_a_reason_is_wrong_usage(learned, asked):
    assert "--reason" in learned("model", *asked, code=2).stderr


def test_a_second_model_is_held_against_the_one_in_force(trained, monkeypatch):
    trained("model", "activate", "1", "--reason", "quiet")
    monkeypatch.setattr("os.nice", lambda _: 0)
    told = trained("model", "train", "--scheduled")
    (entry,) = [
        one for one in trained.entries() if one["actor"] == "system:schedule" and one["action"] == "model.train"
    ]
    assert entry["reason"] == f"by the clock, as {pwd.getpwuid(os.getuid()).pw_name} of this machine"
    assert "(the one in force:" in told.stderr
    assert trained.standing == {1: "active", 2: "candidate"}
    (second, _) = sorted(trained.rows("model", "list"), key=lambda row: -row["number"])
    assert second["story"]["before"] == second["story"]["figures"], "of the same rows comes the same model"


def test_a_model_whose_file_is_spoilt_is_not_held_against_anything(trained):
    with sqlite3.connect(trained.folder / "data" / "miniwatch.db") as connection:
        connection.execute("UPDATE models SET content = ?", (b"junk",))
    assert "not what the record says" in trained("model", "evaluate", "1", code=1).stdout


def test_what_a_refused_model_lacks_is_shown_and_it_cannot_be_used(trained):
    with sqlite3.connect(trained.folder / "data" / "miniwatch.db") as connection:
        words = 'UPDATE models SET state = \'refused\', story = replace(story, \'"refused":""\', \'"refused":"it finds 3%"\')'
        connection.execute(words)
    assert "it finds 3%" in trained("model", "show", "1").stdout
    refused = trained("model", "activate", "1", "--reason", "r", code=1)
    assert "model 1 was refused after its training: it finds 3%" in refused.stdout
    kept = Kept.open(trained.folder / "data")
    assert [row.state for row in kept.store.models()] == [ModelState.REFUSED]
    kept.store.close()


@pytest.fixture
def in_record(few):
    """Models in the record, of which one cannot be opened; no daemon runs."""
    kept = Kept.open(few.folder / "data")
    add(kept.store, 1, ModelState.RETIRED, 1)
    add(kept.store, 2, ModelState.RETIRED, 2, file=of_another_version(file_of(2)))
    add(kept.store, 3, ModelState.ACTIVE, 3)
    add(kept.store, 4, since=4, file=of_another_version(file_of(4)))
    kept.store.close()
    return few


def test_without_a_daemon_a_model_that_cannot_be_opened_does_not_come_into_force(in_record):
    before = in_record.standing
    refused = in_record("model", "activate", "4", "--reason", "r", code=1).stdout
    assert refused.startswith("model 4 cannot be used: it was trained with ")
    assert "sklearn 0.1" in refused
    assert "miniwatch model train" in refused
    assert in_record.standing == before
    assert [row["action"] for row in in_record.entries()] == ["model.train"] * 4


def test_without_a_daemon_one_step_back_is_to_the_last_one_that_can_be_opened(in_record):
    in_record("model", "rollback", "--reason", "r")
    assert in_record.standing == {1: "active", 2: "retired", 3: "withdrawn", 4: "trained"}


def test_too_little_to_learn_from_is_told_with_what_it_takes(few):
    refused = few("model", "train", code=1)
    assert "hours of apps to learn from, and it takes 2,000: more days, or more apps" in refused.stdout
    assert "stays in force" in refused.stderr
    assert (few.standing, few.entries()) == ({}, [])


def test_where_no_events_are_kept_it_is_said(tmp_path):
    empty = Folder(tmp_path)
    (tmp_path / "none.ndjson").write_text("")
    empty("run", "--until-end", "--source", f"file:{tmp_path / 'none.ndjson'}")
    assert "no events in the archive yet" in empty("model", "train", code=1).stdout
    assert empty("model", "list", "-o", "ndjson").stdout == ""


def test_where_nothing_is_yet_it_is_said_how_to_begin(tmp_path):
    assert "miniwatch run" in Folder(tmp_path)("model", "list", code=3).stderr
