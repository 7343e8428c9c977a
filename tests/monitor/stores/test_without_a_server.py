"""What of PostgreSQL can be known without one."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import OperationalError, errors
from sqlalchemy import make_url
from sqlalchemy.dialects import postgresql

from monitor.stores.dialects import Words
from monitor.stores.postgresql import PostgresqlAt, PostgresqlDatabase, client_arguments
from monitor.stores.postgresql_errors import store_error

ODD = st.text(alphabet=st.sampled_from("\x00\x01\x02ab"), max_size=6) | st.text(max_size=6)
DIALECT = postgresql.dialect()
written, read = Words().bind_processor(DIALECT), Words().result_processor(DIALECT, None)


@given(ODD)
def test_a_text_with_nul_is_kept_without_and_comes_back(text):
    assert "\x00" not in written(text)
    assert read(written(text)) == text


@given(ODD, ODD)
def test_texts_stand_in_the_same_order_and_begin_alike_as_they_are_written(one, other):
    assert (one < other) == (written(one).encode() < written(other).encode())
    assert other.startswith(one) <= written(other).startswith(written(one))


@pytest.mark.parametrize(
    ("error", "words", "is_retryable"),
    [
        (errors.DiskFull("x"), "the server's disk is full", True),
        (errors.TooManyConnections("x"), "no connection left", True),
        (errors.SerializationFailure("x"), "another transaction was in the way", True),
        (errors.DeadlockDetected("x"), "waited for one another", True),
        (errors.AdminShutdown("x"), "shutting down", True),
        (errors.ReadOnlySqlTransaction("x"), "read-only copy", True),
        (errors.ConnectionFailure("x"), "the connection was lost", True),
        (errors.ConfigurationLimitExceeded("x"), "short of something", True),
        (OperationalError("server closed the connection unexpectedly"), "does not answer", True),
        (errors.InsufficientPrivilege("x"), "may not do this", False),
        (errors.DataCorrupted("x"), "damaged: restore a backup", False),
        (errors.NumericValueOutOfRange("x"), "refuses (22003", False),
        (OperationalError('FATAL: password authentication failed for user "m"'), "the password is wrong", False),
        (OperationalError("fe_sendauth: no password supplied"), "a password is wanted", False),
        (OperationalError("certificate verify failed"), "not one that is trusted", False),
        (OperationalError('connection failed: role "m"\nwas busy'), "does not answer", True),
    ],
)
def test_what_the_server_refuses_is_told_in_words(error, words, is_retryable):
    told = store_error("postgresql://m@h/d", error)
    assert str(told).startswith("postgresql://m@h/d: ")
    assert (words in str(told), told.retryable) == (True, is_retryable)


@pytest.mark.parametrize(
    ("url", "sslmode"),
    [
        ("postgresql://m@db.example/d", "verify-full"),
        ("postgresql://m@10.0.0.7:5432/d", "verify-full"),
        ("postgresql://m@/d?host=127.0.0.1:1&host=db2:5432", "verify-full"),
        ("postgresql://m@db.example/d?sslmode=require", None),
        ("postgresql://m@localhost/d", None),
        ("postgresql://m@[::1]:5432/d", None),
        ("postgresql://m@/d?host=/run/postgresql", None),
        ("postgresql://m@/d", None),
    ],
)
def test_to_other_machines_one_speaks_with_verified_tls_unless_the_url_says_otherwise(url, sslmode):
    arguments = client_arguments(PostgresqlAt(url=url), make_url(url), read_only=False)
    assert arguments.get("sslmode") == sslmode
    assert "sslrootcert" not in arguments or sslmode is not None


def test_options_of_the_url_stand_beside_ours():
    url = "postgresql://m@/d?options=-csearch_path%3Dours&keepalives_idle=7"
    arguments = client_arguments(PostgresqlAt(url=url, lock_s_max=0.5), make_url(url), read_only=False)
    assert arguments["options"].startswith("-csearch_path=ours -c lock_timeout=500 ")
    assert "keepalives_idle" not in arguments


def test_a_password_is_in_nothing_that_is_shown():
    at = PostgresqlAt(url="postgresql://m@127.0.0.1:1/d?x=y", password="s3cret")
    database = PostgresqlDatabase(PostgresqlAt(url="postgresql://m@127.0.0.1:1/d", password="s3cret"))
    shown = [repr(at), database.name, repr(database.engine), str(database.engine.url)]
    assert [text for text in shown if "s3cret" in text] == []
    database.close()


def test_a_record_in_sqlite_loads_nothing_of_postgresql(tmp_path):
    code = (
        "import sys; from monitor.config import load_config; from monitor.kept import Kept; "
        f"Kept.of(load_config(None, {{}}, {{'data_dir': {str(tmp_path / 'data')!r}}})); "
        "sys.exit(any(name in sys.modules for name in ('psycopg', 'monitor.stores.postgresql')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
