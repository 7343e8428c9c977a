"""Whom something is told over HTTP: not in the clear, unless it says so, and by authorities that are some."""

import pytest

from monitor.carriers import overheard
from monitor.config import ConfigError, load_config

FAR, NEAR = "http://am-0.monitoring.svc:9093", "http://127.0.0.1:9093"
TABLES = {
    "webhooks": lambda url: [{"name": "a", "url": url}],
    "enforcers": lambda url: [{"name": "a", "url": url}],
    "pagerduty": lambda url: [{"name": "a", "url": url}],
    "alertmanagers": lambda url: [{"name": "a", "urls": [NEAR, url]}],
    "elasticsearch": lambda url: {"urls": [url]},
}


def loaded(kind, url, **more):
    table = TABLES[kind](url)
    table = {**table, **more} if isinstance(table, dict) else [{**table[0], **more}]
    given = {f"{kind}.{key}": value for key, value in table.items()} if isinstance(table, dict) else {kind: table}
    return load_config(None, {}, given)


@pytest.mark.parametrize("kind", TABLES)
def test_plain_http_beyond_this_machine_is_refused_with_what_to_do_and_taken_where_it_is_said(kind):
    with pytest.raises(ConfigError) as refused:
        loaded(kind, FAR)
    assert "https, because" in str(refused.value)
    assert "plain_http = true" in str(refused.value)
    place = kind if kind == "elasticsearch" else f"{kind}[0]"
    assert list(overheard(loaded(kind, FAR, plain_http=True))) == [(f"{place}.plain_http", "am-0.monitoring.svc:9093")]


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("url", [NEAR, "http://[::1]:9093", "http://localhost:9093", "https://am.example:9093"])
def test_nothing_is_to_be_said_of_this_machine_and_of_https(kind, url):
    for is_plain in (False, True):
        assert list(overheard(loaded(kind, url, plain_http=is_plain))) == []


@pytest.mark.parametrize("kind", [kind for kind in TABLES if kind != "elasticsearch"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_without_authorities_is_refused(kind, content, tmp_path):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="ca_file") as refused:
        loaded(kind, "https://am.example:9093", ca_file=str(file))
    assert ("a file that exists" if content is None else "certificates of authorities, in PEM") in str(refused.value)


@pytest.mark.parametrize("url", ["ftp://a/b", "https://", "https://u:p@a/b", "http://["])
def test_what_is_no_address_is_none_in_the_clear_either(url):
    with pytest.raises(ConfigError, match="a URL"):
        loaded("webhooks", url, plain_http=True)
