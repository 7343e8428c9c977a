"""Whatever comes, and whoever acts at the same time: never more acts than the budgets allow, none on what is protected, none for ever, no ban without a person.

Storms go through the real record with two responders, which are interrupted by one another and by people between deciding and committing, and
started again in the middle. Clocks jump. A hundred or so storms run with the other tests; ``STORMS=10000`` makes it ten thousand.
"""

import atexit
import json
import os
import tempfile
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from detectors.finding import Entity, Scope, Severity
from monitor.config import load_config
from monitor.holding import AlreadySo, in_shadow, pause, resume, unshadow
from monitor.registry import parse_registry
from monitor.responding.adding import add
from monitor.responding.answering import approve
from monitor.responding.lifting import revoke
from monitor.responding.refusals import ActRefused
from monitor.rulings import Rulings
from monitor.settings import Settings
from monitor.stores import StaleTurn, Standing, StandingKind, Turn, tables
from monitor.stream.committing import TurnCommitter
from monitor.testing import scratch_store
from playbooks.action import Ban
from playbooks.bounds import BudgetConfig, GuardConfig
from playbooks.decision import DecisionState, Mode, Reason, Tier
from playbooks.playbook import parse_playbooks
from playbooks.surroundings import Active, Behind, Health
from playbooks.testing import NOON, finding

STORMS = int(os.environ.get("STORMS", "120"))
SECOND = 1_000_000
HOUR = 3_600 * SECOND
LADDER = """\
name: ladder
title: Every rung, soon
priority: 1
match: {scopes: [AppId, DeveloperId, OpenId, Ip]}
steps:
  - {tier: warn, when: {risk: 8}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 30}, actions: [{type: throttle, limit: 9, per: 1m, for: 24h}, {type: captcha, for: 2h}]}
  - {tier: throttle, when: {risk: 40, repeats: 1}, actions: [{type: throttle, limit: 3, per: 1m, for: 200d}]}
  - {tier: remove, when: {risk: 50}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 70}, actions: [{type: ban, for: 30d}]}
"""
PLAYBOOKS = parse_playbooks([("ladder.yaml", LADDER)])[0]
BUDGET = BudgetConfig(
    warn_per_hour=6,
    throttle_per_hour=3,
    remove_per_hour=2,
    ban_per_hour=1,
    all_per_hour=8,
    rule_per_hour=5,
    rule_share=0.3,
    tier_share=0.3,
    all_share=0.5,
    apps_min=10,
    people_min=10,
)
GUARDS = GuardConfig(new_rule_acts=2)
ENTITIES = [
    *(Entity(Scope.APP, f"wx{n}") for n in range(8)),
    *(Entity(Scope.USER, f"u{n}") for n in range(4)),
    *(Entity(Scope.ADDRESS, f"10.0.0.{n}") for n in range(3)),
    Entity(Scope.DEVELOPER, "dev0"),
    Entity(Scope.DEVELOPER, "dev1"),
]
PROTECTED = {"wx0": "dev0"}  # from the beginning; wx1 (dev1) is made so by people
HEALTHS = [Health()] * 4 + [
    Health(clock_off_s=86_400),
    Health(input_late_s=86_400),
    Health(dead_letter_share=0.5),
    Health(new_rules={"rule-1": NOON, "rule-2": NOON - HOUR}),
]


class Around:
    """What goes on around, as the storm says."""

    def __init__(self, storm):
        self.storm = storm

    def active(self, findings):
        return {one.id: self.storm.active for one in findings}

    def behind(self, findings, _orders):
        return {one.entity: Behind(people=self.storm.behind) for one in findings}

    def seen_by(self, policy):
        return msgspec.structs.replace(policy, health=self.storm.health)


class Storm:
    """One record, two responders, people, and a clock that anything may happen to."""

    def __init__(self, stores):
        self.store, self.stores = stores[0], stores
        _empty(stores[0])
        self.now, self.active, self.behind, self.health = NOON, Active(), 0, Health()
        self.protected = dict(PROTECTED)
        self.touched_when_protected = {}
        self.begun_before_pause = None
        self.found = 0
        self.register("wx0", "dev0")
        self.responders = [self.responder(store) for store in stores]
        self.meanwhile = None

    def responder(self, store):
        rulings = Rulings(CONFIG, _Loaded(), store, lambda: self.now, (), self.apps, self.owners)
        rulings._policy = msgspec.structs.replace(rulings._policy, budget=BUDGET, guards=GUARDS, playbooks=PLAYBOOKS)
        settings = Settings(until_end=False, deliver=False)
        committer = TurnCommitter(
            store, rulings, settings, lambda: self.now, lambda step: step(), lambda _: nullcontext(), Around(self)
        )
        decided = committer.decided

        def interrupted(fresh, orders):
            outcome = decided(fresh, orders)
            happening, self.meanwhile = self.meanwhile, None
            if happening is not None:
                happening()
            return outcome

        committer.decided = interrupted
        return committer

    def apps(self):
        return frozenset(Entity(Scope.APP, app) for app in self.registered())

    def owners(self):
        return frozenset(Entity(Scope.DEVELOPER, owner) for owner in self.registered().values())

    def registered(self):
        return {one.app_id: json.loads(one.document)["developer_id"] for one in self.store.apps()}

    def register(self, app, owner):
        line = {"app_id": app, "developer_id": owner, "protected": True}
        records, _ = parse_registry([json.dumps(line).encode()], NOON - 30 * 24 * HOUR)
        self.store.import_apps(records, "operator:ann", self.now)

    def findings(self, made):
        fresh = []
        for fields in made:
            self.found += 1
            owner = {"wx0": "dev0", "wx1": "dev1"}.get(fields["entity"].value)
            time = self.now - fields["age_s"] * SECOND - self.found
            given = {name: value for name, value in fields.items() if name != "age_s"}
            fresh.append(finding(**given, owner=owner, time=time, id=f"f{self.found:030}"))
        return fresh

    def turn(self, which, made):
        """One responder's turn; overtaken by the other's, it is decided anew."""
        fresh = self.findings(made)
        for _ in range(5):
            number = self.store.last_turn() + 1
            try:
                return self.responders[which].commit(Turn(number=number, time=self.now, findings=fresh), fresh, {})
            except StaleTurn:
                continue
        raise AssertionError("overtaken again and again")

    def restart(self, which):
        self.responders[which] = self.responder(self.stores[which])

    def machine(self):
        """What machines put in force, by when it began."""
        return [one for one in self.store.decisions() if one.mode is Mode.LIVE and one.reason is Reason.PLAYBOOK]

    def meeting(self, app, owner):
        whom = {Entity(Scope.APP, app), Entity(Scope.DEVELOPER, owner)}
        return {one.id for one in self.store.decisions() if one.entity in whom and acts(one)}

    # People

    def pause(self):
        pause(self.store, "operator:ann", "Something is off", self.now)
        self.begun_before_pause = {one.id for one in self.machine()}

    def resume(self):
        self.check_pause()
        self.begun_before_pause = None
        with suppress(AlreadySo):
            resume(self.store, "operator:ann", "Mended", self.now)

    def protect(self):
        self.register("wx1", "dev1")
        self.protected["wx1"] = "dev1"
        self.touched_when_protected.setdefault("wx1", self.meeting("wx1", "dev1"))

    def exempt(self):
        exemption = Standing(
            id="e", kind=StandingKind.EXEMPTION, scope="OpenId", value="u0", reason="ours", actor="operator:ann",
            created=self.now, expires=self.now + HOUR,
        )  # fmt: skip
        self.store.add_standing(exemption)

    def approve(self):
        for one in list(self.store.decisions()):
            if one.state in {DecisionState.HELD, DecisionState.AWAITING_APPROVAL}:
                with suppress(ActRefused):
                    approve(self.store, one.id, actor="operator:bob", reason="Seen it", now=self.now)
                return

    def ask(self):
        """A ban that a person asks for."""
        with suppress(ActRefused):
            entity, ban = Entity(Scope.APP, "wx3"), Ban(duration_s=30 * 86_400)
            add(self.store, entity, ban, actor="operator:ann", reason="It must be", now=self.now)

    def approve_own(self):
        for one in list(self.store.decisions()):
            if one.origin == "operator:ann" and one.state in {DecisionState.HELD, DecisionState.AWAITING_APPROVAL}:
                for _ in range(2):
                    with suppress(ActRefused):
                        approve(self.store, one.id, actor="operator:ann", reason="It must be", now=self.now)

    def revoke(self):
        for one in list(self.store.decisions()):
            if one.state is DecisionState.ACTIVE:
                revoke(self.store, one.id, actor="operator:bob", reason="A mistake", now=self.now)

    def lift(self):
        for rule in in_shadow(self.store, self.now):
            unshadow(self.store, rule, "operator:bob", "It is right", self.now)

    def expire(self):
        self.store.expire_decisions(self.now)

    # What must hold

    def check(self):
        self.check_pause()
        began = self.machine()
        for bound, alike in self.bounds():
            times = sorted(one.time for one in began if alike(one) and acts(one))
            over = [first for first, last in zip(times, times[bound:], strict=False) if last - first < HOUR]
            assert not over, f"{len(times)} acts, more than {bound} within an hour"
        for app, owner in self.protected.items():
            assert self.meeting(app, owner) <= self.touched_when_protected.get(app, set())
        for one in self.store.decisions():
            assert one.expires > one.time
            if acts(one) and one.reason is Reason.PLAYBOOK:
                assert one.tier is not Tier.BAN
                assert one.duration_s <= GUARDS.duration_s
                assert one.expires == one.time + one.duration_s * SECOND
            if one.tier is Tier.BAN and one.state is DecisionState.ACTIVE:
                assert one.reason is Reason.OPERATOR
                assert self.approvers(one.id) - {one.origin}, "who asked for a ban approved it alone"

    def approvers(self, key):
        entries = (one.entry for one in self.store.audit_entries())
        return {one.actor for one in entries if one.subject == key and one.action == "decision.approve"}

    def bounds(self):
        for tier in (Tier.WARN, Tier.THROTTLE, Tier.REMOVE, Tier.BAN):
            yield BUDGET.per_hour(tier), lambda one, tier=tier: one.tier is tier
        for rule in ("rule-1", "rule-2", "rule-3"):
            yield BUDGET.rule_per_hour, lambda one, rule=rule: one.rule == rule
        yield BUDGET.all_per_hour, lambda _one: True

    def check_pause(self):
        if self.begun_before_pause is not None:
            assert {one.id for one in self.machine()} <= self.begun_before_pause


def acts(decision):
    """Whether a decision was ever in force."""
    never = {DecisionState.PROPOSED, DecisionState.HELD, DecisionState.AWAITING_APPROVAL, DecisionState.REJECTED}
    return decision.state not in never and decision.reason in {Reason.PLAYBOOK, Reason.OPERATOR}


@cache
def _two_stores():
    """One record opened twice, as two processes have it; used by one storm after another."""
    folder = tempfile.TemporaryDirectory(dir=FAST)
    atexit.register(folder.cleanup)
    return [scratch_store(Path(folder.name)) for _ in range(2)]


def _empty(store):
    """Nothing has happened yet."""
    with store._database.writing("test") as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(table.delete())


class _Loaded:
    playbooks = PLAYBOOKS


CONFIG = load_config(None, {})


PEOPLE = ["pause", "resume", "protect", "exempt", "approve", "ask", "approve_own", "revoke", "lift", "expire"]
FINDINGS = st.lists(
    st.fixed_dictionaries(
        {
            "entity": st.sampled_from(ENTITIES),
            "rule": st.sampled_from(["rule-1", "rule-1", "rule-2", "rule-3"]),
            "severity": st.sampled_from([Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL]),
            "kind": st.sampled_from(["rule", "rule", "statistical", "learned", "integrity"]),
            "proof": st.booleans(),
            "age_s": st.sampled_from([0, 0, 0, 60, 86_400]),
        }
    ),
    min_size=1,
    max_size=6,
)
STEPS = st.one_of(
    st.tuples(st.just("turn"), st.integers(0, 1), FINDINGS, st.none()),
    st.tuples(st.just("turn"), st.integers(0, 1), FINDINGS, FINDINGS),
    st.tuples(st.just("turn"), st.integers(0, 1), FINDINGS, st.sampled_from(PEOPLE)),
    st.tuples(st.just("people"), st.sampled_from(PEOPLE)),
    st.tuples(st.just("clock"), st.sampled_from([1, 60, 1_800, 3_599, 3_600, 86_400, -60, -3_600, -86_400])),
    st.tuples(st.just("around"), st.sampled_from([0, 20, 1_000]), st.sampled_from([0, 50]), st.sampled_from(HEALTHS)),
    st.tuples(st.just("restart"), st.integers(0, 1)),
)


def weather(storm, step):
    """Let one thing happen."""
    match step:
        case ("turn", which, made, None):
            storm.turn(which, made)
        case ("turn", which, made, str(person)):
            storm.meanwhile = getattr(storm, person)
            storm.turn(which, made)
        case ("turn", which, made, others):
            storm.meanwhile = lambda: storm.turn(1 - which, others)
            storm.turn(which, made)
        case ("people", person):
            getattr(storm, person)()
        case ("clock", seconds):
            storm.now += seconds * SECOND
        case ("around", active, behind, health):
            storm.active, storm.behind, storm.health = Active(apps=active, people=active), behind, health
        case ("restart", which):
            storm.restart(which)


FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@settings(
    max_examples=STORMS,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(STEPS, min_size=1, max_size=14))
def test_no_storm_breaks_the_bounds(steps):
    storm = Storm(_two_stores())
    for step in steps:
        weather(storm, step)
    storm.check()
