"""Why acts do not begin, said beside lists of decisions."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.cli.leaving import say
from monitor.cli.moments import short
from monitor.cli.terminal import visible
from monitor.clock import now_us

if TYPE_CHECKING:
    from monitor.stores import Standing
    from monitor.stores.sql import SqlStore


def say_what_is_stopped(store: SqlStore) -> None:
    """On standard error, beside a list of decisions: why none begins."""
    from monitor.holding import in_shadow, stopped

    now = now_us()
    stop = stopped(store, now)
    if stop is not None:
        say(
            f"Acts are paused since {short(stop.created)} UTC {until_text(stop)}, by {stop.actor}: {visible(stop.reason)}"
        )
    for rule, laid in in_shadow(store, now).items():
        say(f"Rule {rule} is in shadow since {short(laid.created)} UTC: {visible(laid.reason)}")


def until_text(laid: Standing) -> str:
    """When something that was laid down ends, as a clause."""
    from detectors.event import END_OF_TIME

    return "until it is lifted" if laid.expires >= END_OF_TIME else f"until {short(laid.expires)} UTC"
