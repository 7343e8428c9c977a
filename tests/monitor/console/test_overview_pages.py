"""The daemon's pages, asked by ``miniwatch top``: what is trusted, what is shown, and how silence is told."""

import importlib.util
import socket
import threading
from pathlib import Path

import pytest

from monitor.config import load_config
from monitor.overview import pages
from monitor.overview.pages import DaemonPages, Silent
from monitor.tokens import Role

_SPEC = importlib.util.spec_from_file_location("authority", Path(__file__).with_name("authority.py"))
authority = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(authority)


def keys_of(site, **more):
    """What a configuration says of this site."""
    port = site.front.server.port
    given = {"listen": f"127.0.0.1:{port}", **more}
    return load_config(None, {}, {f"http.{name}": str(value) for name, value in given.items()}).http


def test_both_pages_are_read(make_site):
    told = DaemonPages(keys_of(make_site())).ask()
    assert told.ready.status == "ready"
    assert told.metrics.value("miniwatch_build_info") == 1


@pytest.mark.parametrize("listen", ["0.0.0.0", "[::]"])  # noqa: S104 - a port of its own, for a moment
def test_where_others_reach_it_a_token_is_shown_to_the_configured_certificate_alone(tmp_path, make_site, listen):
    ours = authority.Authority(tmp_path, "ours")
    certificate, key = ours.issue("server")
    tls = {"tls_certificate": certificate, "tls_key": key}
    site = make_site(listen=f"{listen}:0", **{name: str(path) for name, path in tls.items()})
    keys = keys_of(site, listen=f"{listen}:{site.front.server.port}", **tls)
    assert keys.is_private
    with pytest.raises(Silent, match="--token-file"):
        DaemonPages(keys).ask()
    assert DaemonPages(keys, site.token(Role.VIEWER)).ask().metrics.value("miniwatch_build_info") == 1
    other = authority.Authority(tmp_path, "theirs").issue("other")
    others = keys_of(site, listen=keys.listen, tls_certificate=other[0], tls_key=other[1])
    with pytest.raises(Silent, match="certificate verify failed"):
        DaemonPages(others, site.token(Role.VIEWER)).ask()


def test_a_server_that_asks_for_certificates_of_clients_is_told_as_such(tmp_path, make_site):
    ours = authority.Authority(tmp_path, "ours")
    certificate, key = ours.issue("server")
    tls = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": ours.path}
    site = make_site(**{name: str(path) for name, path in tls.items()})
    with pytest.raises(Silent, match="clients with a certificate"):
        DaemonPages(keys_of(site, **tls)).ask()


def test_silence_is_told_with_its_reason(make_site):
    site = make_site()
    keys = keys_of(site)
    site.front.stop()
    with pytest.raises(Silent, match="nothing answers at 127"):
        DaemonPages(keys).ask()
    with pytest.raises(Silent, match=r"http\.listen is empty"):
        DaemonPages(load_config(None, {}, {"http.listen": ""}).http).ask()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "no daemon of ours"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answers 500"),
        (b"SSH-2.0-OpenSSH\r\n", "nothing answers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99_999, "answers 200"),
        (b"", "nothing answers"),
    ],
)
def test_another_program_at_that_port_is_no_daemon(monkeypatch, answer, told):
    monkeypatch.setattr(pages, "PAGE_BYTES_MAX", 10_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener, answer), daemon=True).start()
        keys = load_config(None, {}, {"http.listen": f"127.0.0.1:{listener.getsockname()[1]}"}).http
        with pytest.raises(Silent, match=told):
            DaemonPages(keys, timeout_s=1.0).ask()


def _answer(listener, answer):
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(answer)
