"""What holds whatever people do, in whatever order, with the record closed and opened again in between."""

from contextlib import suppress

import msgspec
from acting import ALICE, BAN, BOB, HOUR, REMOVE, SLOW, SLOWER, exempted, token_of
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.finding import Entity, Scope
from monitor.audit import verify
from monitor.responding.adding import add
from monitor.responding.answering import approve, reject
from monitor.responding.lapsing import settle
from monitor.responding.lifting import exempt, revoke
from monitor.responding.refusals import ActRefused
from monitor.stores import StoreError, Turn
from monitor.testing import scratch_store
from playbooks.decision import Decision, DecisionState, Mode, Reason
from playbooks.history import slot
from playbooks.policy import Policy
from playbooks.testing import NOON, decision

APPS = [Entity(Scope.APP, f"wx{number}") for number in range(2)]
ACTIONS = [SLOW, SLOWER, REMOVE, BAN]
WORDS = ("add", "held", "approve", "reject", "revoke", "exempt", "settle", "reopen")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(WORDS),
        st.integers(0, 2),  # who
        st.integers(0, 1),  # on whom
        st.integers(0, 3),  # what
        st.integers(0, 20),  # which of those there are
        st.sampled_from([0, 1, HOUR, 30 * HOUR]),  # how much later
    ),
    min_size=1,
    max_size=14,
)


class Platform:
    """A record on which two people act, one of them by a token too."""

    def __init__(self, folder):
        self.folder = folder
        self.store = scratch_store(folder)
        self.now = NOON
        self.people = [ALICE, BOB, token_of(self.store, "alice")]
        self.protected = exempted(self.store, APPS[0], until=NOON + 2 * HOUR)

    def reopen(self):
        self.store.close()
        self.store = scratch_store(self.folder)

    def do(self, word, who, whom, what, which, later):
        self.now += later
        given = {"actor": self.people[who], "reason": "so it is", "now": self.now}
        known = sorted((made.id for made in self.store.decisions()), key=str)
        key = known[which % len(known)] if known else "nothing"
        with suppress(ActRefused, StoreError):
            match word:
                case "add":
                    add(self.store, APPS[whom], ACTIONS[what], **given)
                case "held":
                    self.hold(APPS[whom], ACTIONS[what])
                case "approve":
                    approve(self.store, key, **given)
                case "reject":
                    reject(self.store, key, **given)
                case "revoke":
                    revoke(self.store, key, **given, exempt_for_s=3_600 if which % 3 == 0 else None)
                case "exempt":
                    exempt(self.store, APPS[whom], for_s=3_600, **given)
                case "settle":
                    settle(self.store, lambda: Policy(playbooks=()), self.now)
                case _:
                    self.reopen()

    def hold(self, entity, action):
        """The machine holds an act, where none like it waits or is in force: it never asks twice."""
        with self.store.acting() as acting:
            standing = acting.standing_on(entity)
        if any((one.type, one.target) == (action.act, action.aim) for one in standing):
            return
        number = self.store.last_turn() + 1
        waiting = decision(
            action,
            id=f"{number:032x}",
            value=entity.value,
            time=self.now,
            expires=self.now + action.duration_s * 1_000_000,
            answer_by=self.now + 24 * HOUR,
            reason=Reason.HELD_APPROVAL if action is BAN else Reason.HELD_BUDGET,
            state=DecisionState.AWAITING_APPROVAL if action is BAN else DecisionState.HELD,
            explanation="App: something happened; held, because so it is.",
        )
        self.store.commit(Turn(number=number, decisions=[waiting]))


def entries_of(store, action):
    return [chained.entry for chained in store.audit_entries() if chained.entry.action == action]


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_whatever_two_people_do_the_rules_hold(tmp_path_factory, steps):
    platform = Platform(tmp_path_factory.mktemp("people"))
    for step in steps:
        platform.do(*step)
        _check(platform)
    platform.store.close()


def _check(platform):
    store, now = platform.store, platform.now
    acting = store.decisions_in_force(now, [Mode.LIVE])
    places = [(one.entity, slot(one)) for one in acting]
    assert len(places) == len(set(places)), "two are in force in one place"
    assert all(one.expires > now for one in acting)
    waiting = store.waiting_decisions(100)
    asked = [(one.entity, slot(one)) for one in waiting]
    assert len(asked) == len(set(asked)), "two wait in one place"
    exempt_now = {one.value for one in store.standings(now)}
    assert not exempt_now & {one.value for one in acting}, "an exempt app is acted on"
    _check_bans(store)
    assert verify(store.audit_entries()).broken is None


def _check_bans(store):
    """Every ban that ever came into force was approved by a person, who had not asked for it."""
    approved = {entry.subject: entry for entry in entries_of(store, "decision.approve")}
    for entry in entries_of(store, "decision.add"):
        made = msgspec.json.decode(entry.after, type=Decision)
        assert made.type != "ban" or made.state is DecisionState.AWAITING_APPROVAL
    for ban in store.decisions():
        if ban.type == "ban" and ban.reason is Reason.OPERATOR:
            who = approved[ban.id].actor
            by_machine = ban.origin.startswith("playbook:")
            assert by_machine or ("alice" in who) != ("alice" in ban.origin), (
                "one person asked for a ban and approved it"
            )
