"""Anchors show what the chain alone cannot: an end that was cut off, and a chain that was written anew as a whole."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit import GENESIS, AuditEntry, ChainedEntry, chain
from monitor.audit.anchors import Anchor, append_anchor, read_anchors, verify_anchored
from monitor.signing import SigningKey
from monitor.testing import failing_at

KEY = SigningKey(bytes(31) + b"\x01")


def _chain(length: int, actor: str = "a", first: int = 1) -> list[ChainedEntry]:
    names = ["a"] * (first - 1) + [actor] * (length - first + 1)
    return list(
        chain(AuditEntry(time=n, actor=name, action="b", subject="c", reason="d") for n, name in enumerate(names))
    )


def _anchor(links: list[ChainedEntry], at: int, **more: str) -> Anchor:
    head = links[at - 1].hash if at else GENESIS
    return Anchor(seq=at, hash=head, time=f"2026-01-0{at + 1}T00:00:00.000000Z", **{"installation": "i1", **more})


def test_a_chain_that_only_grew_holds_all_its_anchors():
    links = _chain(8)
    verdict = verify_anchored(links, [_anchor(links, at) for at in (0, 3, 3, 8)])
    assert (verdict.held, verdict.problems, verdict.last.seq) == (4, (), 8)


@given(length=st.integers(1, 8), anchored=st.lists(st.integers(0, 8), min_size=1), left=st.integers(0, 8))
def test_an_end_that_was_cut_off_is_missed_by_every_anchor_beyond_it(length, anchored, left):
    links = _chain(length)
    heads = [at % (length + 1) for at in anchored]
    left = min(left, length)
    verdict = verify_anchored(links[:left], [_anchor(links, at) for at in heads])
    assert verdict.chain.breach is None
    assert len(verdict.problems) == sum(at > left for at in heads)
    assert all(f"the chain ends with entry {left}" in problem for problem in verdict.problems)


@given(length=st.integers(1, 8), anchored=st.lists(st.integers(0, 8), min_size=1), first=st.integers(1, 8))
def test_a_chain_written_anew_from_an_entry_on_is_told_by_every_anchor_from_there(length, anchored, first):
    first = min(first, length)
    heads = [at % (length + 1) for at in anchored]
    true = _chain(length)
    verdict = verify_anchored(_chain(length, "forger", first), [_anchor(true, at) for at in heads])
    assert verdict.chain.breach is None
    assert len(verdict.problems) == sum(at >= first for at in heads)
    assert all("written anew" in problem for problem in verdict.problems)


def test_anchors_beyond_a_breach_are_asked_too():
    links = _chain(6)
    anchors = [_anchor(links, 2), _anchor(links, 5)]
    verdict = verify_anchored(links[:2] + links[3:], anchors)
    assert (verdict.chain.broken, verdict.held) == (3, 2)


def test_a_signed_anchor_is_known_by_its_key_and_an_altered_one_is_not():
    links = _chain(3)
    good = _anchor(links, 3).signed(KEY)
    other = SigningKey(bytes(31) + b"\x02")
    bad = [
        _anchor(links, 3),
        _anchor(links, 3).signed(other),
        msgspec.structs.replace(good, time="2026-01-09T00:00:00.000000Z"),
        msgspec.structs.replace(good, signature="none"),
    ]
    verdict = verify_anchored(links, [good, *bad], public=KEY.public)
    assert (verdict.held, len(verdict.problems)) == (1, 4)
    assert all("is not signed by" in problem for problem in verdict.problems)


def test_an_anchor_of_another_installation_proves_nothing():
    links = _chain(3)
    verdict = verify_anchored(links, [_anchor(links, 3, installation="i2")], installation="i1")
    assert "is of installation i2" in verdict.problems[0]


def test_a_file_only_ever_grows(tmp_path: Path):
    path, links = tmp_path / "anchors.ndjson", _chain(2)
    append_anchor(path, _anchor(links, 1))
    begun = path.read_bytes()
    append_anchor(path, _anchor(links, 2))
    assert path.read_bytes().startswith(begun)
    assert list(read_anchors(path)) == [_anchor(links, 1), _anchor(links, 2)]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_line_cut_off_by_a_power_cut_costs_itself(tmp_path: Path, cut: int):
    path, links = tmp_path / "anchors.ndjson", _chain(2)
    append_anchor(path, _anchor(links, 1))
    path.write_bytes(path.read_bytes()[:-cut])
    append_anchor(path, _anchor(links, 2))
    verdict = verify_anchored(links, read_anchors(path))
    whole = cut == 1  # but for the newline
    assert (verdict.held, verdict.unreadable) == ((2, 0) if whole else (1, 1))


def test_a_disk_that_refuses_is_told(tmp_path: Path):
    with failing_at("fsync:anchor"), pytest.raises(OSError, match="No space"):
        append_anchor(tmp_path / "anchors.ndjson", _anchor(_chain(1), 1))


@pytest.mark.parametrize("line", [b"[]", b"{}", b"\xff", b'{"seq":1}', b"x" * 9000, b'{"schema":"other/1","seq":1,"hash":"","time":"","installation":""}'])  # fmt: skip
def test_a_line_that_is_no_anchor_is_counted_and_the_rest_is_read(tmp_path: Path, line: bytes):
    path, links = tmp_path / "anchors.ndjson", _chain(1)
    path.write_bytes(line + b"\n" + _anchor(links, 1).line)
    read = list(read_anchors(path))
    assert read[-1] == _anchor(links, 1)
    assert set(read[:-1]) == {None}
