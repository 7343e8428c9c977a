"""Dead letters that there was no room for: told as they go, and shown by `doctor`."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.stores.record import LetterAccount, Record
from monitor.telemetry import Telemetry, upkeep


def dropped_by_source(accounts: Iterable[LetterAccount]) -> dict[str, int]:
    """Lines of each source whose dead letters went because there were too many; sources without any are left out."""
    dropped: dict[str, int] = {}
    for account in accounts:
        if account.dropped:
            dropped[account.partition] = dropped.get(account.partition, 0) + account.dropped
    return dropped


class DroppedWatch:
    """Looks now and then whether more have gone than when it last looked."""

    def __init__(self, store: Record, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._told = dropped_by_source(store.dead_letter_accounts())

    def look(self) -> None:
        """Tell of every source that has lost some since."""
        now = dropped_by_source(self._store.dead_letter_accounts())
        for source, lines in now.items():
            if more := lines - self._told.get(source, 0):
                self._telemetry.emit(upkeep.LettersDropped(source=source, lines=more))
        self._told = now
