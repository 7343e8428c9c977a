"""Anchors by the clock: the head of the audit goes where it is configured to go, again and again, and at start when one was missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from monitor.audit.anchors import Anchor, append_anchor
from monitor.config import Config
from monitor.moments import HOUR_US
from monitor.notifiers.alert import told_time
from monitor.signing import SigningKey, read_key
from monitor.stores import Anchored, Message
from monitor.telemetry import Telemetry
from monitor.telemetry.upkeep import AnchorFailed, AnchorMade

LOOK_S: Final = 30.0
"""How soon it is seen that an anchor is due."""


class AnchorStore(Protocol):
    """The part of the record that anchors are made of."""

    def audit_head(self) -> tuple[int, str]: ...
    def installation(self) -> str: ...
    def last_anchor(self) -> Anchored | None: ...
    def note_anchor(self, anchored: Anchored, messages: Sequence[Message]) -> None: ...


class Anchoring:
    """Makes an anchor whenever one is due.

    The file has it before the record says so: killed between the two, the same head stands in the file twice.
    """

    def __init__(
        self,
        store: AnchorStore,
        telemetry: Telemetry,
        clock: Callable[[], int],
        *,
        every_us: int,
        file: Path | None,
        channels: Sequence[str],
        key: SigningKey | None = None,
    ) -> None:
        self._store = store
        self._telemetry = telemetry
        self._clock = clock
        self._every_us = every_us
        self._file = file
        self._channels = channels
        self._key = key

    @property
    def is_wanted(self) -> bool:
        """Whether anchors have anywhere to go."""
        return self._file is not None or bool(self._channels)

    def look(self) -> None:
        """Make an anchor if none was made for as long as configured, or the clock has gone back behind the last."""
        now = self._clock()
        last = self._store.last_anchor()
        if last is None or not 0 <= now - last.time < self._every_us:
            self._make(now)

    def _make(self, now: int) -> None:
        seq, digest = self._store.audit_head()
        anchor = Anchor(seq=seq, hash=digest, time=told_time(now), installation=self._store.installation())
        if self._key is not None:
            anchor = anchor.signed(self._key)
        if self._file is not None:
            try:
                append_anchor(self._file, anchor)
            except OSError as error:
                self._telemetry.emit(AnchorFailed(seq=seq, path=str(self._file), error=error.strerror or str(error)))
                return
        messages = [
            Message(key=f"{channel}:anchor:{seq}:{now}", channel=channel, body=anchor.line, created=now)
            for channel in self._channels
        ]
        self._store.note_anchor(Anchored(seq=seq, hash=digest, time=now), messages)
        self._telemetry.emit(AnchorMade(seq=seq))


def anchoring_of(config: Config, store: AnchorStore, telemetry: Telemetry, clock: Callable[[], int]) -> Anchoring:
    """Anchors as configured; raises `KeyRefused` when the key that signs them cannot be used."""
    keys = config.audit
    return Anchoring(
        store,
        telemetry,
        clock,
        every_us=int(keys.anchor_every_h * HOUR_US),
        file=Path(keys.anchor_file) if keys.anchor_file else None,
        channels=[f"webhook:{name}" for name in keys.anchor_webhooks],
        key=read_key(Path(keys.anchor_key_file)) if keys.anchor_key_file else None,
    )
