"""The record in an SQL database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.sealing import Seal
from monitor.stores import LetterBounds, Turn
from monitor.stores.connection import Database
from monitor.stores.deciding import Tell, nothing
from monitor.stores.folders import Folders
from monitor.stores.indexed import FollowedBySearch
from monitor.stores.leases import Leases
from monitor.stores.list_side import ListSide
from monitor.stores.measured import Measured
from monitor.stores.people_side import PeopleSide
from monitor.stores.pipeline_side import PipelineSide
from monitor.stores.receiver_side import ReceiverSide
from monitor.stores.schema import refuse_newer, upgrade
from monitor.stores.standing_now import StandingNow
from monitor.stores.streams import Streams
from monitor.stores.taking_back import TakesBack
from monitor.stores.topic_side import TopicSide


class SqlStore(
    PipelineSide,
    ListSide,
    ReceiverSide,
    TopicSide,
    PeopleSide,
    TakesBack,
    Leases,
    Streams,
    Folders,
    FollowedBySearch,
    StandingNow,
    Measured,
):
    """A `Record` in a database, for several threads and processes at once.

    Making one makes the tables, or brings older ones to the present schema; it raises `StoreError` for a database that is
    not ours, is damaged, or was made by a newer Miniwatch.
    `tell` says what leaves through the outbox because live decisions have changed, whoever changed them. With `again_us` a
    topic is told of findings, of one that grows again after so many microseconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        seal: Seal,
        letter_bounds: LetterBounds = LetterBounds(),  # noqa: B008 - frozen
        tell: Tell = nothing,
        again_us: int | None = None,
    ) -> None:
        self._seal = seal
        self._tell = tell
        self._again_us = again_us
        self._letter_bounds = letter_bounds
        self._uncertain: Sequence[Turn] = ()
        self._database = database
        try:
            upgrade(database)
        except BaseException:
            self.close()
            raise
        database.may_write = refuse_newer

    def close(self) -> None:
        self._database.close()

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._database.listen(listener)
