"""Rules that are tried beside those in force: recorded, then for a share of entities, then for all; nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import polars as pl
import pytest
from changing import AFTER, BEFORE, CHANGED_AT, ID, Killed, Run, lineup, many
from hypothesis import given
from hypothesis import strategies as st
from journey import Outcome, daemon, differences, outcome

from detectors.finding import in_share
from detectors.sigma import Trial, parse_rules
from detectors.sigma.match import Matcher
from monitor.app import health_of
from monitor.rules.lineup import Lineup
from playbooks.decision import Mode

SHARE = 0.4
"""Of the five apps of the stream, some are in this share and some are not."""


def tried(share: float) -> Lineup:
    """`BEFORE` in force, and what `AFTER` has new or otherwise on trial."""
    before, after = (parse_rules([("rules.yml", text)]).rules for text in (BEFORE, AFTER))
    known = {rule.id: rule.version for rule in before}
    new = frozenset(rule.id for rule in after if known.get(rule.id) != rule.version)
    gone = known.keys() - {rule.id for rule in after}
    return Lineup.of(before, 1_000_000, Trial(rules=after, tried=new, replaced=new | gone, share=share))


def run_with(folder: Path, made: Callable[[], Lineup], **keys: object) -> Run:
    run = Run(folder, batch__rows_max=keys.pop("rows_max", 50), **keys)
    run.made = made
    return run


def went(folder: Path, made: Callable[[], Lineup], **keys: object) -> Outcome:
    run = run_with(folder, made, **keys)
    run.go()
    return outcome(run.data)


def spoken(found: Outcome, *, shadow: bool) -> Outcome:
    """The findings of rules on trial, or all others, with what became of them."""
    findings = {key: one for key, one in found.findings.items() if one.shadow is shadow}
    return msgspec.structs.replace(
        found,
        findings=findings,
        considered={key: word for key, word in found.considered.items() if key in findings},
        decisions={key: one for key, one in found.decisions.items() if one.finding in findings},
        risks={} if shadow else found.risks,
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("trial")
    made = {"before": lambda: lineup(BEFORE), "after": lambda: lineup(AFTER)}
    shares = {"shadow": 0.0, "canary": SHARE, "all": 1.0}
    made |= {name: lambda share=share: tried(share) for name, share in shares.items()}
    return {name: went(folder / name, make) for name, make in made.items()}


def test_a_trial_in_shadow_changes_nothing_that_counts(places: dict[str, Outcome]) -> None:
    whole = places["shadow"]
    assert differences(places["before"], spoken(whole, shadow=False)) == {}
    tested = spoken(whole, shadow=True)
    assert {one.rule.id for one in tested.findings.values()} == {ID.format(4), ID.format(6), ID.format(7)}
    assert all(one.mode is Mode.SHADOW and one.incident is None for one in tested.decisions.values())


def test_what_is_found_in_shadow_is_what_will_be_found_in_force(places: dict[str, Outcome]) -> None:
    def told(found: Outcome, rules: set[str]) -> set[tuple[object, ...]]:
        of = [one for one in found.findings.values() if one.rule.id in rules]
        return {(one.rule, one.entity, one.time, one.evidence.count) for one in of if one.time // 1000 >= _changed_ms()}

    of_new = {ID.format(6)}
    assert told(spoken(places["shadow"], shadow=True), of_new) == told(places["after"], of_new) != set()


def _changed_ms() -> int:
    return 1_772_500_000_000 + CHANGED_AT * 250


def test_for_the_share_the_new_rules_count_and_the_old_are_silent(places: dict[str, Outcome]) -> None:
    """Rules 4 and 7 are others, rule 5 is gone, rule 6 is new."""
    canary = [one for one in places["canary"].findings.values() if one.time // 1000 >= _changed_ms()]
    versions = {one.rule.version for one in places["before"].findings.values()}
    inside = [one for one in canary if in_share(one.entity, SHARE)]
    outside = [one for one in canary if not in_share(one.entity, SHARE)]
    assert inside
    assert outside
    assert not any(one.shadow for one in inside)
    assert {one.rule.id for one in inside if one.rule.version not in versions} == {
        ID.format(4),
        ID.format(6),
        ID.format(7),
    }
    assert ID.format(5) not in {one.rule.id for one in inside}
    assert {one.rule.id for one in outside if one.shadow} == {ID.format(4), ID.format(6), ID.format(7)}
    assert ID.format(5) in {one.rule.id for one in outside}


def test_a_share_of_all_is_being_in_force(places: dict[str, Outcome]) -> None:
    assert differences(places["after"], places["all"]) == {}


@pytest.mark.parametrize("number", [6, 7])
def test_a_trial_that_ends_in_a_fault_costs_no_finding_of_the_rules_in_force(
    places: dict[str, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Until then the rules in force were silent for the share; rule 7 is in force too, in other words."""
    match, (trial_rules, old) = Matcher.match, (tried(SHARE).trial.rules, tried(SHARE).rules)
    bad = next(rule.version for rule in trial_rules if rule.id == ID.format(number))
    assert bad not in {rule.version for rule in old}

    def failing(self: Matcher, frame: pl.DataFrame) -> dict[str, object]:
        if frame.height and any(one.version == bad for one in self.rules):
            raise IndexError
        return match(self, frame)

    monkeypatch.setattr(Matcher, "match", failing)
    run = run_with(tmp_path, lambda: tried(SHARE), rows_max=100)
    with daemon(run.config) as opened:
        opened.pipeline.lineup = lineup(BEFORE)
        opened.run(lambda _: run._after_turn(opened, None, None))
        ((_, word),) = health_of(opened).others
        assert word.startswith(f"rule {ID.format(number)} is no longer tried")
        audit = [(one.entry.action, one.entry.subject) for one in opened.kept.store.audit_entries()]
        assert ("rule.trial-ended", ID.format(number)) in audit
    found = outcome(run.data)
    assert differences(places["before"], found) == {}


@many
@given(
    rows_max=st.sampled_from([20, 50, 100]),
    kills=st.lists(st.integers(CHANGED_AT + 1, CHANGED_AT + 60), max_size=2).map(sorted),
    every_turn=st.booleans(),
)
def test_cuts_and_kills_change_nothing_while_rules_are_tried(
    places: dict[str, Outcome],
    tmp_path_factory: pytest.TempPathFactory,
    rows_max: int,
    kills: list[int],
    *,
    every_turn: bool,
) -> None:
    run = run_with(tmp_path_factory.mktemp("run"), lambda: tried(SHARE), rows_max=rows_max)
    for at in kills:
        run.killed(at, every_turn=every_turn)
    run.go()
    assert differences(places["canary"], outcome(run.data)) == {}


def test_windows_of_a_trial_go_on_when_it_comes_into_force(tmp_path: Path) -> None:
    """The change to force is in the midst of a burst whose beginning was seen on trial."""
    trial, force = tried(0.0), lineup(AFTER)
    with_trial, alone = Run(tmp_path / "trial", batch__rows_max=20), Run(tmp_path / "alone", batch__rows_max=20)
    alone.is_changed = True
    alone.go()
    with_trial.made = lambda: force
    _go_with(with_trial, trial)
    late = [
        {
            key: one.evidence.count
            for key, one in found.findings.items()
            if one.time // 1000 >= _changed_ms() and one.rule.id in {ID.format(3), ID.format(4)}
        }
        for found in (outcome(alone.data), outcome(with_trial.data))
    ]
    assert late[0] == late[1]


def test_a_kill_between_trial_and_force_replays_the_trial(tmp_path: Path) -> None:
    """What was tried is in no configuration any more; the record has it."""
    calm, killed = Run(tmp_path / "calm", batch__rows_max=20), Run(tmp_path / "killed", batch__rows_max=20)
    calm.made = killed.made = lambda: lineup(AFTER)
    _go_with(calm, tried(0.0))
    with suppress(Killed):
        _go_with(killed, tried(0.0), kill_at=CHANGED_AT)
    killed.go()
    assert differences(outcome(calm.data), outcome(killed.data)) == {}


def _go_with(run: Run, trial: Lineup, kill_at: int | None = None) -> None:
    """Begin with rules on trial."""
    with daemon(run.config) as opened:
        opened.pipeline.lineup = trial
        opened.run(lambda _: run._after_turn(opened, kill_at, None))
