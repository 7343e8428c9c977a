"""Packs over starts and kills of the daemon: what the record says of them, and what is in force, come to the same."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from changing import EVENTS, ID, SINGLE, Killed, event
from journey import configured, daemon, differences, outcome

from monitor.app import Daemon
from monitor.audit import AuditEntry
from monitor.config import Config
from monitor.content.again import again
from monitor.content.control_log import PLAYBOOKS, Answering
from monitor.content.pack_changing import ACTIVATE
from monitor.kept import Kept
from monitor.packs.archive import described, opened, sealed
from monitor.packs.manifest import FORMAT, Manifest
from monitor.rules.lineup import RULES
from monitor.signing import SigningKey, fingerprint
from monitor.stores.record import PackRow, PackState, Request
from playbooks.decision import Mode

KEY: Final = SigningKey(b"\x01" * 32)
PLAYBOOK: Final = """
name: version-{version}
title: What the pack answers
priority: 1
steps:
  - tier: warn
    when: {{risk: 1}}
    actions:
      - {{type: warn, deadline: 24h}}
"""


def pack(version: int) -> bytes:
    """A rule that fits another word in each version, its twin, and a playbook."""
    text = SINGLE.format(name="word", id=ID.format(1), field="x.word", value=f"w{version}").rpartition("---")[0]
    texts = {
        "rules/one.yml": text + "level: high\n",
        "rules/one/hit.jsonl": event(version).decode(),
        "rules/one/miss.jsonl": event(version + 1).decode(),
        "playbooks/one.yaml": PLAYBOOK.format(version=version),
    }
    files = {path: content.encode() for path, content in texts.items()}
    said = {"format": FORMAT, "name": "rules", "version": version, "created": 0, "signer": fingerprint(KEY.public)}
    return sealed(Manifest(**said, files=described(files), bounds=None), files, KEY)


class Installation:
    """A data folder whose record has packs, and runs over one file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.source, self.data = folder / "events.ndjson", folder / "data"
        self.source.write_bytes(b"".join(event(number) for number in range(EVENTS)))

    @property
    def config(self) -> Config:
        keys = {"rules__builtin": False, "playbooks__builtin": False, "batch__rows_max": 20}
        return configured(self.data, [self.source], **keys, packs__trusted_keys=[KEY.public])

    def has(self, version: int, state: PackState, stage: str = "", request: str = "") -> None:
        """Put a pack into the record, and what is asked of the daemon."""
        data = pack(version)
        digest = opened(data, [KEY.public]).digest
        row = PackRow(digest=digest, name="rules", version=version, signer="", state=state, stage=stage, since=version)
        entry = AuditEntry(time=0, actor="a", action="pack.offer", subject="s", reason="")
        kept = Kept.open(self.data)
        kept.store.add_pack(row, data, entry)
        kept.store.close()
        if request:
            self.ask(ACTIVATE, f"{digest} {request}")

    def ask(self, kind: str, subject: str) -> None:
        kept = Kept.open(self.data)
        kept.store.ask(Request(id=kind, kind=kind, subject=subject, reason="why", actor="operator:me", created=1))
        kept.store.close()

    def go(self, *, until: int = EVENTS) -> None:
        """Read on; after so many lines the process is gone."""
        with daemon(self.config) as running:
            running.run(lambda _: _gone(running, until))

    def go_asked(self, *, turns: int = 0) -> None:
        """Read on and do what is asked after the first turn; with the thread that does it, the process dies so many turns later."""
        with suppress(Killed), daemon(self.config) as running:
            asked = _Asked(running, turns)
            running.run(lambda _: asked.after_turn())
            asked.doing.join()

    @property
    def standing(self) -> dict[int, str]:
        kept = Kept.open(self.data)
        try:
            return {row.version: str(row.state) for row in kept.store.packs()}
        finally:
            kept.store.close()

    def told(self) -> tuple[list[str], list[str], list[Answering]]:
        """What the audit says of packs, the rules in force one after the other, and the playbooks."""
        kept = Kept.open(self.data)
        try:
            audit = [one.entry.action for one in kept.store.audit_entries() if one.entry.action.startswith("pack")]
            rules = [one.digest for one in kept.store.controls(RULES)]
            contents = [kept.store.content(one.digest) or b"" for one in kept.store.controls(PLAYBOOKS)]
            return audit, rules, [Answering.made_of(content) for content in contents]
        finally:
            kept.store.close()


def _gone(running: Daemon, until: int) -> None:
    if until < EVENTS and sum(intake.progress.received for intake in running.pipeline.intakes) >= until:
        raise Killed


class _Asked:
    """What a second thread does with a request while turns go on."""

    def __init__(self, running: Daemon, turns: int) -> None:
        self._running = running
        self._left = turns
        self.is_dead = False
        self.doing = threading.Thread(target=self._do)

    def _do(self) -> None:
        with suppress(Killed):
            self._running.requests.look()
            return
        self.is_dead = True

    def after_turn(self) -> None:
        if self.doing.ident is None:
            self.doing.start()
            while self._running.pipeline._offer is None and self.doing.is_alive():
                time.sleep(0.005)
            return
        self.doing.join()
        if self.is_dead:
            if not self._left:
                raise Killed
            self._left -= 1


@pytest.fixture
def installed(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "one")


def test_the_playbooks_of_a_trial_are_in_the_control_log_and_answer_after_a_restart(installed: Installation) -> None:
    installed.has(2, PackState.CANDIDATE, "shadow")
    with suppress(Killed):
        installed.go(until=300)
    before = set(outcome(installed.data).decisions)
    installed.go()
    found = outcome(installed.data)
    _, _, (answering,) = installed.told()
    assert [one.name for one in answering.playbooks] == []
    assert [one.name for one in answering.trial] == ["version-2"]
    later = [one for key, one in found.decisions.items() if key not in before]
    assert before
    assert later
    assert {(one.origin, one.mode) for one in found.decisions.values()} == {("playbook:version-2", Mode.SHADOW)}


@pytest.mark.parametrize("turns", [0, 3])
def test_a_kill_between_the_turn_and_the_row_of_a_pack_leaves_it_in_force_in_the_end(
    installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    installed.has(2, PackState.ACTIVE, "live")
    installed.has(3, PackState.OFFERED, request="live")
    with monkeypatch.context() as patched:
        patched.setattr("monitor.stores.sqlite.SqlStore.change_packs", _killed)
        installed.go_asked(turns=turns)
    assert installed.standing == {2: "active", 3: "offered"}
    installed.go_asked()
    assert installed.standing == {2: "retired", 3: "active"}
    audit, rules, _ = installed.told()
    old, new = rules[0], rules[1]
    assert (rules, old != new) == ([old, new, old, new], True)
    assert audit.count("pack.live") == audit.count("packs.activate.done") == 1
    calm = Installation(tmp_path / "one")
    calm.data = tmp_path / "calm"
    with daemon(calm.config, repeated=again(installed.data, 1_000_000)) as running:
        running.run()
    assert differences(outcome(calm.data), outcome(installed.data)) == {}


def _killed(*_: object) -> None:
    raise Killed
