import sqlite3

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit import AuditEntry, chain, verify, verify_file
from monitor.sealing import Seal
from monitor.stores.sqlite import SqliteStore
from monitor.testing import whole_turn

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ENTRY = st.builds(
    AuditEntry, time=st.integers(0, 2**50), actor=TEXT, action=TEXT, subject=TEXT, reason=TEXT, before=TEXT, after=TEXT
)
ENTRIES = st.lists(ENTRY, min_size=1, max_size=8)


@given(entries=ENTRIES)
def test_an_untouched_chain_holds(entries):
    links = list(chain(entries))
    assert verify(links) == verify(chain(entries))
    assert (verify(links).entries, verify(links).broken, verify(links).head) == (len(links), None, links[-1].hash)


@given(entries=ENTRIES, at=st.integers(0), name=st.sampled_from(AuditEntry.__struct_fields__))
def test_a_changed_entry_is_the_first_broken_one(entries, at, name):
    links = list(chain(entries))
    at %= len(links)
    old = getattr(links[at].entry, name)
    forged = msgspec.structs.replace(links[at].entry, **{name: old + 1 if name == "time" else old + "x"})
    links[at] = msgspec.structs.replace(links[at], entry=forged)
    assert verify(links).broken == at + 1


@given(entries=st.lists(ENTRY, min_size=2, max_size=8), at=st.integers(0))
def test_an_entry_taken_out_is_missed(entries, at):
    links = list(chain(entries))
    at %= len(links) - 1
    del links[at]
    assert verify(links).broken == at + 1


def test_a_chain_goes_on_where_it_ended():
    entries = [AuditEntry(time=n, actor="a", action="b", subject="c", reason="d") for n in range(5)]
    first = list(chain(entries[:2]))
    rest = list(chain(entries[2:], first[-1].seq, first[-1].hash))
    assert first + rest == list(chain(entries))


@pytest.fixture
def path(tmp_path):
    store = SqliteStore(tmp_path / "miniwatch.db", seal=Seal(bytes(32)))
    for number in range(1, 6):
        store.commit(whole_turn(number))
    store.close()
    return store._database.path


def test_a_database_file_is_verified_without_the_daemon(path):
    assert (verify_file(path).entries, verify_file(path).broken) == (5, None)


def test_a_row_changed_in_the_file_is_found(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE audit SET reason = 'another' WHERE seq = 3")
    assert verify_file(path).broken == 3


def test_a_file_without_a_chain_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("nothing of the kind" * 100)
    with pytest.raises(ValueError, match=r"notes\.txt has no audit chain"):
        verify_file(path)
