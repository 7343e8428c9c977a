"""The chain holds as it was written, and every way of altering it is named at its first link."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit import AuditEntry, ChainedEntry, Difference, chain, verify

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


FIELDS = [*AuditEntry.__struct_fields__, "seq", "previous", "hash"]


def _altered(link: ChainedEntry, name: str) -> ChainedEntry:
    holder = link.entry if name in AuditEntry.__struct_fields__ else link
    old = getattr(holder, name)
    changed = msgspec.structs.replace(holder, **{name: old + 1 if isinstance(old, int) else old + "x"})
    return msgspec.structs.replace(link, entry=changed) if holder is link.entry else changed


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("at", [0, 2, 4])
def test_what_differs_is_named(name: str, at: int):
    links = list(chain(AuditEntry(time=n, actor="a", action="b", subject="c", reason="d") for n in range(5)))
    links[at] = _altered(links[at], name)
    breach = verify(links).breach
    is_last = at == 4  # there is no next one that tells content and hash apart
    expected = {"seq": Difference.MISSING, "previous": Difference.PREVIOUS}
    expected["hash"] = Difference.CONTENT if is_last else Difference.HASH
    assert (breach.seq, breach.difference) == (at + 1, expected.get(name, Difference.CONTENT))


def test_an_entry_that_was_written_anew_with_its_hash_is_told_by_the_next_one():
    links = list(chain(AuditEntry(time=n, actor="a", action="b", subject="c", reason="d") for n in range(5)))
    (links[1],) = chain([msgspec.structs.replace(links[1].entry, actor="z")], 1, links[0].hash)
    breach = verify(links).breach
    assert (breach.seq, breach.difference) == (3, Difference.PREVIOUS)
    assert "written anew" in breach.detail


@given(entries=st.lists(ENTRY, min_size=2, max_size=8), at=st.integers(0), count=st.integers(1, 3))
def test_entries_taken_out_of_the_middle_are_counted(entries, at, count):
    links = list(chain(entries))
    at %= len(links) - 1
    gone = links[at : min(at + count, len(links) - 1)]
    breach = verify([link for link in links if link not in gone]).breach
    assert (breach.seq, breach.difference) == (at + 1, Difference.MISSING)
    assert (f"entries {at + 1} to {at + len(gone)} are" if len(gone) > 1 else f"entry {at + 1} is") in breach.detail


@given(entries=st.lists(ENTRY, min_size=2, max_size=8), at=st.integers(0))
def test_two_entries_that_changed_places_are_out_of_order(entries, at):
    links = list(chain(entries))
    at %= len(links) - 1
    links[at], links[at + 1] = links[at + 1], links[at]
    assert (verify(links).broken, verify(links).breach.difference) == (at + 1, Difference.ORDER)


@given(entries=st.lists(ENTRY, min_size=1, max_size=8), cut=st.integers(0))
def test_an_end_that_was_cut_off_cannot_be_seen_in_the_chain_alone(entries, cut):
    assert verify(list(chain(entries))[: cut % len(entries)]).breach is None
