"""Who gets in, who does not, and what the audit has of it."""

import base64
import json
import threading
import time

import pytest
from starlette.responses import Response

from monitor.console import access, clients
from monitor.console.access import credential
from monitor.console.clients import Limits, Lockout, Pace, network_of
from monitor.console.pages import Page
from monitor.console.refusals import KINDS_MAX, Kind, Refusals, Why
from monitor.moments import HOUR_US
from monitor.stores import StoreError
from monitor.tokens import Role, new_token


async def _hello(_request, token):
    return Response(token.id if token else "stranger")


PAGES = [Page(f"/for/{role}", ("GET",), _hello, role) for role in Role]

MATRIX = {
    Role.INGEST: {Role.INGEST},
    Role.BOUNCER: {Role.BOUNCER},
    Role.VIEWER: {Role.VIEWER},
    Role.RESPONDER: {Role.RESPONDER, Role.VIEWER},
    Role.APPROVER: {Role.APPROVER, Role.VIEWER},
    Role.ADMIN: set(Role),
}


def test_every_role_gets_to_its_pages_and_to_no_other(make_site):
    site = make_site(PAGES)
    found = {}
    for role in Role:
        token = site.token(role)
        found[role] = {other for other in Role if site.get(f"/for/{other}", token).status_code == 200}
    assert found == MATRIX


def test_who_presents_nothing_or_something_else_is_refused_and_audited(make_site):
    site = make_site(PAGES)
    other = new_token("x", [Role.ADMIN], created=0, expires=2**60, actor="x")[1]
    assert site.get("/for/viewer").json() == {"message": "this needs a token: Authorization: Bearer mw_…"}
    assert site.get("/for/viewer").headers["WWW-Authenticate"] == "Bearer"
    for wrong in ("x", other, "mw_" + "0" * 12 + "_" + "A" * 43):
        assert site.get("/for/viewer", wrong).status_code == 401
    assert site.get("/for/viewer", site.token(Role.INGEST)).status_code == 403
    reasons = {why for _, page, why in site.refused() if page == "/for/viewer"}
    assert reasons == {"no-token", "bad-token", "role"}


def test_who_has_another_role_is_told_which_ones_it_takes(make_site):
    told = make_site(PAGES)
    for role in Role:
        refused = next(own for own in Role if role not in MATRIX[own])
        takes = ", ".join(own for own in Role if role in MATRIX[own])
        message = f"this token has not the role for that: it takes one of {takes}"
        assert told.get(f"/for/{role}", told.token(refused)).json() == {"message": message}


def test_a_token_that_expired_or_was_revoked_says_so_only_to_who_knows_its_secret(make_site):
    site = make_site(PAGES)
    short, revoked = site.token(Role.VIEWER, lasts_us=5), site.token(Role.VIEWER)
    site.store.revoke_token(revoked.split("_")[1], "operator:test", "lost", site.now)
    site.now += 10
    site.front.guard._known._read()
    assert site.get("/for/viewer", short).json() == {"message": "this token has expired"}
    assert site.get("/for/viewer", revoked).json() == {"message": "this token was revoked"}
    assert site.get("/for/viewer", revoked[:-1] + "_").json() == {"message": "this token is not known here"}


def test_after_too_many_failures_a_client_waits_and_others_do_not(make_site):
    site = make_site(PAGES, failures_max=3)
    good, revoked = site.token(Role.VIEWER), site.token(Role.VIEWER)
    site.store.revoke_token(revoked.split("_")[1], "operator:test", "lost", site.now)
    site.front.guard._known._read()
    assert [site.get("/for/viewer", revoked).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert int(site.get("/for/viewer", revoked).headers["Retry-After"]) in range(290, 301)
    assert [site.get("/for/viewer", "guess").status_code for _ in range(4)] == [401, 401, 401, 429]
    assert site.get("/for/viewer", good).status_code == 200


def test_who_asks_too_often_is_told_to_wait(make_site):
    site = make_site(PAGES, requests_per_s_max=1.0)
    token = site.token(Role.VIEWER)
    answers = [site.get("/for/viewer", token) for _ in range(4)]
    assert [answer.status_code for answer in answers][:2] == [200, 200]
    assert answers[-1].status_code == 429
    assert answers[-1].headers["Retry-After"] == "1"


def test_tokens_may_come_as_programs_are_used_to_send_them():
    token = new_token("x", [Role.INGEST], created=0, expires=1, actor="x")[1]
    basic = base64.b64encode(f"shipper:{token}".encode()).decode()
    for headers in (
        {"authorization": f"Bearer {token}"},
        {"authorization": f"bearer  {token}"},
        {"authorization": f"Basic {basic}"},
        {"authorization": f"ApiKey {token}"},
        {"authorization": f"ApiKey {basic}"},
        {"x-api-key": token},
    ):
        assert credential(headers) == token
    assert credential({"authorization": "Basic ###"}) == ""
    assert credential({"authorization": f"Digest {token}"}) is None


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::1", "::1"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("\x00", "unknown"),
    ],
)
def test_whom_an_address_stands_for(address, network):
    assert network_of(address) == network


def test_however_many_clients_come_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(clients, "CLIENTS_MAX", 100)
    limits = Limits()
    pace, lockout = Pace(limits), Lockout(limits)
    for number in range(1000):
        pace.wait_s(str(number), 0.0)
        lockout.failed(str(number), "", 0.0)
    assert (len(pace._left), len(lockout._failures)) == (100, 100)


def test_failures_that_lie_apart_do_not_add_up():
    lockout = Lockout(Limits(failures_max=2, lockout_s=10))
    for at in (0.0, 11.0, 22.0):
        lockout.failed("a", "", at)
        assert lockout.wait_s("a", "", at) == 0
    lockout.failed("a", "", 23.0)
    assert lockout.wait_s("a", "", 24.0) == 9.0


def test_a_stranger_cannot_fill_the_audit():
    refusals, entries = Refusals(), []
    for number in range(100_000):
        kind = Kind(client=str(number % 5000), why=Why.BAD_TOKEN, page="/v1/events")
        refusals.note(kind, number * 60_000)
        if number % 100 == 0:
            entries += refusals.entries(number * 60_000)
    entries += refusals.entries(100_000 * 60_000, leaving=True)
    hours = 100_000 * 60_000 / HOUR_US
    assert len(entries) <= (hours + 1) * (2 * KINDS_MAX + 1)
    assert sum(json.loads(entry.after)["times"] for entry in entries) == 100_000


class Busy:
    """Stands for the tokens of a record that may be busy, or cannot be read."""

    def __init__(self):
        self.asked = 0
        self.fails = False
        self.free = threading.Event()
        self.free.set()
        self.token, _ = new_token("t", [Role.INGEST], created=0, expires=2**60, actor="operator:test")

    def __call__(self):
        self.asked += 1
        self.free.wait(10)
        if self.fails:
            raise StoreError("it cannot be read", retryable=True)
        return [self.token]


def test_a_busy_store_holds_nobody_up_and_is_asked_once(monkeypatch):
    monkeypatch.setattr(access, "LOOK_S_MAX", 0.02)
    tokens, now = Busy(), [100.0]
    known = access.KnownTokens(tokens, lambda: now[0])
    assert known.get(tokens.token.id) == tokens.token
    tokens.free.clear()
    now[0] += 2
    begun = time.monotonic()
    for _ in range(50):
        assert known.get(tokens.token.id) == tokens.token
    assert time.monotonic() - begun < 5
    assert tokens.asked == 2
    with pytest.raises(access.Refused, match="cannot be looked up"):
        known.get("another")
    tokens.free.set()
    known._reading.join(5)
    assert known.get("another") is None


def test_a_store_that_cannot_be_read_is_tried_once_a_second_and_gone_by_for_a_minute():
    tokens, now = Busy(), [100.0]
    known = access.KnownTokens(tokens, lambda: now[0])
    assert known.get(tokens.token.id) == tokens.token
    tokens.fails = True
    for _ in range(50):
        now[0] += 0.1
        assert known.get(tokens.token.id) == tokens.token
    assert 5 <= tokens.asked <= 6
    now[0] += access.STALE_S_MAX
    with pytest.raises(access.Refused, match="cannot be looked up"):
        known.get(tokens.token.id)
