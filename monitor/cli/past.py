"""What commands that go through past events share: which events, a run with its bar, and its last line."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer import Option

from monitor.cli.leaving import Refused, say
from monitor.cli.options import Whence, read_from
from monitor.cli.progress import bar
from monitor.cli.terminal import visible
from monitor.counting import counted

if TYPE_CHECKING:
    from detectors.detector import Detector
    from monitor.backtest.record import PastRecord
    from monitor.backtest.rerun import Past
    from monitor.config import Config

EVENTS_TIMED_MIN: Final = 10_000
"""Of fewer events a speed says nothing."""

Dataset = Annotated[
    str | None,
    Option(
        "--dataset", metavar="NAME", help="Of events that name none: windows.process_creation …", show_default=False
    ),
]
Sources = Annotated[
    list[str] | None,
    Option(
        "--source", "-s", metavar="URI", help="Instead of the archive: file:PATH or stdin: ; may be given many times."
    ),
]


def past_configuration(
    config: Path | None,
    data_dir: Path | None,
    source: Sequence[str] | None,
    since: int | None,
    until: int | None,
    whence: Whence | None = None,
) -> Config:
    """The configuration with the sources that were named, or none: then the archive is meant.

    One that the configuration has is read as it says there.
    """
    from monitor.cli.opening import configuration
    from monitor.cli.running import refuse_endless

    if source and (since is not None or until is not None):
        raise typer.BadParameter("is about the archive; leave it out, or --source", param_hint="--since, --until")
    known = {one.uri: one for one in configuration(config, data_dir).sources}
    named = [known[uri].model_dump(mode="json") if uri in known else {"uri": uri} for uri in source or []]
    if source and whence is not None:
        raise typer.BadParameter("is about what is kept; leave it out, or --source", param_hint="--from")
    loaded = configuration(config, data_dir, {"sources": named, **read_from(whence)})
    refuse_endless(loaded)
    return loaded


@contextmanager
def opened_past(config: Config, since: int | None, until: int | None, dataset: str | None) -> Iterator[Past]:
    """The past to go through; refused where there is none."""
    from monitor.backtest.rerun import past_of

    with past_of(config, since=since, until=until, dataset=dataset) as past:
        if not config.sources and not past.segments and past.search is None:
            raise Refused(f"there are no events in {config.data_dir.absolute()}; name --source, or another --data-dir")
        yield past


@dataclass(slots=True)
class Cost:
    """What a run took, for the last line."""

    cpu_s: float = 0.0


def go(past: Past, detectors: Sequence[Detector], record: PastRecord, title: str = "reading", **more: Any) -> Cost:
    """One run with a bar; what it cost."""
    from monitor.backtest.rerun import Gone, rerun

    begun = time.process_time()
    with bar(title, unit="bytes" if past.config.sources else "lines") as shown:

        def told(gone: Gone) -> None:
            shown(gone.done, total=gone.total, words=counted(gone.events, "event"))

        rerun(past, detectors, record, told=told, **more)
    return Cost(time.process_time() - begun)


def say_end(record: PastRecord, cost: Cost, found: str) -> None:
    """What was gone through, what came of it, and what could not be read."""
    enough = record.events >= EVENTS_TIMED_MIN and cost.cpu_s > 0
    speed = f", {record.events / cost.cpu_s:,.0f} a CPU second" if enough else ""
    say(f"{counted(record.events, 'event')}{speed}: {found}.")
    if record.letters:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in record.letters.most_common())
        first = record.first_letters[0]
        say(
            f"Lines that are no events: {reasons}. The first: {first.partition} at {first.position}: {visible(first.detail)}"
        )
    if record.parts_lost:
        lost = counted(record.parts_lost, "part")
        say(f"{lost} of findings came after those had been written: their counts are too low by as much.")
