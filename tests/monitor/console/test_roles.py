"""Who gets which page: every page of every family, every role, and everyone who should get none."""

import re
import ssl
import sys
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from monitor.console.api.operation import PREFIX
from monitor.console.api.pages import DOCUMENTED
from monitor.console.crowdsec.answers import forbidden
from monitor.console.pages import Page
from monitor.console.roles import may
from monitor.tokens import Role, new_token

sys.path.insert(0, str(Path(__file__).parent))

from authority import Authority
from whole import document, whole_daemon

YEAR_US = 365 * 86_400_000_000
REFUSED = {
    "nobody": 401,
    "an unknown token": 401,
    "a wrong secret": 401,
    "an expired token": 401,
    "a revoked token": 401,
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with whole_daemon(tmp_path_factory.mktemp("whole") / "data") as opened:
        yield opened


@pytest.fixture(scope="module")
def client(daemon):
    with httpx.Client(base_url=f"http://127.0.0.1:{daemon.front.server.port}", timeout=20) as opened:
        yield opened


@pytest.fixture(scope="module")
def tokens(daemon):
    """The text of a token by who has it."""
    store, now = daemon.kept.store, daemon.front.clock()

    def made(*roles: Role, expires: int = now + YEAR_US) -> tuple[str, str]:
        token, text = new_token("test", roles, created=now, expires=expires, actor="operator:ann")
        store.add_token(token, "")
        return token.id, text

    found = {role.value: made(role)[1] for role in Role}
    revoked, found["a revoked token"] = made(Role.ADMIN)
    store.revoke_token(revoked, "operator:ann", "lost", now)
    found["an expired token"] = made(Role.ADMIN, expires=now - 1)[1]
    found["a wrong secret"] = made(Role.ADMIN)[1][:-4] + "AAAA"
    found["an unknown token"] = new_token("x", [Role.ADMIN], created=0, expires=2**60, actor="x")[1]
    daemon.front.guard._known._read()
    return found


def _everything(daemon):
    """Each page with a method: what GET answers, HEAD answers too."""
    for page in daemon.front.server.pages:
        for method in dict.fromkeys((*page.methods, *(("HEAD",) if "GET" in page.methods else ()))):
            yield page, method


def _asked(client, page, method, token):
    path = re.sub(r"\{[^}]*\}", "x", page.path)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.request(method, path, headers=headers).status_code


def test_every_role_gets_its_pages_and_no_other(daemon, client, tokens):
    wrong = []
    for page, method in _everything(daemon):
        for role in Role:
            status = _asked(client, page, method, tokens[role.value])
            gets = status not in (401, 403, 429) and status < 500
            if gets != may(page, role) or (not gets and status != 403):
                wrong.append((method, page.path, role.value, status))
    assert wrong == []


def test_nobody_else_gets_any_page_but_those_that_are_open(daemon, client, tokens):
    wrong = []
    for page, method in _everything(daemon):
        for who, expected in REFUSED.items():
            status = _asked(client, page, method, tokens.get(who))
            if page.is_open and who == "nobody":
                if status in (401, 403):
                    wrong.append((method, page.path, who, status))
            elif status != (
                403 if page.refused is forbidden else expected
            ):  # as the programs expect that such pages are for
                wrong.append((method, page.path, who, status))
    assert wrong == []


def test_a_client_certificate_alone_opens_no_page(tmp_path):
    ours = Authority(tmp_path, "ours")
    server, own = ours.issue("server"), ours.issue("client")
    keys = {
        "http__tls_certificate": str(server[0]),
        "http__tls_key": str(server[1]),
        "http__tls_client_ca": str(ours.path),
    }
    context = ssl.create_default_context(cafile=str(ours.path))
    context.load_cert_chain(*map(str, own))
    with whole_daemon(tmp_path / "data", **keys) as opened:
        base = f"https://127.0.0.1:{opened.front.server.port}"
        with httpx.Client(base_url=base, verify=context, timeout=20) as client:
            found = {
                (method, page.path): _asked(client, page, method, None)
                for page, method in _everything(opened)
                if not page.is_open
            }
    assert {page: status for page, status in found.items() if status not in (401, 403)} == {}


def test_the_table_of_the_documentation_is_that_of_the_pages(daemon, pytestconfig):
    kept = (pytestconfig.rootpath / "docs" / "roles.md").read_text()
    assert kept == document(daemon), "decide who may, then run: python tests/monitor/console/whole.py > docs/roles.md"


def test_everything_under_the_api_is_in_its_document_with_its_role(daemon):
    there = {
        (page.path, method): page.role
        for page in daemon.front.server.pages
        for method in page.methods
        if page.path.startswith(PREFIX)
    }
    assert {(each.whole_path, each.method): each.role for each in DOCUMENTED} == there


def test_only_health_and_logging_in_are_open_to_strangers(daemon):
    login = {"/v1/watchers/login", "/v1/watchers"}
    assert {one.path for one in daemon.front.server.pages if one.is_open} == {"/healthz", "/readyz", "/metrics"} | login


def test_a_page_needs_a_role(make_site):
    async def hello(_request, _token):
        return Response("hello")

    with pytest.raises(TypeError, match="role"):
        Page("/new", ("GET",), hello)
    made = make_site([Page("/new", ("GET",), hello, Role.ADMIN)])
    assert made.get("/new").status_code == 401


def test_a_page_of_its_own_name_is_not_hidden_by_one_that_takes_any(make_site):
    async def one(_request, _token):
        return Response("one")

    async def any_name(_request, _token):
        return Response("any")

    pages = [Page("/things/{id}", ("GET",), any_name, Role.VIEWER), Page("/things/changes", ("GET",), one, Role.VIEWER)]
    site = make_site(pages)
    assert site.get("/things/changes", site.token(Role.VIEWER)).text == "one"


def test_a_method_that_is_none_is_told_with_all_that_there_are(make_site):
    async def hello(_request, _token):
        return Response("hello")

    pages = [Page("/a", ("GET",), hello, Role.VIEWER), Page("/a", ("POST",), hello, Role.ADMIN)]
    answer = make_site(pages).get("/a", method="DELETE")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
