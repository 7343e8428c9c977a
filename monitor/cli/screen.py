"""What ``miniwatch top`` shows, as lines: for a screen of some size, or for a pipe, where nothing is cut."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.cli.moments import MICROSECONDS, short, span
from monitor.cli.printing import STYLES
from monitor.cli.telling import SHORT_ID, entity_text
from monitor.cli.terminal import visible
from monitor.counting import counted

if TYPE_CHECKING:
    from detectors.finding import Finding
    from monitor.overview import Lag, Overview, Standing

APPS_SHOWN: Final = 10
FINDINGS_SHOWN: Final = 10
"""Where nobody says how high the screen is."""

SOURCES_SHOWN: Final = 3
CHANNELS_SHOWN: Final = 3

APPS_SHARE: Final = 0.4
"""Of the lines that are left, those for apps."""

NAME_CHARACTERS_MAX: Final = 36
"""Of a name in a column; apps choose how long theirs are."""

HEAD: Final = "bold"
FAINT: Final = "dim"
BAD: Final = "bold red"
WARN: Final = "yellow"
GOOD: Final = "green"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a line, and how it looks on a terminal."""

    text: str
    style: str = ""


Line = tuple[Part, ...]


def screen_of(now: Overview, where: str, *, rows: int | None = None) -> list[Line]:
    """The lines of an overview, of which none can drive a terminal, whoever is named in them. `rows`: how many there is room for; without, a fixed number of apps and findings is shown."""
    lines = [*_head(now, where), (), *_rates(now), (), *_behind(now), ()]
    apps, findings = shares(None if rows is None else rows - len(lines))
    lines += _apps(now, apps)
    lines += [(), *_findings(now.findings[:findings], now.time)] if findings else []
    shown = lines if rows is None else lines[:rows]
    return [tuple(Part(visible(part.text), part.style) for part in line) for line in shown]


def shares(left: int | None) -> tuple[int, int]:
    """How many apps and findings there is room for, in so many lines: three of them are headings and what parts the two."""
    if left is None:
        return APPS_SHOWN, FINDINGS_SHOWN
    room = max(0, left - 3)
    apps = min(APPS_SHOWN, math.ceil(room * APPS_SHARE))
    return apps, room - apps


# The daemon


def _head(now: Overview, where: str) -> list[Line]:
    one = now.standing
    name = f"miniwatch {one.version}".rstrip()
    lines: list[Line] = [(Part(name, HEAD), Part(f"  {short(now.time)} UTC  {where}"))]
    lines.append(_state(one, now.time))
    lines += [(Part(f"not ready: {reason}", BAD),) for reason in one.reasons]
    lines += [(Part(f"acts held: {reason}", WARN),) for reason in one.held]
    lines += [(Part(f"degraded: {reason}", WARN),) for reason in one.degraded]
    if one.silent and one.running:
        lines.append((Part(f"lag and health are not known: {one.silent}", WARN),))
    return lines


def _state(one: Standing, now: int) -> Line:
    if not one.running:
        return (Part("no daemon runs here: what follows is how it was left", BAD),)
    since = f"runs for {span(one.since, now)}" if one.since is not None else "runs"
    if one.silent:
        return (Part(since, GOOD),)
    return (Part(since, GOOD), Part(", "), Part(one.status, GOOD if one.status == "ready" else BAD))


# What comes


def _rates(now: Overview) -> list[Line]:
    rates, lines = now.rates, now.lines
    labels = [f"{lines[name]:,} {word}" for name, word in _LABELS if lines.get(name)]
    received = f"{lines['received']:,} received" + (f": {', '.join(labels)}" if labels else "")
    waiting = _bounded(now.decisions_waiting)
    waits = "waits" if now.decisions_waiting == 1 else "wait"
    lately = f"{_bounded(now.decisions_lately)} of the last hour"
    asks = Part(f"; {waiting} {waits} for a person", WARN if now.decisions_waiting else "")
    return [
        (Part(f"{'':9}  {'A SECOND':>10}", HEAD),),
        (Part(f"{'lines':9}  {_rate(rates.events if rates else None)}  {received}"),),
        (
            Part(
                f"{'findings':9}  {_rate(rates.findings if rates else None)}  {_bounded(now.findings_lately)} of the last hour"
            ),
        ),
        (Part(f"{'decisions':9}  {_rate(rates.decisions if rates else None)}  {lately}"), asks),
    ]


_LABELS: Final = (
    ("dead_lettered", "dead letters"),
    ("late", "late"),
    ("duplicate", "duplicate"),
    ("future", "from the future"),
)


def _rate(rate: float | None) -> str:
    return f"{'…':>10}" if rate is None else f"{rate:>10,.1f}"


def _bounded(count: int) -> str:
    from monitor.stores.standing_now import COUNTED_MAX

    return f"{count:,}" if count <= COUNTED_MAX else f"more than {COUNTED_MAX:,}"


# What is behind, and what waits


def _behind(now: Overview) -> list[Line]:
    lines: list[Line] = [] if now.lag is None else _lag(now.lag)
    messages = sum(one.messages for one in now.outbox)
    if not messages:
        return [*lines, (Part(f"{'outbox':9}  nothing waits"),)]
    oldest = span(0, round(now.outbox[0].oldest_s * MICROSECONDS))
    some = [f"{one.channel} {one.messages:,}" for one in now.outbox[:CHANNELS_SHOWN]]
    more = len(now.outbox) - len(some)
    some += [f"{counted(more, 'channel')} more"] if more else []
    told = f"{counted(messages, 'message')}, the oldest for {oldest}: {', '.join(some)}"
    return [*lines, (Part(f"{'outbox':9}  "), Part(told, WARN))]


def _lag(lag: Lag) -> list[Line]:
    lines: list[Line] = []
    for number, one in enumerate(lag.sources[:SOURCES_SHOWN]):
        size = (
            "not known" if one.bytes is None else "nothing to read" if not one.bytes else f"{_size(one.bytes)} to read"
        )
        name = "lag" if number == 0 else ""
        told = f"{'fails; ' if one.failing else ''}{size}: {one.source}"
        lines.append((Part(f"{name:9}  "), Part(told, BAD if one.failing else "")))
    if (more := len(lag.sources) - SOURCES_SHOWN) > 0:
        rest = sum(one.bytes or 0 for one in lag.sources[SOURCES_SHOWN:])
        lines.append((Part(f"{'':9}  {_size(rest)} to read of {counted(more, 'source')} more"),))
    if lag.spool_bytes:
        lines.append((Part(f"{'spool':9}  {_size(lag.spool_bytes)} came over HTTP"),))
    if lag.half_within_s is not None and lag.most_within_s is not None:
        told = f"half {_within(lag.half_within_s)}, 99 of 100 {_within(lag.most_within_s)}"
        lines.append((Part(f"{'latency':9}  from arrival to commit: {told}"),))
    return lines


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if unit == "B" or size >= 100 else f"{size:,.1f} {unit}"


def _within(bound: float) -> str:
    from monitor.telemetry.metrics import EVENT_LATENCY

    return f"over {EVENT_LATENCY.buckets[-1]:g} s" if math.isinf(bound) else f"within {bound:g} s"


# Apps and findings


def _apps(now: Overview, shown: int) -> list[Line]:
    busiest = now.busiest
    if busiest.elsewhere:
        return [(Part("BUSIEST APPS", HEAD), Part("  the archive is on other disks", FAINT))]
    rows = [
        (
            visible(one.app_id)[:NAME_CHARACTERS_MAX],
            f"{one.events:,}",
            f"{one.events / busiest.events:.1%}",
            _risk(one.risk),
        )
        for one in busiest.apps[:shown]
    ]
    of = f"  of the newest {counted(busiest.events, 'event')}" if busiest.events else "  no event in the archive yet"
    if not rows:
        return [(Part("BUSIEST APPS", HEAD), Part(of, FAINT))]
    widths = _widths([("BUSIEST APPS", "EVENTS", "SHARE", "RISK"), *rows])
    lines: list[Line] = [
        (Part(_columns(("BUSIEST APPS", "EVENTS", "SHARE", "RISK"), widths, right=(1, 2, 3)), HEAD), Part(of, FAINT))
    ]
    return lines + [(Part(_columns(row, widths, right=(1, 2, 3))),) for row in rows]


def _risk(score: float | None) -> str:
    return "" if score is None else f"{score:.0f}"


def _findings(found: Sequence[Finding], now: int) -> list[Line]:
    if not found:
        return [(Part("FINDINGS", HEAD), Part("  none yet", FAINT))]
    heads = ("NEWEST", "TIME (UTC)", "SEVERITY", "WHO")
    rows = [
        (one.id[:SHORT_ID], _when(one.time, now), one.severity.value, _who(one)[:NAME_CHARACTERS_MAX]) for one in found
    ]
    widths = _widths([heads, *rows])
    lines: list[Line] = [(Part(_columns((*heads, "TITLE"), (*widths, 0)), HEAD),)]
    for row, one in zip(rows, found, strict=True):
        title = one.title + (" (shadow)" if one.shadow else "")
        before, severity, after = (
            _columns(row[:2], widths),
            f"{row[2]:<{widths[2]}}",
            f"{_padded(row[3], widths[3])}  {title}",
        )
        lines.append((Part(f"{before}  "), Part(severity, STYLES.get(row[2], "")), Part(f"  {after}")))
    return lines


def _who(one: Finding) -> str:
    """An app by its id alone: most findings are about one."""
    return visible(one.entity.value if one.entity.scope == "AppId" else entity_text(one.entity))


def _when(time: int, now: int) -> str:
    """The hour of today, the date of another day."""
    then, today = short(time), short(now)
    return then[11:] if then[:10] == today[:10] else then[:10]


def _widths(rows: Sequence[Sequence[str]]) -> tuple[int, ...]:
    from rich.cells import cell_len

    return tuple(max(map(cell_len, column)) for column in zip(*rows, strict=True))


def _columns(cells: Sequence[str], widths: Sequence[int], right: Sequence[int] = ()) -> str:
    return "  ".join(
        _padded(cell, width, right=place in right)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=False))
    )


def _padded(cell: str, width: int, *, right: bool = False) -> str:
    """A cell as wide as its column; what is Chinese takes two places a character."""
    from rich.cells import cell_len

    room = " " * max(0, width - cell_len(cell))
    return room + cell if right else cell + room
