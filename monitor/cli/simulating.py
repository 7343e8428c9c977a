"""``miniwatch simulate``: a stream to try things with."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from typer import Option

from monitor.cli.leaving import say
from monitor.cli.moments import moment
from monitor.cli.progress import Bar, bar
from monitor.counting import counted


def simulate(
    seed: Annotated[int, Option("--seed", metavar="N", min=0, help="The same seed gives the same bytes.")],
    events: Annotated[int, Option("--events", metavar="N", min=0, help="How many events.")],
    apps: Annotated[int, Option("--apps", metavar="N", min=1, help="How many apps.")] = 200,
    labels: Annotated[
        Path | None, Option("--labels", metavar="FILE", help="Write the truth here: one staged misbehaviour a line.")
    ] = None,
    registry: Annotated[
        Path | None, Option("--registry", metavar="FILE", help="Write the apps here, for `miniwatch apps import`.")
    ] = None,
    bad_share: Annotated[
        float,
        Option(
            "--bad-share",
            metavar="SHARE",
            min=0.0,
            max=1.0,
            help="Malformed lines among the events, in proportion; at least 20 of every kind.",
        ),
    ] = 0.0,
    kinds: Annotated[
        str | None, Option("--kinds", metavar="A,B", help='Only these misbehaviours; "none" for honest traffic alone.')
    ] = None,
    quiet: Annotated[bool, Option("--quiet", help="Stage misbehaviour that hides in ordinary traffic.")] = False,
    start: Annotated[
        int | None, Option("--start", parser=moment, metavar="TIME", help="When the day begins. Default: 2026-03-02.")
    ] = None,
    hours: Annotated[float, Option("--hours", metavar="HOURS", min=0.2, max=24 * 31, help="How long it lasts.")] = 24.0,
    output: Annotated[
        Path | None,
        Option("--output-file", "-O", metavar="FILE", help="Write the events here instead of standard output."),
    ] = None,
) -> None:
    """Write a simulated platform's events as NDJSON, with labelled misbehaviour among them."""
    from monitor.simulate import START, labels_ndjson, simulation
    from monitor.simulate import bad_lines as with_bad_lines

    begin = START if start is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=start)
    chosen = _kinds(kinds)
    try:
        made = simulation(seed, events, apps, begin, int(hours * 3600), chosen, "quiet" if quiet else "loud")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if labels is not None:
        labels.write_bytes(labels_ndjson(made.labels))
    if registry is not None:
        registry.write_bytes(b"".join(line + b"\n" for line in made.world.registry()))
    blocks, bad = with_bad_lines(made.blocks(), events, seed, bad_share)
    lines = events + sum(bad.values())
    with _target(output) as file, bar("simulating", lines, unit="lines") as shown:
        _write(blocks, file, shown)
    told = f", {counted(sum(bad.values()), 'malformed line')}" if bad_share else ""
    staged = counted(len(made.labels), "staged misbehaviour")
    say(f"{counted(events, 'event')}, {counted(apps, 'app')}, {staged}{told}.")


def _kinds(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    return frozenset(name for part in text.split(",") if (name := part.strip()) and name != "none")


@contextmanager
def _target(path: Path | None) -> Iterator[BinaryIO]:
    opened = nullcontext(sys.stdout.buffer) if path is None else path.open("wb")
    with opened as file:
        yield file


def _write(blocks: Iterable[bytes], file: BinaryIO, shown: Bar) -> None:
    done = 0
    for block in blocks:
        file.write(block)
        done += block.count(b"\n")
        shown(done)
    file.flush()
