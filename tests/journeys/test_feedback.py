"""From a finding to what people say of it, and to what the daemon does the next time."""

from pathlib import Path

import journey
import msgspec
from journey import configured, daemon

from detectors.finding import RuleRef
from monitor.clock import now_us
from monitor.moments import DAY_US
from monitor.responding.undoing import mark_findings
from monitor.stores import Turn
from monitor.stores.undos import Marking, Verdict
from playbooks.decision import Mode, Reason
from playbooks.policy import Policy


def test_what_was_called_benign_is_recorded_and_not_acted_on_when_it_comes_again(tmp_path: Path):
    first, second = (tmp_path / f"{name}.ndjson" for name in ("first", "second"))
    lines = journey.stream(seed=4, events=2600).splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:1300]))
    second.write_bytes(b"".join(lines[1300:]))
    data = tmp_path / "data"
    with daemon(configured(data, [first])) as opened:
        opened.run()
        store = opened.kept.store
        acted = {one.finding for one in store.decisions() if one.reason is Reason.PLAYBOOK}
        known = next(one for one in store.findings() if one.id in acted)
        marking = Marking(findings=(known.id,), verdict=Verdict.BENIGN_KNOWN, expires=now_us() + 1000 * DAY_US)
        mark_findings(store, marking, Policy(playbooks=()), reason="a load test", actor="operator:ann", now=now_us())
        before = {one.id for one in store.findings()}
    with daemon(configured(data, [first, second])) as opened:
        opened.run()
        store = opened.kept.store
        fresh = [one for one in store.findings() if one.id not in before]
        words = {one.id: store.considered(one.id) for one in fresh}
    like = [one for one in fresh if (one.rule.id, one.entity) == (known.rule.id, known.entity)]
    assert like
    assert {words[one.id].reason for one in like} == {Reason.RULE_EXCEPTED}
    assert all("was marked so by operator:ann" in words[one.id].detail for one in like)
    assert all(words[one.id].mode is Mode.REPLAY for one in like)
    others = [words[one.id].reason for one in fresh if one not in like]
    assert others
    assert Reason.RULE_EXCEPTED not in others


def test_marks_are_metrics_of_kinds_and_of_rules_in_force_alone(tmp_path: Path):
    source = tmp_path / "events.ndjson"
    source.write_bytes(journey.stream(seed=4, events=1300))
    with daemon(configured(tmp_path / "data", [source])) as opened:
        opened.run()
    with daemon(configured(tmp_path / "data", [source])) as opened:
        store = opened.kept.store
        known = next(store.findings())
        gone = msgspec.structs.replace(known, id="g" * 32, rule=RuleRef("a-rule-that-is-gone", "0" * 16))
        store.commit(Turn(number=store.last_turn() + 1, findings=[gone]))
        for key, verdict in ((known.id, Verdict.TRUE), (gone.id, Verdict.FALSE)):
            marking = Marking(findings=(key,), verdict=verdict)
            mark_findings(store, marking, Policy(playbooks=()), reason="seen", actor="operator:ann", now=now_us())
        opened.schedule._scheduler.get_job("count marks").func()
        value = opened.telemetry.registry.get_sample_value
        assert value("miniwatch_precision_ratio", {"kind": "rule"}) == 0.5
        assert value("miniwatch_marked_findings", {"kind": "rule", "verdict": "true"}) == 1
        assert value("miniwatch_rule_precision_ratio", {"rule": known.rule.id}) == 1.0
        assert value("miniwatch_rule_judged_findings", {"rule": gone.rule.id}) is None
