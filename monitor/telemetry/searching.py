"""What happens on the way to the search, one record each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from monitor.telemetry import metrics
from monitor.telemetry.happening import Happening, Level

if TYPE_CHECKING:
    from monitor.telemetry.meter import Meter


class SearchWritten(Happening, frozen=True, kw_only=True):
    """Events or findings are searchable; `plain` of them by the archive's columns alone, `doubles` were deleted."""

    level: ClassVar[Level] = "debug"
    what: str
    documents: int
    plain: int
    doubles: int
    seconds: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.SEARCH_DOCUMENTS, self.documents, what=self.what)
        meter.add(metrics.SEARCH_PLAIN, self.plain)
        meter.add(metrics.SEARCH_DOUBLES, self.doubles)
        meter.observe(metrics.SEARCH_SECONDS, self.seconds, what=self.what)


class SearchLag(Happening, frozen=True, kw_only=True):
    """How far the search is behind: documents that are kept and not searchable yet, and for how long there have been any."""

    level: ClassVar[Level] = "debug"
    what: str
    documents: int
    seconds: float

    def count(self, meter: Meter) -> None:
        meter.set(metrics.SEARCH_LAG, self.documents, what=self.what)
        meter.set(metrics.SEARCH_LAG_SECONDS, self.seconds, what=self.what)


class SearchUnattendedLag(Happening, frozen=True, kw_only=True):
    """How many events lie in archive folders that no process brings to the search at present."""

    level: ClassVar[Level] = "debug"
    documents: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.SEARCH_UNATTENDED, self.documents)


class SearchUnattended(Happening, frozen=True, kw_only=True):
    """Events of an archive folder have had nobody for minutes who brings them to the search: the machine that has it runs no worker."""

    level: ClassVar[Level] = "warning"
    folder: str
    documents: int

    def count(self, meter: Meter) -> None:
        """The lag is told on, for as long as it is there."""


class SearchFailed(Happening, frozen=True, kw_only=True):
    """The search did not take what it was given; nothing is lost, and it is tried again after a rest."""

    level: ClassVar[Level] = "warning"
    kind: str
    error: str
    failures: int
    rest_s: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.SEARCH_FAILURES, kind=self.kind)
        meter.set(metrics.SEARCH_UP, 0)


class SearchRecovered(Happening, frozen=True, kw_only=True):
    """The search takes again what it is given."""

    seconds: float

    def count(self, meter: Meter) -> None:
        meter.set(metrics.SEARCH_UP, 1)


class SearchReady(Happening, frozen=True, kw_only=True):
    """The cluster answers and is as it should be."""

    version: str
    events_behind: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.SEARCH_UP, 1)


class SearchTemplateOdd(Happening, frozen=True, kw_only=True):
    """A template of the cluster is not as this Miniwatch would have it; it was left alone."""

    level: ClassVar[Level] = "warning"
    template: str
    standing: str
    detail: str

    def count(self, meter: Meter) -> None:
        """`check` tells it for as long as it is so."""


class SearchSetAside(Happening, frozen=True, kw_only=True):
    """Documents that the search refuses whatever form they have; the archive and the record have them."""

    level: ClassVar[Level] = "error"
    what: str
    documents: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.SEARCH_SET_ASIDE, self.documents, what=self.what)


class SearchSegmentBroken(Happening, frozen=True, kw_only=True):
    """A file of the archive cannot be read: its events are left out of the search."""

    level: ClassVar[Level] = "error"
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)
