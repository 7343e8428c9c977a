"""Two processes that do all on one record in PostgreSQL: the second is refused, and one that stood still writes nothing more."""

import shutil
import signal
import time

import pytest
from chaos import Site
from server import until

from monitor.simulate import simulate

pytestmark = pytest.mark.live


def _received(site):
    kept = site.kept()
    try:
        return sum(one.received for one in kept.store.progress().values())
    finally:
        kept.store.close()


def test_a_second_is_refused_and_takes_over_from_one_that_stands_still(postgres, tmp_path):
    events, store = tmp_path / "events.ndjson", postgres.database()
    lines = b"".join(simulate(5, 3000)).splitlines(keepends=True)
    events.write_bytes(b"".join(lines[:1000]))
    one, two, moved = (Site(tmp_path / name, f"file:{events}?follow", store) for name in ("one", "two", "moved"))
    first = one.start()
    try:
        until(lambda: _received(one) == 1000, 60)
        shutil.copytree(one.folder / "data" / "keys", two.folder / "data" / "keys")
        for words in ((), ("--until-end", "--source", f"file:{events}"), ("--role", "respond")):
            assert two.start(*words).wait(60) == 3
        said = (two.folder / "log").read_text()
        assert said.count("does all on this record; stop it, or use another store.url") == 3
        first.send_signal(signal.SIGSTOP)
        shutil.copytree(one.folder / "data", moved.folder / "data")  # the disk, at another machine
        moved.start()
        with events.open("ab") as file:
            file.write(b"".join(lines[1000:]))
        until(lambda: _received(moved) == len(lines), 90)
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 3
        assert _received(moved) == len(lines)
        assert "another" in (one.folder / "log").read_text().splitlines()[-1]
        moved.processes[-1].kill()
        moved.processes[-1].wait()
        begun = time.monotonic()
        moved.start("--until-end", "--source", f"file:{events}").wait(60)
        assert time.monotonic() - begun < 14, "it waited for a lease of its own folder"
    finally:
        for site in (one, two, moved):
            site.end()
