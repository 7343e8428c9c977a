"""The record in a PostgreSQL database: how it is reached, who writes when, and its errors told as ours."""

from __future__ import annotations

import ipaddress
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitor.durable import boundary
from monitor.refusal import RETRYABLE
from monitor.stores import StoreError
from monitor.stores.connection import Database
from monitor.stores.hearing import Hearing
from monitor.stores.patience import PatientConnection
from monitor.stores.postgresql_errors import CANCELLED, store_error
from monitor.stores.record import TooSlow

VERSION_MIN: Final = 13
"""The oldest PostgreSQL that is spoken to: those before are not maintained any more."""

IDLE_S_MAX: Final = 20
"""After so long without a word within a transaction the server ends it: a process that stands still must hold nobody up."""

SILENCE_S_MAX: Final = 30
"""After so long without an answer a connection is given up, by either side."""

MIGRATION_WAIT_S_MAX: Final = 600
"""How long another process's change of the schema is waited for."""

MIGRATION_S_MAX: Final = 86_400.0
"""How long one statement of such a change may take."""

ROOTS: Final = (
    Path.home() / ".postgresql" / "root.crt",
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
)
"""Where the authorities may be that one trusts, if the URL does not say: PostgreSQL's own place, and those of systems."""

MEMBER: Final = 0x6D696E69
"""The first half of the numbers of our advisory locks, so that they are not those of another program in the same database."""


class PostgresqlAt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a PostgreSQL database is, and how patient one is with it. The URL has no password."""

    url: str
    password: str = ""
    connections_max: int = 16
    connect_s_max: float = 5.0
    lock_s_max: float = 5.0
    statement_s_max: float = 120.0

    def __repr__(self) -> str:
        return f"PostgresqlAt({self.url})"


class PostgresqlDatabase(Database):
    """A schema of a PostgreSQL database, the first of the search path. With `read_only`, every write is refused.

    Writes of one line have an advisory lock, so that each sees what those before it have committed. Connections come back by
    themselves after the server was away.
    """

    def __init__(self, at: PostgresqlAt, *, read_only: bool = False) -> None:
        self._at = at
        self.read_only = read_only
        self._token: Final = secrets.token_hex(8)
        self._hearing: Hearing | None = None
        self.listeners = []
        self.name: Final = at.url.partition("?")[0]
        self.engine = _engine(at, self.name, read_only=read_only)
        self._writes: Final = self.engine.execution_options(postgresql_readonly=read_only)
        self._reads: Final = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def reading(self, seconds_max: float | None = None) -> Iterator[Connection]:
        with self.told(), self._reads.connect() as connection:
            if seconds_max is None:
                yield connection
                return
            connection.execute(text(f"SET LOCAL statement_timeout = {max(1, round(seconds_max * 1000))}"))
            try:
                yield connection
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == CANCELLED:
                    raise TooSlow(seconds_max) from None
                raise

    @contextmanager
    def begun(self, line: str, *, heard: bool) -> Iterator[Connection]:
        with self._writes.begin() as connection:
            self._wait_for(connection, line, heard=heard)
            yield connection

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        with self.told():
            with self._writes.begin() as connection, _unhurried(connection):
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text(f"SET LOCAL lock_timeout = '{MIGRATION_WAIT_S_MAX}s'"))
                self._wait_for(connection, "", heard=True)
                _have_schema_alone(connection)
                yield connection
                _sort_by_bytes(connection)
                boundary("commit:schema")
            boundary("commit:schema:done")

    def _wait_for(self, connection: Connection, line: str, *, heard: bool) -> None:
        """Have a line for this transaction alone; whoever listens hears when it is committed, if `heard`."""
        schema = connection.dialect.default_schema_name
        number = zlib.crc32(f"{schema}\0{line}".encode())
        lock = "SELECT pg_advisory_xact_lock(:member, :line)"
        values = {"member": MEMBER, "line": number - (1 << 31)}
        if not heard or self.read_only:
            connection.execute(text(lock), values)
        else:
            told = {"channel": Hearing.CHANNEL, "told": f"{schema}:{self._token}"}
            connection.execute(text(f"{lock}, pg_notify(:channel, :told)"), {**values, **told})

    def examine(self, connection: Connection) -> None:
        connection.execute(text("SET LOCAL lock_timeout = 0"))  # who changes the schema is waited for
        version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
        if version < VERSION_MIN * 10_000:
            found = f"{version // 10_000}.{version % 10_000}"
            raise StoreError(f"{self.name}: PostgreSQL {found} is too old: {VERSION_MIN} or later", retryable=False)
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
        if encoding != "UTF8":
            message = f"{self.name}: the database's encoding is {encoding}: make one with ENCODING 'UTF8'"
            raise StoreError(message, retryable=False)

    def clock(self, connection: Connection, now: int) -> int:  # noqa: ARG002 - the machines' clocks differ
        asked = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
        return int(connection.execute(text(asked)).scalar_one())

    def size(self, connection: Connection) -> int:
        return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a listener called after every commit of this process, and by a thread of its own after those of others that are heard."""
        super().listen(listener)
        if self._hearing is None:
            own = f"{self.engine.dialect.default_schema_name}:"
            self._hearing = Hearing(
                self.engine, self._call, lambda told: told.startswith(own) and told != own + self._token
            )
            self._hearing.start()

    def _call(self) -> None:
        for listener in self.listeners:
            listener()

    def close(self) -> None:
        if self._hearing is not None:
            self._hearing.stop()
        super().close()

    @contextmanager
    def told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise store_error(self.name, error.orig) from error
        except PoolTimeout as error:
            message = f"{self.name}: {self._at.connections_max} threads use the database already"
            raise StoreError(message, retryable=True) from error
        except OSError as error:
            message = f"{self.name}: {error.strerror or error}"
            raise StoreError(message, retryable=error.errno in RETRYABLE) from error


def _have_schema_alone(connection: Connection) -> None:
    """Wait for all writes that have seen the schema's version, and let nobody see it before this transaction ends.

    Else one of the version before would go on after the change with what it had begun, and write as it knows how.
    """
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is not None:
        connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))


@contextmanager
def _unhurried(connection: Connection) -> Iterator[None]:
    """A change of the schema takes as long as its tables are large."""
    raw: Any = connection.connection.driver_connection
    usual = raw.answer_s_max
    raw.answer_s_max = MIGRATION_S_MAX
    try:
        yield
    finally:
        raw.answer_s_max = usual


def _engine(at: PostgresqlAt, name: str, *, read_only: bool) -> Engine:
    try:
        url = make_url(at.url).set(drivername="postgresql+psycopg")
    except ArgumentError:
        raise StoreError(f"{name}: this is no URL of a PostgreSQL database", retryable=False) from None
    engine = create_engine(
        url.set(password=at.password) if at.password else url,
        connect_args=client_arguments(at, url, read_only=read_only),
        isolation_level="READ COMMITTED",  # after a lock was waited for, each statement sees what was committed meanwhile
        pool_size=at.connections_max,
        max_overflow=0,
        pool_timeout=at.lock_s_max,
        pool_pre_ping=True,
        hide_parameters=True,
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, given: list[Any], named: dict[str, Any]) -> PatientConnection:
        connection = PatientConnection.connect(*given, **named)
        connection.answer_s_max = at.statement_s_max + at.connect_s_max
        return connection

    return engine


def client_arguments(at: PostgresqlAt, url: URL, *, read_only: bool) -> dict[str, Any]:
    """What the client library is told beside the URL, which wins."""
    given = url.query
    wanted: dict[str, Any] = {
        "connect_timeout": max(2, round(at.connect_s_max)),  # the library takes less for 2
        "application_name": "miniwatch",
        "keepalives_idle": SILENCE_S_MAX // 2,
        "keepalives_interval": SILENCE_S_MAX // 6,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENCE_S_MAX * 1000,
        "target_session_attrs": "any" if read_only else "read-write",
    }
    if "sslmode" not in given and not all(_is_here(host) for host in _hosts(url)):
        roots = [str(path) for path in ROOTS if path.is_file()]
        wanted |= {"sslmode": "verify-full", **({"sslrootcert": roots[0]} if roots else {})}
    arguments = {name: value for name, value in wanted.items() if name not in given}
    options = {
        "lock_timeout": round(at.lock_s_max * 1000),
        "statement_timeout": round(at.statement_s_max * 1000),
        "idle_in_transaction_session_timeout": IDLE_S_MAX * 1000,
        "tcp_keepalives_idle": SILENCE_S_MAX // 2,
        "tcp_keepalives_interval": SILENCE_S_MAX // 6,
        "tcp_keepalives_count": 3,
    }
    return {
        **arguments,
        "options": f"{_options_in(given)}{''.join(f' -c {k}={v}' for k, v in options.items())}".strip(),
    }


def _hosts(url: URL) -> list[str]:
    """Where the server may be: hosts of the URL and of its options, addresses or folders of sockets."""
    named = url.query.get("host", ())
    several = [named] if isinstance(named, str) else [*named]
    return [part for host in (url.host or "", *several) for part in host.split(",")]


def _is_here(host: str) -> bool:
    """Whether what is said there goes through no network."""
    bare = host.rpartition(":")[0] if host.count(":") == 1 else host
    if not bare or bare == "localhost" or bare.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(bare.strip("[]")).is_loopback
    except ValueError:
        return False


def _options_in(given: Mapping[str, tuple[str, ...] | str]) -> str:
    found = given.get("options", "")
    return found if isinstance(found, str) else " ".join(found)


def _sort_by_bytes(connection: Connection) -> None:
    """Have texts compared by their bytes, as SQLite does, whatever the language of the database: lists and pages go by it."""
    wanted = text(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0 "
        "AND NOT a.attisdropped AND a.atttypid = 'text'::regtype AND a.attcollation <> '\"C\"'::regcollation "
        "ORDER BY c.relname, a.attnum"
    )
    columns: dict[str, list[str]] = {}
    for table, column in connection.execute(wanted):
        columns.setdefault(table, []).append(column)
    quote = connection.dialect.identifier_preparer.quote
    for table, names in columns.items():
        changes = ", ".join(f'ALTER COLUMN {quote(name)} TYPE text COLLATE "C"' for name in names)
        connection.execute(text(f"ALTER TABLE {quote(table)} {changes}"))
