"""HTTPS: what the configuration says of it, whom it lets in, and a certificate that is renewed under way."""

import importlib.util
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from monitor.config import ConfigError, load_config
from monitor.console import http
from monitor.tokens import Role

_SPEC = importlib.util.spec_from_file_location("authority", Path(__file__).with_name("authority.py"))
authority = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(authority)


@pytest.fixture
def ours(tmp_path):
    return authority.Authority(tmp_path, "ours")


def tls(pair, **more):
    return {"tls_certificate": str(pair[0]), "tls_key": str(pair[1]), **more}


def get(site, path, trusted, pair=None, token=None):
    context = ssl.create_default_context(cafile=str(trusted))
    if pair:
        context.load_cert_chain(*map(str, pair))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"https://127.0.0.1:{site.front.server.port}{path}", verify=context, headers=headers)


def test_pages_that_others_reach_are_for_viewers_but_for_whether_it_is_well(ours, make_site):
    site = make_site(listen="0.0.0.0:0", **tls(ours.issue("server")))
    assert get(site, "/metrics", ours.path).status_code == 401
    assert get(site, "/metrics", ours.path, token=site.token(Role.VIEWER)).status_code == 200
    assert get(site, "/readyz", ours.path).json() == {"status": "ready"}
    assert get(site, "/readyz", ours.path, token=site.token(Role.ADMIN)).json()["reasons"] == []
    with pytest.raises(httpx.HTTPError):
        site.get("/healthz")


def test_only_those_with_a_certificate_of_the_authority_may_come(ours, tmp_path, make_site):
    site = make_site(**tls(ours.issue("server"), tls_client_ca=str(ours.path)))
    assert get(site, "/healthz", ours.path, ours.issue("client")).status_code == 200
    with pytest.raises(httpx.HTTPError):
        get(site, "/healthz", ours.path)
    with pytest.raises(httpx.HTTPError):
        get(site, "/healthz", ours.path, authority.Authority(tmp_path, "theirs").issue("stranger"))


def test_a_renewed_certificate_is_taken_up_without_a_restart(ours, make_site):
    site = make_site(**tls(ours.issue("server")))
    before = serial(site)
    ours.issue("server")
    assert serial(site) == before
    site.front.certificates.look()
    assert serial(site) != before
    assert "certificate_renewed" in site.log.getvalue()


def test_half_a_renewal_leaves_the_certificate_from_before(ours, make_site):
    pair = ours.issue("server")
    site = make_site(**tls(pair))
    before = serial(site)
    key = pair[1].read_bytes()
    ours.issue("server")
    pair[1].write_bytes(key)
    site.front.certificates.look()
    assert serial(site) == before
    assert "certificate_refused" in site.log.getvalue()
    assert get(site, "/healthz", ours.path).status_code == 200


def test_a_handshake_has_to_end(ours, make_site, monkeypatch):
    monkeypatch.setattr(http, "HANDSHAKE_S_MAX", 0.2)
    site = make_site(**tls(ours.issue("server")))
    with socket.create_connection(("127.0.0.1", site.front.server.port), timeout=5) as slow:
        assert slow.recv(1) == b""


def serial(site):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", site.front.server.port), timeout=5)
    with context.wrap_socket(plain) as wrapped:
        return wrapped.getpeercert(binary_form=True)


def refused(**keys):
    with pytest.raises(ConfigError) as told:
        load_config(None, {}, {f"http.{name}": value for name, value in keys.items()})
    return [(problem.place, problem.expected) for problem in told.value.problems]


def test_mistakes_are_told_with_their_place(ours, tmp_path):
    certificate, key = map(str, ours.issue("server"))
    other = str(ours.issue("other")[1])
    together = [("command line http.tls_key", "tls_certificate and tls_key together")]
    assert refused(tls_key=key) == together
    assert refused(tls_certificate=certificate, tls_key="") == together
    assert refused(tls_certificate=certificate, tls_key=other)[0][1].startswith(
        "a certificate and the key that belongs"
    )
    assert refused(tls_certificate=str(tmp_path / "none"))[0][1] == "a file that exists"
    assert refused(tls_client_ca=certificate)[0][1] == "a certificate of our own beside it"
