"""A Kafka topic in memory, for tests of those who write to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from monitor.topics import Item, Outcome, Published, Refused, Taken, TopicTrouble

RECORD_BYTES_MAX = 1_000_000


class MemoryTopic:
    """A log of records. `script` says of each call of `publish` how it goes, the first before the others.

    ``"taken"`` (when nothing is left too), ``"down"`` (nothing is taken), ``"half"`` (half is, and that is told), and
    ``"unanswered"`` (all is, and nobody is told).
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
