"""What guards hold of acts on addresses that people of many apps share does not depend on how many workers there are, nor on who dies."""

import io
import json
import random
from pathlib import Path

import pytest
from partition_site import Site, log_of, whole_lineup
from test_answers import Answers

from detectors.finding import Scope
from monitor.app import open_daemon
from monitor.config import load_config
from monitor.partitions import answering, around, sending
from monitor.telemetry import Telemetry
from monitor.testing.logs import MemoryHits, MemoryLog

START = 1_772_409_600_000_000
NOW = START + 7_300_000_000
ATTACKS = ("sql_in_request", "script_in_request", "lookup_expression", "path_traversal")
BOUNDS = {
    "guards.input_late_s_max": 1e6,
    "guards.shared_throttle_h_max": 1.0,
    "guards.shared_people_min": 8,
    "budgets.people_min": 30,
    "budgets.rule_share_max": 1.0,
    "budgets.tier_share_max": 0.03,
    "http.listen": "",
}


def samples():
    rules = Path(__file__).parents[2] / "rules" / "web"
    return [json.loads((rules / name / "hit.jsonl").read_text().splitlines()[0]) for name in ATTACKS]


def made(event, number, at, app, chance):
    """An event of a person of an app, at an address to which more and more people come."""
    seconds = (at - START) / 1e6
    event["@timestamp"], event["event"]["id"] = at // 1000, f"e{number}"
    event["miniprogram"]["app_id"] = app
    event["user"] = {"id": f"u{chance.randrange(300)}"}
    event["source"] = {"ip": f"203.0.113.{int(chance.random() ** 2 * (4 + seconds / 300))}"}
    return json.dumps(event).encode() + b"\n"


@pytest.fixture(scope="module")
def lines():
    chance, bad, found = random.Random(3), samples(), []
    for number in range(2_500):
        at = START + int(7_200e6 * number / 2_500) // 1000 * 1000
        app = f"wx{chance.randrange(40):016}"
        event = {"event": {"dataset": "miniprogram.lifecycle", "action": "launch"}, "miniprogram": {}}
        found.append((at, app, made(chance.choice(bad) if chance.random() < 0.12 else event, number, at, app, chance)))
    return found


@pytest.fixture(scope="module")
def lineup():
    return whole_lineup()


def guarded(folder, **more):
    return load_config(None, {"MINIWATCH_PEOPLE__KEY": "5e" * 32}, {"data_dir": str(folder), **BOUNDS, **more})


def site_of(folder, lines, lineup, partitions):
    site = Site(folder, log_of(lines, partitions), lineup, hits=MemoryHits("calls.miniwatch-hits", 2))
    site.config = guarded(folder, **{"batch.rows_max": 120})
    return site


def decided(store):
    return sorted((one.id, one.entity, one.type, one.reason, one.state, one.explanation) for one in store.decisions())


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("one")
    (source,) = [MemoryLog(log.partitions).source(name) for log in [log_of(lines, 1)] for name in log.partitions]
    telemetry = Telemetry(level="error", log_format="json", stream=io.StringIO())
    config = guarded(folder, **{"batch.rows_max": 333})
    with open_daemon(config, telemetry, sources=[(source, False)], clock=lambda: NOW) as daemon:
        daemon.pipeline.recover()
        while source.lag_bytes or daemon.pipeline.intakes[0].has_more:
            daemon.pipeline.turn()
        daemon.pipeline.tick()
        found = decided(daemon.kept.store)
    reasons = [reason.value for _, entity, _, reason, *_ in found if entity.scope is Scope.ADDRESS]
    assert min(reasons.count("held-shared"), reasons.count("held-share"), reasons.count("playbook")) > 1
    return found


class Killed(Answers):
    """One who dies says nothing more."""

    def __init__(self, site, monkeypatch):
        monkeypatch.setattr("test_answers.NOW", NOW)
        Answers.__init__(self, site)

    def die(self):
        self.opened.__exit__(None, None, None)


@pytest.mark.drawn(2)
@pytest.mark.parametrize("seed", range(6))
def test_decisions_are_those_of_one_process(tmp_path, lines, lineup, of_one_process, seed, monkeypatch):
    chance = random.Random(seed)
    monkeypatch.setattr(around, "KEEP_S", 0.0 if seed % 2 else 60.0)
    site = site_of(tmp_path, lines, lineup, 4)
    site.log.tells = seed > 1
    site.log.at_once = chance.choice((35, 10_000))
    monkeypatch.setattr(sending, "QUIET_S", 0.0 if seed > 1 else 0.2)
    names = list(site.log.partitions)
    (worker, group), (counter, of_hits) = site.worker("a"), site.counter("a")
    group.assign(*names)
    of_hits.assign(*site.hits.names)
    answers = Killed(site, monkeypatch)
    for round_ in range(20):
        worker.look()
        counter.look()
        answers.work()
        if chance.random() < 0.3:
            worker, group = site.worker(f"b{round_}")
            group.assign(*names)
        if chance.random() < 0.3:
            answers.die()
            answers = Killed(site, monkeypatch)
    while worker.look():
        counter.look()
    site.read_out(worker)
    site.read_out(counter)
    answers.work()
    answers.die()
    assert decided(site.kept.store) == of_one_process


def test_who_answers_later_and_reads_a_turn_at_a_time_answers_in_the_same_order(
    tmp_path, lines, lineup, of_one_process, monkeypatch
):
    monkeypatch.setattr(around, "ROWS_MAX", 1)
    monkeypatch.setattr(answering, "ROWS_MAX", 1)
    site = site_of(tmp_path, lines, lineup, 4)
    (worker, group), (counter, of_hits) = site.worker("a"), site.counter("a")
    of_hits.assign(*site.hits.names)
    for name in site.log.partitions:
        group.assign(name)
        while worker.look():
            counter.look()
    site.read_out(worker)
    site.read_out(counter)
    answers = Killed(site, monkeypatch)
    for _ in range(200):
        answers.work()
        if not list(site.kept.store.detected({}, 1)):
            break
    answers.work()
    answers.die()
    assert decided(site.kept.store) == of_one_process
    assert list(site.kept.store.detected({}, 10)) == []
