"""Models with workers: each partition's apps are looked at, and a model that a worker cannot open costs no more than that model."""

from __future__ import annotations

import io
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from app_hours import named
from changing import SINGLE, lineup
from made_models import ENTRY, row
from modelled import HOURS, file, lines, version
from partition_site import Site, log_of

from detectors.learned.detector import LearnedDetector
from detectors.learned.model_file import digest_of, opened
from monitor.models.opening import OpenedModels
from monitor.partitions.followed import FollowedRules
from monitor.rules.lineup import RULES, Lineup
from monitor.stores import Control, Turn
from monitor.stores.models import ModelState
from monitor.telemetry import Telemetry

STRANGE = (2, 3)
APPS = {named(number) for number in STRANGE}

RULE = SINGLE.format(name="login", id="7b1d3c52-64ce-4b0f-9a87-0f5f0f2d0001", field="event.action", value="login")


def told() -> list[tuple[int, str, bytes]]:
    """When each line arrived, of which app it is, and the line."""
    found = []
    for line in lines(STRANGE):
        event: Any = msgspec.json.decode(line)
        at = event["@timestamp"]
        us = at * 1_000 if isinstance(at, int) else round(datetime.fromisoformat(at).astimezone(UTC).timestamp() * 1e6)
        found.append((us, event["miniprogram"]["app_id"], line))
    return found


def made(number: int | None, rule: str = "") -> Lineup:
    """Rules, and the model of this number."""
    rules = lineup(rule).rules if rule else ()
    learned = LearnedDetector(opened(file(number), digest_of(file(number)))[0]) if number is not None else None
    return Lineup.of(rules, 1_000_000, None, None, learned)


class Workers:
    """A record with two models, whoever answers, and a worker on partitions that follows what is put in force."""

    def __init__(self, folder: Path, partitions: int, own: Lineup) -> None:
        self.site = Site(folder, log_of(told(), partitions), None, rows_max=60)
        self.store, self.log = self.site.kept.store, io.StringIO()
        for number in (2, 3):
            content = file(number)
            self.store.add_model(row(number, ModelState.ACTIVE, number, digest=digest_of(content)), content, ENTRY)
        self.turn = 0
        telemetry = Telemetry(level="info", log_format="json", stream=self.log)
        self.rules = FollowedRules(own, 1_000_000, self.store, telemetry, OpenedModels(self.store.content))
        self.site.lineup = self.rules.of
        self.worker, group = self.site.worker("a")
        group.assign(*self.site.log.partitions)

    def put_in_force(self, content: Lineup) -> None:
        """As whoever answers does, and the worker sees it."""
        self.turn += 1
        control = Control(subject=RULES, digest=content.digest, content=content.content, positions={})
        self.store.commit(Turn(number=self.turn, controls=[control]))
        self.follow()

    def follow(self) -> None:
        self.rules.look([(stream.part, stream.offer) for stream in self.worker.streams.values()])

    def spoil(self, number: int) -> None:
        with sqlite3.connect(self.site.config.data_dir / "miniwatch.db") as connection:
            connection.execute("UPDATE models SET content = ? WHERE digest = ?", (b"junk", digest_of(file(number))))

    def spoken(self) -> set[tuple[str, str]]:
        """The apps of which models have spoken, each with the version of the model."""
        return {(one.entity.value, one.rule.version) for one in self.store.findings() if one.kind == "learned"}

    def events(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.log.getvalue().splitlines()]


@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_the_apps_of_every_partition_are_looked_at(tmp_path: Path, partitions: int) -> None:
    workers = Workers(tmp_path, partitions, made(2))
    workers.site.read_out(workers.worker)
    assert workers.spoken() == {(app, version(2)) for app in APPS}
    assert partitions != 2 or len({sum(app.encode()) % partitions for app in APPS}) == 2, "each in one of its own"
    assert [stream.turn_number > 0 for stream in workers.worker.streams.values()] == [True] * partitions
    found = [one for one in workers.store.findings() if one.kind == "learned"]
    assert {one.evidence.count for one in found} == {30 * (HOURS - 1)}, "the last hour has not ended"


def test_a_model_that_cannot_be_opened_is_left_and_the_rest_is_taken_up(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2, made(2))
    for _ in range(4):
        workers.worker.look()
    workers.spoil(3)
    workers.put_in_force(made(3, RULE))
    for _ in range(3):
        workers.follow()
    workers.site.read_out(workers.worker)
    assert workers.spoken() == {(app, version(2)) for app in APPS}, "the earlier one is asked"
    assert any(one.kind == "rule" for one in workers.store.findings()), "the rule is in force"
    (problem,) = workers.rules.problems
    assert problem.startswith(f"model {version(3)} is not used: it is not what the record says")
    assert problem.endswith(f"model {version(2)} is asked in its place")
    refused = [one["model"] for one in workers.events() if one["event"] == "model_change_refused"]
    assert refused == [f"model {version(3)}"], "told once"


def test_without_an_earlier_one_none_is_asked(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2, made(None))
    workers.worker.look()
    workers.spoil(3)
    workers.put_in_force(made(3, RULE))
    workers.site.read_out(workers.worker)
    assert workers.spoken() == set()
    assert any(one.kind == "rule" for one in workers.store.findings())
    assert workers.rules.problems[0].endswith("none is asked in its place")


def test_a_model_that_can_be_opened_again_is_asked_with_the_next_change(tmp_path: Path) -> None:
    workers = Workers(tmp_path, 2, made(2))
    workers.worker.look()
    workers.spoil(3)
    workers.put_in_force(made(3))
    workers.put_in_force(made(2, RULE))
    assert workers.rules.problems == ()
    workers.site.read_out(workers.worker)
    assert workers.spoken() == {(app, version(2)) for app in APPS}
