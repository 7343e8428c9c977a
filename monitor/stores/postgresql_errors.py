"""What PostgreSQL refuses, in words for people, and whether trying again makes sense."""

from __future__ import annotations

from typing import Any, Final

from psycopg import InterfaceError, OperationalError

from monitor.stores import StoreError

CANCELLED: Final = "57014"

_CODES: Final[dict[str, tuple[str, bool]]] = {
    CANCELLED: ("this takes longer than store.statement_s_max allows", True),
    "55P03": ("another process has been writing for longer than store.lock_s_max allows", True),
    "40001": ("another transaction was in the way", True),
    "40P01": ("two transactions waited for one another", True),
    "53100": ("the server's disk is full", True),
    "53200": ("the server's memory is short", True),
    "53300": ("the server has no connection left: raise max_connections there, or lower store.connections_max", True),
    "57P01": ("the server is shutting down", True),
    "57P02": ("another process of the server has crashed, and it starts anew", True),
    "57P03": ("the server is starting or stopping", True),
    "57P05": ("the server has ended a connection that said nothing for long", True),
    "25P03": ("this process stood still within a transaction, and the server has ended it", True),
    "25006": ("this server is a read-only copy, or the record is open for reading only", True),
    "58030": ("the server's disk does not answer as it should", True),
    "42501": ("the role may not do this: give it the rights of docs/stores.md", False),
    "42P01": ("a table is missing: is this the right database and search_path?", False),
    "3F000": (
        "there is no schema to make tables in: create one, and put it first in the search_path of the role",
        False,
    ),
    "XX001": ("the database is damaged: restore a backup", False),
    "XX002": ("an index of the database is damaged: REINDEX, or restore a backup", False),
}
_CLASSES: Final = {
    "08": ("the connection was lost", True),
    "53": ("the server is short of something", True),
    "57": ("the server was told to stop", True),
    "58": ("the server's machine does not answer as it should", True),
}
_AT_THE_DOOR: Final = (
    ("password authentication failed", "the password is wrong: see store.password_file"),
    ("no password supplied", "a password is wanted: put it into a file and name that in store.password_file"),
    ("no pg_hba.conf entry", "the server lets this role, database and address not in: see its pg_hba.conf"),
    (
        "certificate verify failed",
        "the server's certificate is not one that is trusted: see sslrootcert in docs/stores.md",
    ),
    ("root certificate file", "the server's certificate cannot be verified: see sslrootcert in docs/stores.md"),
    ("does not match host name", "the server's certificate is another host's"),
    ("does not support ssl", "the server speaks no TLS, which is wanted for addresses other than this machine's"),
    ("invalid connection option", "the URL has an option that there is not"),
    ("invalid sslmode value", "the URL has an sslmode that there is not"),
    ('role "', "the server does not know the role"),
    ('database "', "the server does not know the database"),
    ("permission denied for database", "the role may not connect to the database"),
)
"""Refusals at the door have no code: they are known by their words, where the server speaks English."""

_MISSING: Final = "does not exist"
WORDS_MAX: Final = 300


def store_error(name: str, error: BaseException | None) -> StoreError:
    """An error of the client library as ours; `name` says which database."""
    code: str = getattr(error, "sqlstate", None) or ""
    said = _said(error)
    found = _CODES.get(code) or _CLASSES.get(code[:2])
    if found is not None:
        return StoreError(f"{name}: {found[0]} ({said})", retryable=found[1])
    if code:
        return StoreError(f"{name}: the database refuses ({code}: {said})", retryable=False)
    lower = said.lower()
    for words, meaning in _AT_THE_DOOR:
        if words in lower and (not words.endswith('"') or _MISSING in lower):
            return StoreError(f"{name}: {meaning} ({said})", retryable=False)
    if isinstance(error, OperationalError | InterfaceError):
        return StoreError(f"{name}: the database does not answer ({said})", retryable=True)
    return StoreError(f"{name}: the database refuses ({said})", retryable=False)


def _said(error: BaseException | None) -> str:
    """The server's own words, without the detail that may quote what is stored."""
    diagnosis: Any = getattr(error, "diag", None)
    said = getattr(diagnosis, "message_primary", None) or str(error)
    return "; ".join(line.strip() for line in said.splitlines() if line.strip())[:WORDS_MAX]
