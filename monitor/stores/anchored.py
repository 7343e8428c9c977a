"""Whose record it is and the last anchor of its audit, within the transaction that is given."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from monitor.audit.files import INSTALLATION
from monitor.stores import Anchored, Message, tables
from monitor.stores.outgoing import put_messages
from monitor.stores.rows import put, put_new
from monitor.stores.turn import LAST_TURN

ANCHOR: Final = "anchor"
ID_BYTES: Final = 8
FINGERPRINT: Final = "fingerprint:"


class KnownKeys(msgspec.Struct, frozen=True):
    """What the record knows of keys: the fingerprint of each by its name, and whether anything was taken yet."""

    fingerprints: Mapping[str, str]
    is_begun: bool


def known_keys(connection: Connection) -> KnownKeys:
    columns = tables.meta.c
    named = select(columns.key, columns.value).where(columns.key.startswith(FINGERPRINT, autoescape=True))
    found = {row.key.removeprefix(FINGERPRINT): row.value for row in connection.execute(named)}
    return KnownKeys(found, is_begun=bool(int(_value(connection, LAST_TURN) or 0)))


def renew_keys(connection: Connection, fingerprints: Mapping[str, str]) -> None:
    """Have the record know these keys in place of those that it knew."""
    rows = [{"key": f"{FINGERPRINT}{name}", "value": value} for name, value in fingerprints.items()]
    put(connection, tables.meta, rows)


def installation(connection: Connection) -> str | None:
    """The id; None while there is none."""
    return _value(connection, INSTALLATION)


def made_installation(connection: Connection) -> str:
    """The id, made where there was none."""
    put_new(connection, tables.meta, [{"key": INSTALLATION, "value": secrets.token_hex(ID_BYTES)}])
    return str(_value(connection, INSTALLATION))


def made_fingerprint(connection: Connection, name: str, fingerprint: str) -> str:
    """The fingerprint of the key that the record's own are made with: that of whoever came first."""
    put_new(connection, tables.meta, [{"key": f"{FINGERPRINT}{name}", "value": fingerprint}])
    return str(_value(connection, f"{FINGERPRINT}{name}"))


def last_anchor(connection: Connection) -> Anchored | None:
    """The last anchor; None when there was none yet."""
    text = _value(connection, ANCHOR)
    return None if text is None else msgspec.json.decode(text, type=Anchored)


def note_anchor(connection: Connection, anchor: Anchored, messages: Sequence[Message]) -> None:
    put(connection, tables.meta, [{"key": ANCHOR, "value": msgspec.json.encode(anchor).decode()}])
    put_messages(connection, messages)


def _value(connection: Connection, key: str) -> str | None:
    columns = tables.meta.c
    found = connection.execute(select(columns.value).where(columns.key == key)).scalar()
    return None if found is None else str(found)
