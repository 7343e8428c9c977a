"""Tokens in the record: given, listed and revoked, each within the transaction it is given."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, RowMapping, func, select, update

from monitor.audit import AuditEntry
from monitor.stores import StoreError, tables
from monitor.stores.record import NotFound
from monitor.stores.rows import Row, flat_row
from monitor.stores.turn import append_audit
from monitor.tokens import TOKENS_MAX, Role, Token


class TooManyTokens(StoreError):
    """There is no room for another token: none of those that are kept has expired or was revoked."""

    def __init__(self) -> None:
        super().__init__(f"there are {TOKENS_MAX} valid tokens already; revoke some", retryable=False)


class TokenRevoked(StoreError):
    """A token was revoked before."""

    def __init__(self, token: Token) -> None:
        super().__init__(f"token {token.id} has been revoked already", retryable=False)


def add_token(connection: Connection, token: Token, reason: str) -> None:
    """Keep a token; where there are too many, those whose time is over make room."""
    table = tables.tokens
    if connection.execute(select(func.count()).select_from(table)).scalar_one() >= TOKENS_MAX:
        connection.execute(table.delete().where((table.c.expires <= token.created) | table.c.revoked.is_not(None)))
        if connection.execute(select(func.count()).select_from(table)).scalar_one() >= TOKENS_MAX:
            raise TooManyTokens
    connection.execute(table.insert(), [token_row(token)])
    append_audit(connection, [token_entry(token, "add", token.actor, reason, token.created)])


def tokens(connection: Connection) -> list[Token]:
    """All that are kept, in the order in which they were made."""
    table = tables.tokens
    wanted = select(table).order_by(table.c.created, table.c.id)
    return [_token(row) for row in connection.execute(wanted).mappings()]


def revoke_token(connection: Connection, key: str, actor: str, reason: str, now: int) -> Token:
    table = tables.tokens
    row = connection.execute(select(table).where(table.c.id == key)).mappings().one_or_none()
    if row is None:
        raise NotFound("token", key)
    revoked, entry = revoked_token(_token(row), actor, reason, now)
    connection.execute(update(table).where(table.c.id == key).values(revoked=now))
    append_audit(connection, [entry])
    return revoked


def revoked_token(token: Token, actor: str, reason: str, now: int) -> tuple[Token, AuditEntry]:
    """A token as it stands once it was revoked, and the entry that says so."""
    if token.revoked is not None:
        raise TokenRevoked(token)
    return msgspec.structs.replace(token, revoked=now), token_entry(token, "revoke", actor, reason, now)


def token_entry(token: Token, act: str, actor: str, reason: str, now: int) -> AuditEntry:
    """The entry for a token that was made or revoked: never with anything of its secret."""
    told = msgspec.to_builtins(token)
    text = msgspec.json.encode({name: told[name] for name in ("name", "roles", "expires")}).decode()
    return AuditEntry(
        time=now,
        actor=actor,
        action=f"token.{act}",
        subject=token.id,
        reason=reason,
        before=text if act == "revoke" else "",
        after=text if act == "add" else "",
    )


def token_row(token: Token) -> Row:
    return {**flat_row(token), "roles": ",".join(token.roles)}


def _token(row: RowMapping) -> Token:
    return Token(**{**row, "roles": tuple(Role(name) for name in row["roles"].split(","))})
