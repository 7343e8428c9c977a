"""``miniwatch doctor --forecast``: which disk, partition or process is full next, and when, in words and as a table."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monitor.cli.leaving import say
from monitor.cli.moments import MICROSECONDS, short, span
from monitor.cli.options import Form
from monitor.cli.printing import Column, write_rows
from monitor.cli.signs import Sign
from monitor.counting import counted
from monitor.moments import DAY_US

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.forecasting.outlook import Forecast

COLUMNS: Final[list[Column[dict[str, Any]]]] = [
    ("WHAT", lambda row: row["name"]),
    ("STATE", lambda row: row["state"]),
    ("NOW", lambda row: row["said_now"]),
    ("A DAY", lambda row: row["said_growth"]),
    ("FULL IN", lambda row: row["said_full"]),
    ("RESTS ON", lambda row: row["said_history"]),
    ("FOUND", lambda row: row["found"]),
]

ADVICE: Final = {
    "disk": "make room, or keep events for less long (retention.events_days)",
    "archive": "make room, or keep events for less long (retention.events_days)",
    "record": "make room on the disk of the database",
    "spool": "it is filled faster than it is read: docs/size.md",
    "lag": "it comes faster than it is read: more workers, or a faster machine (docs/size.md)",
    "busy": "more workers, or a faster machine (docs/size.md), before its peaks take all the time",
}


def write_forecasts(form: Form, config: Path | None, data_dir: Path | None) -> int:
    """Write what is to be expected, what comes first on top; gives the number of problems."""
    from monitor.cli.opening import record
    from monitor.clock import now_us
    from monitor.stores.measured import SLOT_S

    with record(config, data_dir) as opened:
        found, now = forecasts_of(opened), opened.store.agreed_time(now_us())
    if form is not Form.TABLE:
        write_rows(form, [wire_of(one, found) for one in found], [])
    elif found:
        write_rows(form, [told(one, found) for one in found], COLUMNS)
    if not found:
        say(f"Nothing was measured yet: a running daemon does so every {SLOT_S // 60} minutes.")
        return 0
    newest = max(one.measured for one in found)
    if now - newest > 2 * SLOT_S * MICROSECONDS:
        say(f"Last measured {short(newest)} UTC, {span(newest, now)} ago: times are counted from then.")
    problems = sum(one.state == "problem" for one in found)
    warnings = sum(one.state == "warning" for one in found)
    said = f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}."
    say(said if problems or warnings else f"{_well(found).capitalize()}.")
    return problems


def forecasts_of(opened: Opened) -> list[Forecast]:
    """What is to be expected on an installation, by what its processes measured."""
    from monitor.forecasting.outlook import forecasts

    config, store = opened.config, opened.store
    first_days = {}
    for folder in store.folders():
        _, first = store.archived_in(folder.name)
        first_days[folder.host, folder.path.removesuffix(f"/{opened.places.archive.name}")] = first
    return forecasts(
        store.measurements(),
        retention_days=config.retention.events_days,
        first_days=first_days,
        turn_bytes=config.batch.bytes_max,
    )


def signs_of_forecast(opened: Opened) -> Iterator[Sign]:
    """What is full soon, as one of the signs of ``doctor``; nothing where nothing was measured yet."""
    found = forecasts_of(opened)
    rows = [(one, told(one, found)) for one in found]
    for one, row in rows:
        if one.state != "ok":
            yield Sign("forecast", one.state, f"{row['name']}: {row['found']}", ADVICE[one.what], (one.host, one.place))
    if rows and all(one.state == "ok" for one in found):
        yield Sign("forecast", "ok", _well(found))


def _well(found: Sequence[Forecast]) -> str:
    """What there is to say where nothing is a problem or a warning."""
    from monitor.forecasting.outlook import SOON_DAYS, Outlook

    unknown = sum(one.outlook is Outlook.UNKNOWN for one in found)
    but = f"; of {unknown} of {len(found)} there is not enough history yet" if unknown else ""
    return f"nothing is known to be full within {SOON_DAYS} days{but}"


def told(one: Forecast, beside: Sequence[Forecast]) -> dict[str, Any]:
    """A forecast as programs read it, and in words for people; hosts are named where there are several."""
    growth, amount = one.growth, _amount(one)
    is_growing = growth is not None and one.outlook != "does not grow"
    return {
        "name": _name(one, several=len({each.host for each in beside if each.host}) > 1),
        "state": one.state,
        "said_now": amount(one.now) if one.bound is None or one.what == "busy" else of_told(one.now, one.bound),
        "said_growth": _signed(growth.middle, amount) if growth is not None and is_growing else "",
        "said_full": "" if one.full is None else _ahead(one.full - one.measured),
        "said_history": f"{span(0, one.history)}{_compared(one)}" if growth is not None else "",
        "found": "; ".join(_expected(one, amount)),
    }


def wire_of(one: Forecast, beside: Sequence[Forecast]) -> dict[str, Any]:
    """A forecast for programs alone: numbers in bytes or as shares, times as stamps."""
    from monitor.cli.moments import stamp

    def at(time: int | None) -> str | None:
        return None if time is None else stamp(time)

    growth = one.growth
    return {
        "what": one.what.value,
        "host": one.host,
        "place": one.place,
        "state": one.state,
        "outlook": one.outlook.value,
        "measured": at(one.measured),
        "now": one.now,
        "bound": one.bound,
        "growth_day": growth and growth.middle,
        "growth_day_low": growth and growth.low,
        "growth_day_high": growth and growth.high,
        "full": at(one.full),
        "full_earliest": at(one.earliest),
        "full_latest": at(one.latest),
        "most": one.most,
        "retained": at(one.retained),
        "compared": _compared(one).removeprefix(" by "),
        "history_s": one.history // MICROSECONDS,
        "history_needed_s": one.needed // MICROSECONDS,
        "found": told(one, beside)["found"],
    }


def _name(one: Forecast, *, several: bool) -> str:
    if one.what == "lag":
        return f"lag of {one.place}"
    where = f"{one.host}:{one.place}" if several and one.host else one.place
    return f"{one.what.value} {where}".rstrip()


def _amount(one: Forecast) -> Callable[[float], str]:
    return share_told if one.what == "busy" else size_told


def _compared(one: Forecast) -> str:
    """What was compared: measurements that lie whole weeks or days apart, or any."""
    if one.growth is None or not one.growth.period:
        return ""
    return " by days" if one.growth.period == DAY_US else " by weeks"


def _expected(one: Forecast, amount: Callable[[float], str]) -> Iterator[str]:
    growth = one.growth
    match one.outlook.value:
        case "full":
            yield "no time is left" if one.what == "busy" else "it is full"
        case "not enough history yet":
            yield f"not enough history yet: {span(0, one.history)} of {span(0, one.needed)}"
        case "over its limit" if growth is not None:
            yield f"more comes than is read: grows by {amount(growth.middle / 24)} an hour for {span(0, one.history)}"
            if one.full is not None:
                what = "senders are refused" if one.what == "spool" else "not ready"
                yield f"{what} from {_when(one)}"
        case "behind":
            yield f"behind for {span(0, one.history)}, and comes no nearer"
        case "catching up" if growth is not None:
            yield f"catches up within {span(0, round(one.now / -growth.middle * DAY_US))}"
        case "stays under" if one.most is not None and one.retained is not None:
            yield f"at most {amount(one.most)}: from {short(one.retained)[:10]} on old days go"
        case "fills":
            yield f"busy all the time from {_when(one)}" if one.what == "busy" else f"full on {_when(one)}"
        case "grows slowly":
            from monitor.forecasting.outlook import FAR

            yield f"not full within {_ahead(FAR * one.history)}, as far as can be seen"
        case "grows":
            yield (
                "how much room there is, only its server knows" if one.place == "" else "is part of what the disk holds"
            )
        case outlook if one.what != "busy":
            yield "is read as it comes" if one.what in {"lag", "spool"} else outlook
    if one.what == "busy" and one.outlook != "full":
        yield (
            f"at its busiest, {1 / one.now:.2g} times as much can come"
            if one.now >= 0.01
            else "has next to nothing to do"
        )


def _when(one: Forecast) -> str:
    assert one.full is not None  # noqa: S101 - asked of those that have one
    digits = 16 if one.full - one.measured < 2 * DAY_US else 10  # to the minute where that matters
    at, soonest = short(one.full)[:digits], short(one.earliest)[:digits]
    latest = short(one.latest)[:digits] if one.latest is not None else "much later"
    return at if soonest == at == latest else f"{at}, between {soonest} and {latest}"


def _ahead(left_us: int) -> str:
    """For how long there is room, in its largest unit: when exactly stands beside it."""
    return " ".join(span(0, left_us).split()[:2])


UNITS: Final = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))


def size_told(count: float) -> str:
    unit, size = next((each for each in UNITS if abs(count) >= each[1]), UNITS[-1])
    return f"{_digits(count / size)} {unit}"


def of_told(count: float, bound: float) -> str:
    """A size and what it may be: in one unit where both can be read in it."""
    unit, size = next((each for each in UNITS if bound >= each[1]), UNITS[-1])
    small = count < size / 10
    return f"{size_told(count) if small and count else _digits(count / size)} of {_digits(bound / size)} {unit}"


def _digits(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 99.95 else f"{number:.1f}".removesuffix(".0")


def share_told(share: float) -> str:
    return f"{share * 100:.0f} %" if abs(share) >= 0.1 else f"{share * 100:.1f} %"


def _signed(value: float, amount: Callable[[float], str]) -> str:
    return f"{'+' if value > 0 else ''}{amount(value)}"
