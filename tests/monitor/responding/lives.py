"""Lives that towns go through: what is found in them and what people do, and whether two of them came to the same."""

import tempfile
from pathlib import Path

import msgspec
from hypothesis import strategies as st
from town import LADDER, Town, alike

from detectors.finding import Entity, Scope, Severity
from monitor.responding.undoing import NothingToUndo
from monitor.stores import StandingKind
from playbooks.action import Captcha, Throttle
from playbooks.decision import Reason
from playbooks.playbook import parse_playbooks
from playbooks.risk import MICROSECONDS
from playbooks.testing import decision, finding

SHARED = Path("/dev/shm")  # a record on a disk waits for the disk at every commit
LIBRARY = Path(__file__).parents[3] / "playbooks" / "library"
STOCK = parse_playbooks([(path.name, path.read_text()) for path in sorted(LIBRARY.glob("*.yaml"))])[0]
BY_OWNER = tuple(msgspec.structs.replace(one, per_owner=True) for one in LADDER)
PLAYBOOKS = {"ladder": LADDER, "by owner": BY_OWNER, "stock": STOCK}
ENTITIES = [
    *(Entity(Scope.APP, f"wx{number}") for number in range(3)),
    Entity(Scope.ADDRESS, "10.0.0.1"),
    Entity(Scope.DEVELOPER, "dev1"),
]
GAPS_S = (1, 60, 3_600, 7_300, 90_000, 3 * 86_400)
"""How long nothing happens."""
ACTS = [Throttle(duration_s=86_400, limit=9, per_s=60), Captcha(duration_s=7_200)]


@st.composite
def found(draw, now_s, entities=ENTITIES):
    """Some findings that a turn may have."""
    return [
        finding(
            entity=draw(st.sampled_from(entities)),
            rule=draw(st.sampled_from(["bad", "bad", "good", "other"])),
            after_s=now_s - draw(st.sampled_from([0, 1, 2, 600])),
            severity=draw(st.sampled_from([Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL])),
            kind=draw(st.sampled_from(["rule", "rule", "statistical", "learned"])),
            proof=draw(st.booleans()),
            behaviour=draw(st.sampled_from([8, 11, 15, 16])),
            owner=draw(st.sampled_from([None, "dev1", "dev2"])),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]


@st.composite
def lives(draw, begin_s=0, turns=9, gaps=GAPS_S, entities=ENTITIES):
    """What happens one after another: turns with findings, and what people do in between."""
    steps, now_s, seen = [], begin_s, set()
    for _ in range(draw(st.integers(1, turns))):
        now_s += draw(st.sampled_from(gaps))
        kind = draw(st.sampled_from(["turn"] * 4 + ["revoke", "stand", "except", "add", "expire"]))
        if kind == "turn":
            fresh = {one.id: one for one in draw(found(now_s, entities)) if one.id not in seen}
            seen |= set(fresh)
            steps.append((now_s, "turn", list(fresh.values())))
        elif kind in {"revoke", "expire"}:
            steps.append((now_s, kind, draw(st.integers(0, 3))))
        else:
            steps.append((now_s, kind, (draw(st.sampled_from(entities)), draw(st.sampled_from(ACTS)))))
    return steps, now_s + draw(st.sampled_from([gaps[0], 3_600, gaps[-1]]))


def lived(town, life, revoked=None):
    """Let a town live through it; gives what people lifted, by step, for another life in which they say the same."""
    steps, end_s = life
    words = {}
    for now_s, kind, what in steps:
        town.now_s = now_s
        if kind == "turn":
            town.turn(what)
        elif kind == "expire":
            town.expire()
        elif kind == "revoke" and revoked is None:
            acts = sorted(town.in_force().values(), key=lambda one: one.id)
            if acts:
                words[now_s] = acts[what % len(acts)]
                town.revoke(words[now_s])
        elif kind == "revoke":
            if now_s in revoked:
                town.revoke(revoked[now_s])
        elif kind == "stand":
            town.stand(StandingKind.EXEMPTION, what[0])
        elif kind == "except":
            town.stand(StandingKind.EXCEPTION, what[0], rule="good")
        else:
            act = decision(
                what[1],
                id=f"added-{now_s}",
                time=town.now,
                scope=what[0].scope,
                value=what[0].value,
                expires=town.now + what[1].duration_s * MICROSECONDS,
                origin="operator:ann",
                reason=Reason.OPERATOR,
            )
            town.add(act)
    town.now_s = end_s
    return words


def two(playbooks):
    folder = Path(tempfile.mkdtemp(dir=SHARED if SHARED.is_dir() else None))
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    return Town(folder / "a", PLAYBOOKS[playbooks]), Town(folder / "b", PLAYBOOKS[playbooks], without={"bad"})


def undone(town, rule="bad", **more):
    try:
        return town.undo(rule, **more)[1]
    except NothingToUndo:
        return []


def check_same(town, without):
    """What is in force is what would be without the rule, but for what waits because of the undo; all else is the same."""
    here, there = town.in_force(), without.in_force()
    asked = {key: one for key, one in town.waiting().items() if key in there}
    assert set(here) | set(asked) == set(there)
    assert not set(here) & set(asked)
    assert {one.reason for one in asked.values()} <= {Reason.HELD_UNDO, Reason.HELD_LOOP, Reason.HELD_EXEMPT}
    assert [alike(here[key]) for key in here] == [alike(there[key]) for key in here]
    assert {asked[key].expires for key in asked} == {there[key].expires for key in asked}
    assert set(town.waiting()) - set(there) == set(without.waiting())
    assert town.risks(ENTITIES) == without.risks(ENTITIES)
    assert opened(town) == opened(without)


def opened(town):
    return {
        entity: msgspec.structs.replace(one, id="", tier="")
        for entity, one in town.store.open_incidents(ENTITIES).items()
    }


def acts(town):
    """What is in force, or would be but for an undo."""
    return set(town.in_force()) | set(town.waiting(Reason.HELD_UNDO))
