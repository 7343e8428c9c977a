"""The list of changes: whoever keeps its place, and asks as it likes, knows what is in force, and is told at once."""

import contextlib
import threading
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.finding import Scope
from monitor.audit import AuditEntry
from monitor.console import access, waiting
from monitor.console import changes as page
from monitor.responding.lifting import revoke
from monitor.stores import Turn
from monitor.stores.backup import _begin_anew
from monitor.stores.record import AlreadyEnded, NotFound
from monitor.testing import scratch_store, stored_decision
from monitor.tokens import Role
from playbooks.decision import Act, DecisionState, Mode, Reason

PATH = page.PATH
SECOND = 1_000_000


def decided(site, *decisions):
    site.store.commit(Turn(number=site.store.last_turn() + 1, decisions=decisions))


def made(site, key="d1", lasts_s=3600, **more):
    return stored_decision(key, time=site.now, expires=site.now + lasts_s * SECOND, **more)


def asked(site, token, **query):
    answer = site.get(PATH, token, params=query, timeout=40)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def token(site):
    return site.token(Role.BOUNCER)


def test_with_nothing_decided_there_is_nothing_to_tell(site, token):
    assert asked(site, token) == {"position": 0, "more": False, "anew": True, "changes": []}


def test_a_decision_is_told_whole(site, token):
    decided(site, made(site, target="getLocation", parameters={"limit": 60, "per_s": 60}))
    assert asked(site, token, after=0) == {
        "position": 1,
        "more": False,
        "anew": True,
        "changes": [
            {
                "number": 1,
                "id": "d1",
                "scope": "AppId",
                "value": "wx0001",
                "type": "throttle",
                "target": "getLocation",
                "parameters": {"limit": 60, "per_s": 60},
                "in_force": True,
                "state": "active",
                "begun": "2026-03-03T01:06:40.000000Z",
                "expires": "2026-03-03T02:06:40.000000Z",
                "explanation": "Seen once.",
            }
        ],
    }


def test_whoever_begins_is_told_only_what_is_in_force_and_then_what_ends(site, token):
    decided(site, made(site, "d1"), made(site, "d2", value="wx2"), made(site, "d3", value="wx3", lasts_s=0))
    revoke(site.store, "d1", actor="operator:ann", reason="a mistake", now=site.now)
    first = asked(site, token, after=0)
    assert [change["id"] for change in first["changes"]] == ["d2"]
    revoke(site.store, "d2", actor="operator:ann", reason="a mistake", now=site.now)
    then = asked(site, token, after=first["position"])
    assert [(one["id"], one["number"], one["in_force"], one["state"]) for one in then["changes"]] == [
        ("d2", 2, False, "revoked")
    ]


def test_the_end_of_a_decision_that_ran_out_is_told(site, token):
    decided(site, made(site, lasts_s=1))
    position = asked(site, token)["position"]
    site.now += 2 * SECOND
    site.store.expire_decisions(site.now)
    then = asked(site, token, after=position)["changes"]
    assert [(one["id"], one["in_force"], one["state"]) for one in then] == [("d1", False, "expired")]


@pytest.mark.parametrize(
    "never",
    [
        {"mode": Mode.SHADOW},
        {"mode": Mode.REPLAY},
        {"state": DecisionState.HELD, "reason": Reason.HELD_BUDGET},
        {"state": DecisionState.EXPIRED, "reason": Reason.HELD_APPROVAL},
        {"state": DecisionState.REJECTED, "reason": Reason.HELD_APPROVAL},
    ],
    ids=str,
)
def test_what_was_never_in_force_is_told_to_no_enforcer(site, token, never):
    decided(site, made(site, "d0", value="wx0"))
    decided(site, made(site, **never))
    assert [change["id"] for change in asked(site, token, after=1)["changes"]] == []


def test_scopes_that_are_not_asked_for_are_left_out(site, token):
    decided(site, made(site), made(site, "d2", scope=Scope.ADDRESS, value="192.0.2.1", type=Act.CAPTCHA))
    assert [change["id"] for change in asked(site, token, scopes="Ip,Range")["changes"]] == ["d2"]


def test_long_lists_come_in_parts(site, token, monkeypatch):
    monkeypatch.setattr(page, "CHANGES_MAX", 3)
    decided(site, *(made(site, f"d{number}", value=f"wx{number}") for number in range(7)))
    position, parts = 0, []
    while True:
        answer = asked(site, token, after=position)
        position = answer["position"]
        parts.append([change["number"] for change in answer["changes"]])
        if not answer["more"]:
            break
    assert (parts, position) == ([[1, 2, 3], [4, 5, 6], [7]], 7)


def test_a_place_that_lies_ahead_of_the_record_begins_again(site, token):
    decided(site, made(site))
    answer = asked(site, token, after=500, wait_s=20)
    assert (answer["position"], answer["anew"], [change["id"] for change in answer["changes"]]) == (1, True, ["d1"])


def test_after_a_restore_one_begins_anew_and_then_goes_on(site, token, monkeypatch):
    decided(site, *(made(site, f"d{number}", value=f"wx{number}") for number in range(5)))
    entry = AuditEntry(time=site.now, actor="operator:ann", action="backup.restore", subject="b", reason="lost")
    _begin_anew(site.store._database.path, entry)
    monkeypatch.setattr(page, "CHANGES_MAX", 2)
    answers = [asked(site, token, after=3)]
    while answers[-1]["more"]:
        answers.append(asked(site, token, after=answers[-1]["position"]))
    assert [(one["anew"], [change["number"] for change in one["changes"]]) for one in answers] == [
        (True, [1, 2]),
        (False, [3, 4]),
        (False, [5]),
    ]


@pytest.mark.parametrize(
    "query",
    [{"after": "-1"}, {"after": "x"}, {"after": "9" * 30}, {"wait_s": "31"}, {"wait_s": "nan"}, {"scopes": "Ip,Cat"}],
    ids=str,
)
def test_a_question_that_is_none_is_refused(site, token, query):
    assert site.get(PATH, token, params=query).status_code == 400


def test_it_is_for_bouncers(site):
    assert site.get(PATH).status_code == 401
    assert site.get(PATH, site.token(Role.VIEWER)).status_code == 403


def test_who_waits_is_told_as_soon_as_it_is_committed(site, token, monkeypatch):
    monkeypatch.setattr(waiting, "LOOK_S", 30)  # else the next look would tell in place of the commit
    told = []

    def wait():
        answer = asked(site, token, wait_s=20)
        told.append((time.monotonic(), [change["id"] for change in answer["changes"]]))

    thread = threading.Thread(target=wait)
    thread.start()
    _until(lambda: site.front.watch._waiting)
    decided(site, made(site, "shadow", mode=Mode.SHADOW))
    time.sleep(0.1)
    begun = time.monotonic()
    decided(site, made(site))
    thread.join(5)
    assert [ids for _, ids in told] == [["d1"]]
    assert told[0][0] - begun < 1.0  # 50 ms is the aim; this machine may be busy


def test_what_another_process_commits_wakes_too(site, token, monkeypatch):
    monkeypatch.setattr(waiting, "LOOK_S", 0.05)
    told = []
    thread = threading.Thread(target=lambda: told.append(asked(site, token, wait_s=20)))
    thread.start()
    _until(lambda: site.front.watch._waiting)
    beside = scratch_store(site.store._database.path.parent)
    beside.commit(Turn(number=1, decisions=[made(site)]))
    beside.close()
    thread.join(5)
    assert [change["id"] for change in told[0]["changes"]] == ["d1"]


def test_a_token_that_is_revoked_while_it_waits_is_told_nothing_more(site, token, monkeypatch):
    monkeypatch.setattr(access, "FRESH_S", 0.0)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(site.get(PATH, token, params={"wait_s": 20}, timeout=40)))
    thread.start()
    _until(lambda: site.front.watch._waiting)
    site.store.revoke_token(token.split("_")[1], "operator:ann", "lost", site.now)
    decided(site, made(site))
    thread.join(5)
    assert [(answer.status_code, answer.json()) for answer in answers] == [(401, {"message": "this token was revoked"})]
    assert [(page, why) for _, page, why in site.refused()] == [(PATH, "revoked")]


def test_with_nothing_new_the_answer_comes_when_the_time_is_over(site, token):
    begun = time.monotonic()
    assert asked(site, token, wait_s=0.3) == {"position": 0, "more": False, "anew": True, "changes": []}
    assert time.monotonic() - begun >= 0.3


def test_who_hangs_up_waits_no_longer(site, token):
    with pytest.raises(httpx.ReadTimeout):
        site.get(PATH, token, params={"wait_s": 30}, timeout=0.3)
    _until(lambda: not site.front.watch._waiting)


def test_no_more_than_so_many_wait(site, token, monkeypatch):
    monkeypatch.setattr(waiting, "WAITING_MAX", 0)
    answer = site.get(PATH, token, params={"wait_s": 30})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


def test_a_stop_lets_go_of_who_waits(site, token):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(asked(site, token, wait_s=30)))
    thread.start()
    _until(lambda: site.front.watch._waiting)
    site.front.stop()
    thread.join(5)
    assert answers == [{"position": 0, "more": False, "anew": True, "changes": []}]


def _until(true, within_s=5.0):
    ends = time.monotonic() + within_s
    while not true() and time.monotonic() < ends:
        time.sleep(0.005)
    assert true()


KEYS = [f"d{number}" for number in range(5)]
STEPS = st.one_of(
    st.tuples(st.just("decide"), st.sampled_from(KEYS), st.integers(1, 5)),
    st.tuples(st.just("revoke"), st.sampled_from(KEYS), st.just(0)),
    st.tuples(st.just("time"), st.just(""), st.integers(1, 3)),
    st.tuples(st.just("expire"), st.just(""), st.just(0)),
    st.tuples(st.just("ask"), st.just(""), st.integers(1, 3)),
    st.tuples(st.just("begin again"), st.just(""), st.just(0)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=25))
def test_however_one_asks_one_ends_with_what_is_in_force(tmp_path_factory, monkeypatch, steps):
    store = scratch_store(tmp_path_factory.mktemp("record"))
    clock = [1000 * SECOND]
    watch = waiting.Watch(store.last_decision_change)
    asks = page.ChangesPage(store, lambda: clock[0], watch, guard=None)
    held, position, turn = {}, 0, 0

    def ask(most):
        nonlocal position
        monkeypatch.setattr(page, "CHANGES_MAX", most)
        _, answer = asks._told(page.Question(after=position))
        position = answer["position"]
        for change in answer["changes"]:
            held.pop(change["id"], None)
            if change["in_force"]:
                held[change["id"]] = change["expires"]
        return answer["more"]

    for kind, key, number in steps:
        match kind:
            case "decide":
                turn += 1
                expires = clock[0] + number * SECOND
                store.commit(Turn(number=turn, decisions=[stored_decision(key, value=key, expires=expires)]))
            case "revoke":
                with contextlib.suppress(NotFound, AlreadyEnded):
                    revoke(store, key, actor="operator:ann", reason="a mistake", now=clock[0])
            case "time":
                clock[0] += number * SECOND
            case "expire":
                store.expire_decisions(clock[0])
            case "ask":
                ask(number)
            case "begin again":
                held, position = {}, 0
    while ask(2):
        pass
    now = page.told_time(clock[0])
    held = {key: expires for key, expires in held.items() if expires > now}  # an enforcer ends them by itself
    assert held == {one.id: page.told_time(one.expires) for one in store.decisions_in_force(clock[0])}
    store.close()
