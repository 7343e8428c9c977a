"""Rules changed while the daemon runs: from a turn on others are in force, however the stream is cut, stopped, killed or resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from changing import AFTER, BEFORE, CHANGED_AT, ID, Killed, Run, lineup, many
from hypothesis import given
from hypothesis import strategies as st
from journey import Outcome, daemon, differences, outcome

from monitor.pipeline import Pipeline
from monitor.rules.lineup import Offer


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    run = Run(tmp_path_factory.mktemp("undisturbed"), batch__rows_max=100)
    run.go()
    assert run.answers == ["taken at 4"]
    return outcome(run.data)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    numbers = iter(range(1000))
    return lambda: tmp_path / str(next(numbers))


def test_each_rule_speaks_of_the_events_of_its_time_and_unchanged_windows_go_on(expected: Outcome) -> None:
    def times(number: int) -> list[int]:
        rule_id = ID.format(number)
        of = (one for one in expected.findings.values() if one.rule.id == rule_id)
        return sorted((one.time // 1000 - 1_772_500_000_000) // 250 for one in of)

    assert max(times(5)) < CHANGED_AT <= min(times(6))
    assert [number for number in times(3) if 280 <= number < 370] == [305, 306, 307, 308, 309]  # the sixth ping of each
    assert [number for number in times(4) if 280 <= number < 370] == [*range(285, 290), *range(320, 325)]


@many
@given(rows_max=st.sampled_from([20, 25, 30, 50, 60, 75, 100, 150]))
def test_cutting_the_stream_otherwise_changes_nothing(
    expected: Outcome, fresh: Callable[[], Path], rows_max: int
) -> None:
    run = Run(fresh(), batch__rows_max=rows_max)
    run.go()
    assert run.changed_at == CHANGED_AT
    assert differences(expected, outcome(run.data)) == {}


@many
@given(
    rows_max=st.sampled_from([20, 50, 100]),
    kills=st.lists(st.integers(CHANGED_AT + 1, CHANGED_AT + 60), max_size=2).map(sorted),
    every_turn=st.booleans(),
)
def test_kills_after_a_change_replay_each_turn_under_the_rules_of_its_time(
    expected: Outcome, fresh: Callable[[], Path], rows_max: int, kills: list[int], *, every_turn: bool
) -> None:
    run = Run(fresh(), batch__rows_max=rows_max)
    for at in kills:
        run.killed(at, every_turn=every_turn)
    run.go()
    assert differences(expected, outcome(run.data)) == {}


@pytest.mark.parametrize("every_turn", [False, True])
def test_a_kill_between_a_change_and_the_turn_that_records_it_changes_nothing(
    expected: Outcome, tmp_path: Path, *, every_turn: bool
) -> None:
    run = Run(tmp_path, batch__rows_max=50)
    run.killed(CHANGED_AT, every_turn=every_turn)  # it was offered, and not yet taken up
    run.go(every_turn=every_turn)
    assert differences(expected, outcome(run.data)) == {}


@pytest.mark.parametrize("at", [CHANGED_AT, 400])
def test_a_stop_in_order_changes_nothing(expected: Outcome, tmp_path: Path, at: int) -> None:
    run = Run(tmp_path, batch__rows_max=50)
    run.go(stop_at=at)
    run.go()
    assert differences(expected, outcome(run.data)) == {}


@pytest.mark.parametrize("files", [2, 3])
def test_what_was_read_already_is_decoded_as_the_new_rules_need_it(tmp_path: Path, files: int) -> None:
    """All of the files is held, decoded, when the rules change."""
    calm, disturbed = (
        Run(tmp_path / "calm", files, batch__rows_max=60),
        Run(tmp_path / "killed", files, batch__rows_max=60),
    )
    calm.go()
    disturbed.killed(430, every_turn=False)
    disturbed.go()
    found = outcome(calm.data)
    assert ID.format(6) in {one.rule.id for one in found.findings.values()}
    assert differences(found, outcome(disturbed.data)) == {}


def test_the_same_rules_again_change_nothing(tmp_path: Path) -> None:
    undisturbed, again = Run(tmp_path / "undisturbed", batch__rows_max=50), Run(tmp_path / "again", batch__rows_max=50)
    undisturbed.is_changed = True
    undisturbed.after = BEFORE
    undisturbed.go()
    again.after = "# in another file, further down\n" + BEFORE
    again.go()
    assert again.answers == ["taken at 7"]
    assert differences(outcome(undisturbed.data), outcome(again.data)) == {}
    assert _turns_with_controls(again) == [1]


def test_the_record_says_from_which_turn_on_rules_are_in_force(tmp_path: Path) -> None:
    run = Run(tmp_path, batch__rows_max=50)
    run.go()
    assert _turns_with_controls(run) == [1, 7]


def _turns_with_controls(run: Run) -> list[int]:
    with daemon(run.config) as opened:
        return [one.turn for one in opened.kept.store.controls("rules")]


def test_what_another_version_of_the_program_wrote_down_is_recorded_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, batch__rows_max=50)
    run.go(stop_at=200)
    monkeypatch.setattr("monitor.rules.lineup.engine_digest", lambda: "newer")
    run.go(stop_at=250)
    assert _turns_with_controls(run) == [1, 5]
    run.killed(400, every_turn=False)
    run.go()
    with daemon(run.config) as opened:
        contents = [opened.kept.store.content(one.digest) or b"" for one in opened.kept.store.controls("rules")]
    assert all(content.startswith(b"newer\n") for content in contents)


def test_a_lineup_that_fails_when_it_is_taken_up_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Here it cannot take over the windows."""
    undisturbed, run = Run(tmp_path / "undisturbed", batch__rows_max=50), Run(tmp_path / "run", batch__rows_max=50)
    undisturbed.is_changed, undisturbed.after = True, BEFORE
    undisturbed.go()
    with daemon(run.config) as opened:
        opened.pipeline.lineup = lineup(BEFORE)
        bad = lineup(AFTER)
        bad.detectors[0].restore = _failing  # type: ignore[method-assign]
        offers = [Offer(bad, lambda: True, lambda one: run.answers.append(f"taken at {one.turn}"), run.answers.append)]
        opened.run(lambda pipeline: pipeline.offer(offers.pop()) if pipeline.turn_number == 6 and offers else None)
    assert run.answers == ["ValueError: planted"]
    assert differences(outcome(undisturbed.data), outcome(run.data)) == {}


def test_no_snapshot_is_taken_of_a_memory_that_the_record_does_not_know_of(tmp_path: Path) -> None:
    """The daemon dies before the change is written down, and the change is taken back before it starts again."""
    undisturbed, run = Run(tmp_path / "undisturbed", batch__rows_max=50), Run(tmp_path / "run", batch__rows_max=50)
    undisturbed.is_changed = run.is_changed = True
    undisturbed.after = run.after = BEFORE
    undisturbed.go()

    def change(pipeline: Pipeline) -> None:
        def die() -> None:
            pipeline.settings = dataclasses.replace(pipeline.settings, snapshot_s=0.0)
            pipeline._maybe_snapshot()
            raise Killed

        if pipeline.turn_number == 6:
            pipeline.offer(Offer(lineup(AFTER), lambda: True, lambda _: None, run.answers.append, die))

    with suppress(Killed), daemon(run.config) as opened:
        opened.pipeline.lineup = lineup(BEFORE)
        opened.run(change)
    run.go()
    assert differences(outcome(undisturbed.data), outcome(run.data)) == {}


def _failing(_state: object) -> None:
    raise ValueError("planted")
