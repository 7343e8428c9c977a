"""What topics are written from: a part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from detectors.finding import Finding
from monitor.stores import Message, deciding, enforcing, outgoing, untold
from monitor.stores.connection import Database
from monitor.stores.deciding import InForce
from monitor.stores.record import Delivery


class TopicSide:
    """The outbox of topics, many messages at a time, and what is asked about them."""

    _database: Database

    def due_of(self, channel: str, now: int, limit: int) -> Sequence[Delivery]:
        """What may be sent now by one channel."""
        with self._database.reading() as connection:
            return outgoing.due_messages(connection, now, limit, channel)

    def messages_sent(self, receipts: Mapping[str, str], now: int) -> None:
        """Note receipts, by key."""
        if receipts:
            with self._database.writing("outbox") as connection:
                outgoing.settle_messages(connection, receipts, now)

    def put_anew(self, channel: str, make: Callable[[InForce], Sequence[Message]]) -> int:
        """Put in line what is made of how things stand now; how many messages."""
        with self._database.writing("enforcers") as connection:
            return enforcing.put_anew(connection, channel, make)

    def ask_comparison(self, channel: str, actor: str, reason: str, now: int) -> int:
        """Have a topic compared with the record; how many messages had been given up."""
        with self._database.writing("operator") as connection:
            return enforcing.ask_comparison(connection, channel, (actor, reason, now))

    def comparison_asked(self, channel: str) -> int:
        """When a person last asked for that; 0 where nobody did."""
        with self._database.reading() as connection:
            return deciding.counter(connection, f"{enforcing.ASKED}{channel}")

    def untold(self, now: int, limit: int) -> Sequence[Finding]:
        """Findings that a topic is to be told of, as they stand now."""
        with self._database.reading() as connection:
            return untold.untold(connection, now, limit)

    def findings_told(self, counts: Mapping[str, int], now: int, again_us: int) -> None:
        """Findings were told, with so many events each."""
        if counts:
            with self._database.writing("topic") as connection:
                untold.settle_told(connection, counts, now, again_us)

    def untold_since(self) -> tuple[int, int | None]:
        """How many findings are still to be told, and since when the first is due."""
        with self._database.reading() as connection:
            return untold.untold_since(connection)
