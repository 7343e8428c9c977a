"""Whose certificates count for those who are told over HTTPS: the system's authorities, and those that are named for a receiver, beside them."""

import ssl
import sys
from pathlib import Path

import pytest
from webhooks import NOW, Receiver

sys.path.insert(0, str(Path(__file__).parents[1] / "console"))

from authority import Authority

from monitor.carriers import carriers_of
from monitor.config import load_config
from monitor.notifiers import NotifierError
from monitor.notifiers.notice import Notice
from monitor.stores import Message

TABLES = {
    "webhooks": {"name": "a", "url": "{url}"},
    "enforcers": {"name": "a", "url": "{url}"},
    "pagerduty": {"name": "a", "url": "{url}", "routing_key": "R" * 32},
    "alertmanagers": {"name": "a", "urls": ["{url}"]},
}
BODY = Notice(what="test", key="1", severity="low", title="t", text="x", time=0, look="l").body


@pytest.fixture
def authorities(tmp_path, monkeypatch):
    """One that the system trusts, and two that it does not know."""
    found = {name: Authority(tmp_path, name) for name in ("systems", "ours", "strangers")}
    monkeypatch.setenv("SSL_CERT_FILE", str(found["systems"].path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    return found


@pytest.fixture
def secured():
    """Receivers behind certificates of authorities."""
    servers = []

    def made(authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, authority.issue("receiver")))
        servers.append(Receiver(context))
        return servers[-1]

    yield made
    for server in servers:
        server.shutdown()
        server.server_close()


def told(kind, url, **more):
    """Send something to a receiver of a kind that has this address; raises `NotifierError`."""
    table = {key: [url] if key == "urls" else url if value == "{url}" else value for key, value in TABLES[kind].items()}
    config = load_config(None, {}, {kind: [{**table, "timeout_s": 5, **more}]})
    ((channel, carrier),) = carriers_of(config, lambda: NOW * 1_000_000).items()
    return carrier.send(Message(key="k", channel=channel, body=BODY, created=0)).detail


@pytest.mark.parametrize("kind", TABLES)
def test_what_the_system_trusts_and_what_is_named_counts_and_nothing_else(kind, authorities, secured):
    ours = {"ca_file": str(authorities["ours"].path)}
    assert told(kind, secured(authorities["systems"]).url) == "HTTP 204"
    assert told(kind, secured(authorities["ours"]).url, **ours) == "HTTP 204"
    assert told(kind, secured(authorities["systems"]).url, **ours) == "HTTP 204"
    for more in ({}, ours):
        stranger = secured(authorities["strangers"])
        with pytest.raises(NotifierError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            told(kind, stranger.url, **more)
        assert (caught.value.retryable, stranger.came) == (True, [])


@pytest.mark.parametrize("kind", TABLES)
def test_a_certificate_for_another_name_does_not_count_whoever_signed_it(kind, authorities, secured):
    elsewhere = secured(authorities["ours"]).url.replace("127.0.0.1", "localhost")
    with pytest.raises(NotifierError, match="Hostname mismatch"):
        told(kind, elsewhere, ca_file=str(authorities["ours"].path))
