"""Short forms: who acts, on whom, and when."""

from detectors.finding import Entity, Scope
from monitor.responding.adding import add
from monitor.responding.answering import approve, reject
from monitor.stores import AppRecord, Standing, StandingKind, Turn
from monitor.tokens import Role, new_token
from playbooks.action import Ban, Remove, Throttle
from playbooks.decision import DecisionState, Reason
from playbooks.testing import NOON, decision

HOUR = 3_600 * 1_000_000
DAY = 24 * HOUR
APP = Entity(Scope.APP, "wx01")
ALICE, BOB, CAROL = (f"operator:{name}" for name in ("alice", "bob", "carol"))
BAN = Ban(duration_s=30 * 86_400)
REMOVE = Remove(duration_s=7 * 86_400)
SLOW = Throttle(duration_s=86_400, target="login", limit=60, per_s=60)
SLOWER = Throttle(duration_s=86_400, target="login", limit=9, per_s=60)


def added(store, action=SLOW, *, by=ALICE, on=APP, now=NOON, **more):
    return add(store, on, action, actor=by, reason="it must be", now=now, **more)


def approved(store, key, *, by=BOB, now=NOON + HOUR):
    return approve(store, key, actor=by, reason="seen it", now=now)


def rejected(store, key, *, by=BOB, now=NOON + HOUR):
    return reject(store, key, actor=by, reason="not so", now=now)


def held(store, action=REMOVE, *, reason=Reason.HELD_EVIDENCE, key="h" * 32, turn=1, **more):
    """What the machine has held, in the record."""
    is_ban = reason is Reason.HELD_APPROVAL
    fields = {
        "id": key,
        "reason": reason,
        "state": DecisionState.AWAITING_APPROVAL if is_ban else DecisionState.HELD,
        "explanation": "App wx01: something happened; by playbook test: done; held, because so it is.",
        "answer_by": NOON + DAY,
        "rule": "rule-1",
        "finding": "f1",
        **more,
    }
    waiting = decision(action, **fields)
    store.commit(Turn(number=turn, time=NOON, decisions=[waiting]))
    return waiting


def exempted(store, entity=APP, *, until=NOON + 30 * DAY, key="e1"):
    standing = Standing(
        id=key,
        kind=StandingKind.EXEMPTION,
        scope=entity.scope.value,
        value=entity.value,
        reason="ours",
        actor=CAROL,
        created=NOON,
        expires=until,
    )
    store.add_standing(standing)
    return standing


def registered(store, *lines, as_of=NOON - DAY):
    records = [AppRecord(app_id=app, as_of=as_of, document=document) for app, document in lines]
    store.import_apps(records, CAROL, as_of)


def token_of(store, name, maker=CAROL):
    """Who comes with a token of this name, as the audit calls them."""
    token, _text = new_token(name, [Role.APPROVER, Role.RESPONDER], created=NOON, expires=NOON + DAY, actor=maker)
    store.add_token(token, "for them")
    return f"token:{token.id} ({token.name})"


def standing(store, now=NOON + HOUR):
    """What is in force."""
    return [(each.value, each.type.value, each.target) for each in store.decisions_in_force(now)]


def words(store):
    """What the audit says was done to decisions, by whom."""
    entries = [chained.entry for chained in store.audit_entries()]
    return [(entry.action, entry.actor) for entry in entries if entry.action.startswith("decision.")]
