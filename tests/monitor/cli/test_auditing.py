"""The chain on the command line: exported, and verified where there is nothing but a file and the anchors."""

import io
import json
import sqlite3

import pytest

from monitor.app import open_daemon
from monitor.config import load_config
from monitor.signing import make_key
from monitor.telemetry import Telemetry


@pytest.fixture
def audited(fresh):
    """An installation with a few entries."""
    for number in range(4):
        fresh.here("allowlists", "add", "--app", f"wx{number}", "--reason", "ours")
    return fresh


def _verify(miniwatch, *arguments, code=0):
    return json.loads(miniwatch("audit", "verify", *map(str, arguments), "-o", "ndjson", code=code).stdout)


def test_an_exported_chain_is_verified_where_there_is_nothing_else(audited, tmp_path):
    file = tmp_path / "elsewhere" / "audit.ndjson"
    file.parent.mkdir()
    audited.here("audit", "export", str(file))
    assert audited.here("audit", "export", "-").stdout_bytes == file.read_bytes()
    assert _verify(audited, file) == {**audited.rows("audit", "verify")[0]}
    assert "--force" in audited.here("audit", "export", str(file), code=3).stderr
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], *lines[2:]]))
    told = _verify(audited, file, code=1)
    assert (told["broken"], told["differs"], told["detail"]) == (2, "missing", "entry 2 is missing")
    assert "entry 2 is missing" in audited("audit", "verify", str(file), code=1).stdout


def test_a_file_that_is_no_chain_is_refused(audited, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    assert "has no audit chain" in audited("audit", "verify", str(tmp_path / "notes.txt"), code=3).stderr
    assert "there is no" in audited("audit", "verify", str(tmp_path / "absent"), code=3).stderr


@pytest.fixture
def anchors(audited, tmp_path):
    """A file with the anchor that a daemon made at its start, and the public key of who signed it."""
    key = make_key(tmp_path / "anchor.key")
    keys = {"anchor_file": str(tmp_path / "anchors.ndjson"), "anchor_key_file": str(tmp_path / "anchor.key")}
    overrides = {"data_dir": str(audited.folder / "data"), "http.listen": "", "sources": [{"uri": f"file:{__file__}"}]}
    config = load_config(None, {}, overrides | {f"audit.{name}": value for name, value in keys.items()})
    with open_daemon(config, Telemetry(stream=io.StringIO())):
        pass
    return tmp_path / "anchors.ndjson", key.public


def test_an_end_that_was_cut_off_is_seen_with_anchors_alone(audited, anchors):
    file, public = anchors
    database = audited.folder / "data" / "miniwatch.db"
    told = _verify(audited, database, "--anchors", file, "--public-key", public)
    assert told["anchors"] == {"held": 1, "problems": [], "unreadable": 0}
    assert "1 anchor holds" in audited("audit", "verify", str(database), "--anchors", str(file)).stdout
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM audit WHERE seq = 5")
    assert _verify(audited, database)["broken"] is None
    (problem,) = _verify(audited, database, "--anchors", file, code=1)["anchors"]["problems"]
    assert problem.startswith("entry 5, anchored at ")
    assert problem.endswith(" is gone: the chain ends with entry 4")


def test_anchors_of_another_key_do_not_count(audited, anchors):
    told = _verify(audited, audited.folder / "data" / "miniwatch.db", "--anchors", anchors[0], "--public-key", "0" * 64, code=1)  # fmt: skip
    assert "is not signed by" in told["anchors"]["problems"][0]


@pytest.mark.parametrize("more", [["--public-key", "00"], ["--anchors", "absent"]])
def test_what_cannot_be_asked_is_refused(audited, more):
    audited.here("audit", "verify", *more, code=2)
