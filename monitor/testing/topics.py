"""A Kafka topic in memory, for tests of those who write to one; and what a record keeps about findings that are to be written."""

# ruff: noqa: S101 - assertions are how a battery speaks

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from detectors.finding import Finding
from monitor.stores import Turn
from monitor.stores.sql import SqlStore
from monitor.testing.stores import stored_finding
from monitor.topics import Item, Outcome, Published, Refused, Taken, TopicTrouble

RECORD_BYTES_MAX = 1_000_000


class MemoryTopic:
    """A log of records. `script` says of each call of `publish` how it goes, the first before the others.

    ``"taken"`` (when nothing is left too), ``"down"`` (nothing is taken), ``"half"`` (half is, and that is told), and
    ``"unanswered"`` (all is, and nobody is told); and ``"broken"``, a mistake of the client's own.
    """

    def __init__(self, script: Sequence[str] = ()) -> None:
        self.script = list(script)
        self.generation = 1
        self.log: list[Item] = []
        self.refuses: str = ""  # why nobody may use it, while that is so

    def check(self) -> str:
        if self.refuses:
            raise TopicTrouble(self.refuses, lasting=True)
        return f"topic-{self.generation}"

    def publish(self, items: Sequence[Item]) -> Published:
        if self.refuses:
            return Published([None] * len(items), TopicTrouble(self.refuses, lasting=True))
        how = self.script.pop(0) if self.script else "taken"
        if how == "broken":
            raise RuntimeError(how)
        sent = {"down": 0, "half": (len(items) + 1) // 2}.get(how, len(items))
        outcomes: list[Outcome] = [self._take(item) for item in items[:sent]]
        if how == "unanswered":
            outcomes = [None] * len(items)
        outcomes += [None] * (len(items) - len(outcomes))
        return Published(outcomes, None if how == "taken" else TopicTrouble("no broker answers"))

    def _take(self, item: Item) -> Outcome:
        if item.value is not None and len(item.value) > RECORD_BYTES_MAX:
            return Refused("the record is too large")
        self.log.append(item)
        return Taken(f"offset {len(self.log) - 1}")

    def held(self, stopping: Callable[[], bool]) -> Iterator[tuple[str, bytes | None]]:
        for item in list(self.log):
            if stopping():
                return
            yield item.key, item.value

    def recreated(self, keep: int = 0) -> None:
        """Another topic by the same name, with the first records of this one, as after a log was cut short."""
        self.generation += 1
        del self.log[keep:]

    def state(self) -> dict[str, bytes]:
        """What a consumer has that reads from the beginning."""
        state: dict[str, bytes] = {}
        for item in self.log:
            if item.value is None:
                state.pop(item.key, None)
            else:
                state[item.key] = item.value
        return state

    def close(self) -> None:
        """Nothing to let go of."""


AGAIN_US = 60_000_000
"""How soon a finding that grows is told of again, in `check_untold`."""


def check_untold(make: Callable[[], SqlStore]) -> None:
    """The laws of findings in line. `make` gives a new record, empty, with `AGAIN_US`."""
    for law in (_check_new_and_grown, _check_grown_while_told, _check_forgotten):
        store = make()
        try:
            law(store)
        finally:
            store.close()


def _found(store: SqlStore, number: int, now: int, *findings: Finding) -> None:
    store.commit(Turn(number=number, time=now, findings=list(findings)))


def _due(store: SqlStore, now: int) -> list[tuple[str, int]]:
    return [(each.id, each.evidence.count) for each in store.untold(now, 10)]


def _check_new_and_grown(store: SqlStore) -> None:
    """New findings are due at once; one that grew after it was told, some time later, and once."""
    _found(store, 1, 1000, stored_finding("f1"), stored_finding("f2", count=2))
    assert _due(store, 999) == []
    assert _due(store, 1000) == [("f1", 1), ("f2", 2)]
    _found(store, 2, 1001, stored_finding("f1", count=4))
    assert _due(store, 1001) == [("f1", 5), ("f2", 2)]
    store.findings_told({"f1": 5, "f2": 2}, 1002, AGAIN_US)
    assert store.untold_since() == (0, None)
    _found(store, 3, 2000, stored_finding("f1", count=1))
    _found(store, 4, 3000, stored_finding("f1", count=1))
    assert store.untold_since() == (1, 2000 + AGAIN_US)
    assert _due(store, 2000 + AGAIN_US) == [("f1", 7)]


def _check_grown_while_told(store: SqlStore) -> None:
    """What grows between the look and the receipt is told of again, as late as any that grew."""
    _found(store, 1, 1000, stored_finding("f1"))
    _found(store, 2, 1001, stored_finding("f1"))
    store.findings_told({"f1": 1}, 1002, AGAIN_US)
    assert _due(store, 1002) == []
    assert _due(store, 1002 + AGAIN_US) == [("f1", 2)]


def _check_forgotten(store: SqlStore) -> None:
    """What retention deletes is not told any more."""
    _found(store, 1, 1000, stored_finding("f1", time=100))
    store.forget_findings(10**15, 10**15)
    assert store.untold_since() == (0, None)
