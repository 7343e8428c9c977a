import json
from contextlib import suppress

import pytest
from acting import ALICE, BAN, BOB, CAROL, DAY, HOUR, REMOVE, SLOW, added, approved, held, standing, token_of
from hypothesis import given, settings
from hypothesis import strategies as st
from town import Town

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.audit import verify
from monitor.responding.appealing import file, grant, reject, review, withdraw
from monitor.responding.appeals_told import AppealReminder
from monitor.responding.lifting import revoke
from monitor.responding.refusals import ActRefused, No
from monitor.responding.undoing import FINDINGS_MARKED_MAX, mark_findings
from monitor.stores import StoreError
from monitor.stores.appeals import OPEN, AppealState, AppealTerms
from monitor.stores.record import NOT_ENDED, AlreadyEnded, Query
from monitor.stores.undos import Marking, Verdict
from monitor.testing import scratch_store
from playbooks.decision import DecisionState
from playbooks.policy import Policy
from playbooks.testing import NOON, finding

POLICY = Policy(playbooks=())


def filed(store, key, *, by=CAROL, now=NOON + HOUR, **more):
    words = {"appellant": "dev-7", "statement": "We have fixed it", **more}
    return file(store, key, actor=by, now=now, **words)[0]


def reviewed(store, key, **more):
    appeal = filed(store, key, **more)
    return review(store, appeal.id, actor=CAROL, reason="I look", now=NOON + 2 * HOUR)


def why(call, *arguments, **more):
    with pytest.raises(ActRefused) as refused:
        call(*arguments, **more)
    return refused.value.why


def test_a_granted_appeal_lifts_what_is_in_force(store):
    made = added(store).decision
    appeal = reviewed(store, made.id)
    assert (appeal.state, appeal.reviewer, appeal.answer_by) == ("reviewing", CAROL, NOON + HOUR + 7 * DAY)
    granted = grant(store, appeal.id, POLICY, actor=BOB, reason="they are right", now=NOON + 3 * HOUR)
    assert (granted.appeal.state, granted.appeal.answered_by, granted.undo) == ("granted", BOB, None)
    assert (granted.decision.state, standing(store)) == (DecisionState.REVOKED, [])
    actions = [one.entry.action for one in store.audit_entries()]
    assert actions[-4:] == ["appeal.file", "appeal.review", "appeal.grant", "decision.revoke"]


def test_a_granted_appeal_takes_what_waits_back(store):
    made = held(store)
    granted = grant(store, reviewed(store, made.id).id, POLICY, actor=BOB, reason="no", now=NOON + 3 * HOUR)
    assert granted.decision.state is DecisionState.REJECTED


def test_the_findings_of_a_granted_appeal_no_longer_count(tmp_path):
    town = Town(tmp_path)
    town.turn([finding(after_s=number, severity="high", proof=True) for number in range(2)])
    made = next(iter(town.in_force().values()))
    appeal = reviewed(town.store, made.id)
    granted = grant(town.store, appeal.id, town.policy(), actor=BOB, reason="a test", now=town.now + HOUR)
    marks = town.store.finding_marks([one.id for one in town.store.findings()])
    of_rule = [one.id for one in town.store.findings(Query(incident=made.incident, rule=made.rule))]
    assert of_rule
    assert {key for key, mark in marks.items() if mark.verdict is Verdict.FALSE} == set(of_rule)
    assert granted.undo.findings == len(of_rule)
    assert not [one for one in town.in_force().values() if one.rule == made.rule]
    town.close()


def test_with_findings_that_stand_only_the_decision_is_lifted(tmp_path):
    town = Town(tmp_path)
    town.turn([finding(severity="high", proof=True)])
    made = next(iter(town.in_force().values()))
    appeal = reviewed(town.store, made.id)
    grant(town.store, appeal.id, town.policy(), actor=BOB, reason="mercy", now=town.now + HOUR, findings_stand=True)
    assert town.store.decision(made.id).state is DecisionState.REVOKED
    assert not town.store.finding_marks([made.finding])
    town.close()


def test_who_brought_a_decision_about_cannot_reject_the_appeal(store):
    made = added(store, BAN).decision
    approved(store, made.id)
    appeal = reviewed(store, made.id)
    for actor in (ALICE, BOB, token_of(store, "Bob"), token_of(store, "dan", maker=ALICE)):
        assert why(reject, store, appeal.id, actor=actor, reason="no", now=NOON + DAY) is No.SECOND_PERSON
    rejected = reject(store, appeal.id, actor=CAROL, reason="no", now=NOON + DAY)
    assert (rejected.state, rejected.answered_by, len(standing(store))) == ("rejected", CAROL, 1)


def test_nobodys_token_cannot_reject(store):
    appeal = reviewed(store, added(store).decision.id)
    actor = token_of(store, "first", maker="system:first-token")
    assert why(reject, store, appeal.id, actor=actor, reason="no", now=NOON + DAY) is No.NO_PERSON


def test_one_is_open_at_a_time_and_no_more_than_allowed(store):
    made = added(store).decision
    first = filed(store, made.id)
    assert why(filed, store, made.id) is No.TOO_MANY
    withdraw(store, first.id, actor=CAROL, reason="they asked", now=NOON + HOUR)
    terms = AppealTerms(attempts_max=1)
    assert why(filed, store, made.id, terms=terms) is No.TOO_MANY
    assert filed(store, made.id).id != first.id


def test_states_are_not_skipped(store):
    appeal = filed(store, added(store).decision.id)
    assert why(grant, store, appeal.id, POLICY, actor=BOB, reason="yes", now=NOON + DAY) is No.NOT_WAITING
    assert why(reject, store, appeal.id, actor=BOB, reason="no", now=NOON + DAY) is No.NOT_WAITING
    withdraw(store, appeal.id, actor=BOB, reason="they asked", now=NOON + DAY)
    assert why(review, store, appeal.id, actor=BOB, reason="late", now=NOON + DAY) is No.NOT_WAITING


def test_what_was_lifted_needs_no_appeal(store):
    made = added(store).decision
    revoke(store, made.id, actor=BOB, reason="no", now=NOON + HOUR)
    with pytest.raises(AlreadyEnded):
        filed(store, made.id)


def test_the_same_name_is_the_same_appeal(store):
    made = added(store).decision
    first = filed(store, made.id, name="n1")
    assert filed(store, made.id, name="n1", now=NOON + DAY) == first
    assert why(filed, store, made.id, name="n1", statement="Another") is No.OTHER_CONTENT


@pytest.mark.parametrize(
    "words", [{"appellant": " "}, {"appellant": "x" * 201}, {"statement": ""}, {"statement": "x" * 4_001}]
)
def test_words_are_bounded(store, words):
    assert why(filed, store, added(store).decision.id, **words) is No.NO_REASON


def test_no_more_findings_are_marked_at_once_than_is_said(store):
    marking = Marking(findings=tuple(map(str, range(FINDINGS_MARKED_MAX + 1))), verdict=Verdict.FALSE)
    assert why(mark_findings, store, marking, POLICY, reason="all", actor=BOB, now=NOON) is No.TOO_MANY


def told(store, now):
    earlier = {delivery.message.key for delivery in store.due_messages(2**62, 1_000)}
    AppealReminder(store, [Channel("webhook:oncall", Severity.MEDIUM)], 86_400, lambda: now).look()
    new = [one.message for one in store.due_messages(2**62, 1_000) if one.message.key not in earlier]
    return [json.loads(message.body)["what"] for message in new]


def test_a_new_appeal_is_told_once_and_once_more_before_its_end(store):
    appeal = filed(store, added(store).decision.id, now=NOON)
    assert told(store, NOON + HOUR) == ["appeal-filed"]
    assert told(store, NOON + 6 * DAY - HOUR) == []
    assert told(store, NOON + 6 * DAY + HOUR) == ["appeal-unanswered"]
    assert told(store, NOON + 6 * DAY + 2 * HOUR) == []
    withdraw(store, appeal.id, actor=BOB, reason="they asked", now=NOON + 6 * DAY)
    assert told(store, NOON + 9 * DAY) == []


COMMON = ("file", "review", "grant", "reject", "withdraw")
RARE = ("revoke", "expire", "add", "reopen")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*COMMON * 3, *RARE]),
        st.integers(0, 1),  # who
        st.integers(0, 1),  # which decision
        st.sampled_from([0, 0, 0, 1, 2]),  # how many appeals ago
        st.sampled_from([0, HOUR, DAY]),
    ),
    min_size=12,
    max_size=40,
)
ALLOWED = {
    "filed": {"filed", "reviewing", "withdrawn"},
    "reviewing": {"reviewing", "granted", "rejected", "withdrawn"},
    "granted": {"granted"},
    "rejected": {"rejected"},
    "withdrawn": {"withdrawn"},
}
TERMS = AppealTerms(attempts_max=2)


class Court:
    """A record with two decisions, one by a person and one by the machine, and two people."""

    def __init__(self, folder):
        self.folder, self.store, self.now = folder, scratch_store(folder), NOON
        held(self.store, REMOVE)
        added(self.store, SLOW)

    def do(self, word, who, which, nth, later):
        self.now += later + 1
        actor, given = (ALICE, BOB)[who], {"reason": "so it is", "now": self.now}
        decisions = sorted(one.id for one in self.store.decisions())
        decision = decisions[which % len(decisions)]
        appeals = [one.id for one in self.store.appeals()]
        appeal = appeals[nth % len(appeals)] if appeals else "nothing"
        with suppress(ActRefused, StoreError):
            match word:
                case "file":
                    filed(self.store, decision, by=actor, now=self.now, terms=TERMS)
                case "review":
                    review(self.store, appeal, actor=actor, **given)
                case "grant":
                    grant(self.store, appeal, POLICY, actor=actor, **given)
                case "reject":
                    reject(self.store, appeal, actor=actor, **given)
                case "withdraw":
                    withdraw(self.store, appeal, actor=actor, **given)
                case "revoke":
                    revoke(self.store, decision, actor=actor, **given)
                case "expire":
                    self.store.expire_decisions(self.now)
                case "add":
                    added(self.store, SLOW, by=actor, now=self.now)
                case _:
                    self.store.close()
                    self.store = scratch_store(self.folder)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_two_people_do_appeals_keep_their_law(tmp_path_factory, steps):
    court = Court(tmp_path_factory.mktemp("court"))
    before = {}
    for step in steps:
        court.do(*step)
        appeals = {one.id: one for one in court.store.appeals()}
        for key, appeal in appeals.items():
            assert appeal.state.value in ALLOWED[before[key].state.value if key in before else "filed"]
        assert before.keys() <= appeals.keys()
        for decision in court.store.decisions():
            against = court.store.appeals_against(decision.id)
            assert len(against) <= TERMS.attempts_max
            assert sum(one.state in OPEN for one in against) <= 1
            if any(one.state is AppealState.GRANTED for one in against):
                assert decision.state not in NOT_ENDED
            if any(one.state is AppealState.REJECTED and one.answered_by == decision.origin for one in against):
                pytest.fail("who added it rejected the appeal")
        before = appeals
    assert verify(court.store.audit_entries()).broken is None
    court.store.close()
