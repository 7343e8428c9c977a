"""Tokens in the record: made, listed, revoked, each with its entry in the audit and without its secret."""

import msgspec
import pytest

from monitor.first_token import ensure_first_token
from monitor.stores import granting
from monitor.stores.granting import TokenRevoked, TooManyTokens
from monitor.stores.record import NotFound
from monitor.testing import failing_at, scratch_store
from monitor.tokens import Role, is_secret_of, new_token, parts_of


@pytest.fixture
def store(tmp_path):
    made = scratch_store(tmp_path)
    yield made
    made.close()


def made(created=1, expires=100, roles=(Role.INGEST,)):
    return new_token("shipper", roles, created=created, expires=expires, actor="operator:ann")


def test_tokens_are_kept_as_they_were_made_and_nowhere_with_their_secret(store):
    (first, text), (second, _) = made(), made(2, roles=[Role.VIEWER, Role.INGEST])
    store.add_token(first, "for the gateway")
    store.add_token(second, "")
    assert list(store.tokens()) == [first, second]
    assert second.roles == (Role.INGEST, Role.VIEWER)
    secret = parts_of(text)[1]
    assert is_secret_of(first, secret)
    assert not is_secret_of(second, secret)
    told = [msgspec.json.encode(entry).decode() for entry in store.audit_entries()]
    assert not any(secret in entry or first.digest in entry for entry in told)


def test_a_token_is_revoked_once_and_the_audit_has_it(store):
    token, _ = made()
    store.add_token(token, "new")
    revoked = store.revoke_token(token.id, "operator:bob", "lost", 7)
    assert (revoked.revoked, revoked.state(8), token.state(8), token.state(100)) == (7, "revoked", "valid", "expired")
    assert list(store.tokens()) == [revoked]
    with pytest.raises(TokenRevoked):
        store.revoke_token(token.id, "operator:bob", "again", 8)
    with pytest.raises(NotFound):
        store.revoke_token("absent", "operator:bob", "", 8)
    entries = [link.entry for link in store.audit_entries()]
    assert [(one.action, one.actor, one.subject, one.reason) for one in entries] == [
        ("token.add", "operator:ann", token.id, "new"),
        ("token.revoke", "operator:bob", token.id, "lost"),
    ]


def test_a_token_is_there_whole_or_not_at_all(store):
    with failing_at("commit:operator"), pytest.raises(Exception, match="No space"):
        store.add_token(made()[0], "")
    assert (list(store.tokens()), list(store.audit_entries())) == ([], [])


def test_where_there_are_too_many_those_that_are_over_make_room(store, monkeypatch):
    monkeypatch.setattr(granting, "TOKENS_MAX", 2)
    old, lasting, third = made(1, 5)[0], made(2)[0], made(6)[0]
    for token in (old, lasting, third):
        store.add_token(token, "")
    assert list(store.tokens()) == [lasting, third]
    with pytest.raises(TooManyTokens):
        store.add_token(made(7)[0], "")


def test_the_first_token_stands_in_a_file_for_its_owner_alone(store, tmp_path):
    path = tmp_path / "admin.token"
    token = ensure_first_token(store, path, 5)
    assert token.may(Role.APPROVER)
    assert path.stat().st_mode & 0o777 == 0o600
    key, secret = parts_of(path.read_text().strip())
    assert key == token.id
    assert is_secret_of(token, secret)
    assert ensure_first_token(store, path, 6) is None
    assert [link.entry.action for link in store.audit_entries()] == ["token.add"]


def test_a_first_token_that_did_not_get_into_the_record_is_made_anew(store, tmp_path):
    path = tmp_path / "admin.token"
    with failing_at("commit:operator"), pytest.raises(Exception, match="No space"):
        ensure_first_token(store, path, 5)
    token = ensure_first_token(store, path, 6)
    assert parts_of(path.read_text().strip())[0] == token.id
