"""Models over starts and kills of the daemon: each turn has the model of its time, and what a model says alone leads to a warning at most."""

from __future__ import annotations

import io
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import journey
import msgspec
import pytest
from app_hours import named
from changing import SINGLE, Killed
from journey import configured, daemon, differences, outcome
from made_models import ENTRY, row
from modelled import HOURS, file, lines, version
from typer.testing import CliRunner

from detectors.event import MICROSECONDS
from detectors.learned.model_file import digest_of
from detectors.learned.telling import Teller
from monitor.app import Daemon, health_of
from monitor.cli.tree import app
from monitor.clock import now_us
from monitor.config import Config
from monitor.content.again import CannotRepeat, again
from monitor.content.model_changing import ACTIVATE
from monitor.kept import Kept
from monitor.rules.lineup import RULES
from monitor.stores.models import ModelState
from monitor.stores.record import Request
from playbooks.decision import DecisionState, Mode, Reason, Tier

CHANGED_AT: Final = 500
"""Lines under the first model: to the midst of the third hour."""

LADDER: Final = """
name: ladder
title: What is done at once
priority: 1
steps:
  - {tier: warn, when: {risk: 1}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 1}, actions: [{type: throttle, limit: 60, per: 1m, for: 1h}]}
  - {tier: remove, when: {risk: 1}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 1}, actions: [{type: ban, for: 30d}]}
"""
RULE: Final = SINGLE.format(
    name="login", id="7b1d3c52-64ce-4b0f-9a87-0f5f0f2d0001", field="event.action", value="login"
)
WARN: Final = LADDER[: LADDER.index("  - {tier: throttle")]


class Installation:
    """A data folder whose record has models, and runs over one file."""

    def __init__(self, folder: Path, *, rule: str = "", book: str = "", **keys: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.data, self.source = folder, folder / "data", folder / "events.ndjson"
        self.source.write_bytes(b"".join(lines()))
        self.keys = {"rules__builtin": False, "playbooks__builtin": False, "batch__rows_max": 60, **keys}
        for name, text in (("rules", rule), ("playbooks", book)):
            if text:
                (folder / name).mkdir(exist_ok=True)
                (folder / name / f"one.{'yml' if name == 'rules' else 'yaml'}").write_text(text.removesuffix("---\n"))
                self.keys[f"{name}__folders"] = [str(folder / name)]
        if rule:
            (folder / "rules" / "one").mkdir(exist_ok=True)
            hit, miss = (next(line for line in lines() if (b'"login"' in line) is hits) for hits in (True, False))
            (folder / "rules" / "one" / "hit.jsonl").write_bytes(hit)
            (folder / "rules" / "one" / "miss.jsonl").write_bytes(miss)
        self.log = io.StringIO()
        self.second = ModelState.TRAINED

    @property
    def config(self) -> Config:
        return configured(self.data, [self.source], statistics__enabled=False, **self.keys)

    def kept(self) -> Kept:
        return Kept.open(self.data)

    def has(self, number: int, state: ModelState) -> Installation:
        """Put a model into the record."""
        content = file(number)
        kept = Kept.of(self.config)
        kept.store.add_model(row(number, state, number, digest=digest_of(content)), content, ENTRY)
        kept.store.close()
        return self

    def go(self, *, asked: int = 0, kill_at: int | None = None, every_turn: bool = False) -> None:
        """Read to the end. A model that is asked for comes into force at its line; after another the process is gone."""
        with daemon(self.config, self.log) as running:
            if every_turn:
                journey.remember_every_turn(running)
            asking = _Asking(running, digest_of(file(asked))) if asked else None
            running.run(lambda _: _after_turn(running, asking, kill_at))
            assert asking is None or asking.is_done

    def spoken(self) -> set[tuple[str, bool]]:
        """Versions of the models that have spoken, each with whether it was tried then."""
        found = outcome(self.data).findings.values()
        return {(one.rule.version, one.shadow) for one in found if one.kind == "learned"}


class _Asking:
    """Asks for a model, as the command does, and has it done by a second thread while turns go on."""

    def __init__(self, running: Daemon, digest: str) -> None:
        self.is_done = self.is_dead = False
        self._running = running
        self._digest = digest
        self._doing = threading.Thread(target=self._do)

    def _do(self) -> None:
        try:
            self._running.requests.look()
        except Killed:
            self.is_dead = True

    def after_turn(self, read: int) -> None:
        store = self._running.kept.store
        if self._doing.ident is None and read >= CHANGED_AT:
            if not store.open_requests():
                asked = Request(id="q", kind=ACTIVATE, subject=self._digest, reason="r", actor="operator:me", created=1)
                store.ask(asked)
            self._doing.start()
            while self._running.pipeline._offer is None and self._doing.is_alive():
                time.sleep(0.005)
        elif self._doing.ident is not None and not self.is_done:
            self._doing.join()
            self.is_done = True
            if self.is_dead:
                raise Killed
            assert '"done":true' in (store.answer_of("q") or "")


def _after_turn(running: Daemon, asking: _Asking | None, kill_at: int | None) -> None:
    read = sum(intake.progress.received for intake in running.pipeline.intakes)
    if asking is not None:
        asking.after_turn(read)
    if kill_at is not None and read >= kill_at:
        raise Killed


def with_two(folder: Path, second: ModelState, **keys: Any) -> Installation:
    """The first model is in force, the second just trained, or tried."""
    made = Installation(folder, book=WARN, **keys).has(2, ModelState.ACTIVE).has(3, second)
    made.second = second
    return made


SECOND: Final = (ModelState.TRAINED, ModelState.CANDIDATE)


@pytest.fixture(scope="module", params=SECOND)
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = with_two(tmp_path_factory.mktemp("undisturbed"), request.param)
    made.go(asked=3)
    return made


def test_each_model_speaks_of_the_hours_of_its_time(undisturbed: Installation) -> None:
    is_tried = undisturbed.second is ModelState.CANDIDATE
    before, after = version(2), version(3)
    tried = {(after, True)} if is_tried else set()
    assert undisturbed.spoken() == {(before, False), (after, False), *tried}
    found = [one for one in outcome(undisturbed.data).findings.values() if one.kind == "learned"]
    assert {one.entity.value for one in found} == {named(3)}
    assert len(found) == len({one.id for one in found}) == (3 if is_tried else 2)
    counts = {(one.rule.version, one.shadow): one.evidence.count for one in found}
    hours = CHANGED_AT // 180
    assert counts[before, False] == hours * 30
    assert counts[after, False] == (HOURS - 1 - hours) * 30, "the last hour has not ended"
    assert not is_tried or counts[after, True] == hours * 30


@pytest.mark.parametrize(("kills", "every_turn"), [((620,), False), ((700, 1_000), True)])
def test_kills_after_a_change_replay_each_turn_under_the_model_of_its_time(
    undisturbed: Installation, tmp_path: Path, kills: tuple[int, ...], *, every_turn: bool
) -> None:
    run = with_two(tmp_path, undisturbed.second)
    for number, at in enumerate(kills):
        with pytest.raises(Killed):
            run.go(asked=0 if number else 3, kill_at=at, every_turn=every_turn)
    run.go()
    assert differences(outcome(undisturbed.data), outcome(run.data)) == {}


def test_a_kill_between_the_turn_and_the_row_of_a_model_has_it_in_force_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came of it is what a run gives that repeats who watched when."""
    run = with_two(tmp_path / "one", ModelState.TRAINED)
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr("monitor.stores.sql.SqlStore.change_models", _killed)
        run.go(asked=3)
    kept = run.kept()
    assert {one.number: one.state.value for one in kept.store.models()} == {1: "active", 2: "trained"}
    kept.store.close()
    run.go(asked=3)
    kept = run.kept()
    assert {one.number: one.state.value for one in kept.store.models()} == {1: "retired", 2: "active"}
    lineups = [one.digest for one in kept.store.controls(RULES)]
    kept.store.close()
    old, new = lineups[0], lineups[1]
    assert (lineups, old != new) == ([old, new, old, new], True)
    calm = Installation(tmp_path / "one", book=WARN)
    calm.data = tmp_path / "calm"
    with daemon(calm.config, repeated=again(run.data, 1_000_000)) as running:
        running.run()
    assert differences(outcome(run.data), outcome(calm.data)) == {}
    assert run.spoken() == {(version(2), False), (version(3), False)}


@pytest.mark.parametrize("what", ["let go", "altered"])
def test_a_run_whose_models_are_not_there_any_more_is_not_begun_again(tmp_path: Path, what: str) -> None:
    run = with_two(tmp_path / "one", ModelState.TRAINED)
    run.go(asked=3)
    with sqlite3.connect(run.data / "miniwatch.db") as connection:
        content = b"" if what == "let go" else b"junk"
        connection.execute("UPDATE models SET content = ? WHERE state = 'active'", (content,))
    why = "it is not in the record any more" if what == "let go" else "not what the record says"
    with pytest.raises(CannotRepeat, match=f"model {version(3)}, which was asked then.*{why}"):
        again(run.data, 1_000_000)


def _killed(*_: object, **__: object) -> None:
    raise Killed


@pytest.mark.parametrize("rows_max", [25, 400])
def test_cutting_the_stream_otherwise_changes_nothing(tmp_path: Path, rows_max: int) -> None:
    runs = [
        Installation(tmp_path / str(most), batch__rows_max=most).has(2, ModelState.ACTIVE) for most in (60, rows_max)
    ]
    for run in runs:
        run.go()
    assert runs[0].spoken() == {(version(2), False)}
    assert differences(*(outcome(run.data) for run in runs)) == {}


def test_what_a_model_finds_leads_to_a_warning_at_most(tmp_path: Path) -> None:
    run = Installation(tmp_path, book=LADDER, guards__new_rule_h=0.0).has(2, ModelState.ACTIVE)
    run.go()
    assert run.spoken() == {(version(2), False)}
    decisions = outcome(run.data).decisions.values()
    assert [(one.tier, one.scope, one.value) for one in decisions if one.state is DecisionState.ACTIVE] == [
        (Tier.WARN, "AppId", named(3))
    ]
    held = [one for one in decisions if one.state is DecisionState.HELD]
    assert {one.tier for one in held} == {Tier.THROTTLE, Tier.REMOVE, Tier.BAN}
    assert {one.reason for one in held} == {Reason.HELD_EVIDENCE}
    assert all("learned findings alone allow no more than a warning" in one.explanation for one in held)


def test_what_is_only_tried_leads_to_nothing(tmp_path: Path) -> None:
    run = Installation(tmp_path, book=WARN, guards__new_rule_h=0.0).has(2, ModelState.CANDIDATE)
    run.go()
    found = outcome(run.data)
    assert run.spoken() == {(version(2), True)}
    assert {one.mode for one in found.decisions.values()} <= {Mode.SHADOW}
    assert found.incidents == {}
    assert set(found.risks.values()) <= {0.0}


def test_a_daemon_whose_model_was_altered_on_disk_asks_the_one_before_and_tells_it(tmp_path: Path) -> None:
    run = Installation(tmp_path).has(2, ModelState.RETIRED).has(3, ModelState.ACTIVE)
    run.kept().store.close()
    with sqlite3.connect(run.data / "miniwatch.db") as connection:
        (content,) = connection.execute("SELECT content FROM models WHERE number = 2").fetchone()
        spoilt = bytearray(content)
        spoilt[len(spoilt) // 2] ^= 1
        connection.execute("UPDATE models SET content = ? WHERE number = 2", (bytes(spoilt),))
    with daemon(run.config, run.log) as running:
        running.run()
        asked = running.pipeline.lineup.learned
        assert asked is not None
        assert asked.asked.model == digest_of(file(2))
        ((_, word),) = health_of(running).others
        assert word.startswith("model 2 is not used: ")
        assert word.endswith("; model 1, which was in force before it, is asked in its place")
        assert {one.number: one.state.value for one in running.kept.store.models()} == {1: "retired", 2: "active"}
    refused = [line for line in map(msgspec.json.decode, run.log.getvalue().splitlines()) if "model" in line]
    assert [(line["event"], line["model"]) for line in refused] == [("model_change_refused", "model 2")]
    assert run.spoken() == {(version(2), False)}


def test_models_that_cannot_go_on_are_left_out_and_rules_watch_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = Installation(tmp_path / "calm", rule=RULE)
    calm.go()
    run = Installation(tmp_path / "run", rule=RULE).has(2, ModelState.ACTIVE)
    monkeypatch.setattr(Teller, "tell", _failing)
    with daemon(run.config, run.log, now=now_us() + MICROSECONDS) as running:
        running.run()
        entries = [one.entry for one in running.kept.store.audit_entries() if one.entry.action == "rule.suspend"]
        assert [entry.subject for entry in entries] == ["learned"]
        assert running.pipeline.lineup.learned is None
        assert any("models are suspended" in word for _, word in health_of(running).others)
        told = CliRunner().invoke(app, ["doctor", "--data-dir", str(run.data), "-o", "ndjson"]).stdout
        assert "rule learned was left out" in told
    found, expected = outcome(run.data), outcome(calm.data)
    assert expected.counts
    assert found.counts == expected.counts
    assert found.totals["processed"] == len(lines())


def _failing(*_: object) -> None:
    raise IndexError
