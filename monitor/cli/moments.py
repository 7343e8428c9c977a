"""Times as options, and as commands write them."""

from __future__ import annotations

import typer

from monitor import moments
from monitor.clock import now_us
from monitor.moments import MICROSECONDS, short, span, stamp

__all__ = ["MICROSECONDS", "expiry", "moment", "short", "span", "stamp"]


def moment(text: str) -> int:
    """The microseconds of a date, an RFC 3339 time (UTC where it has no zone), or a span before now."""
    try:
        return moments.moment(text, now_us())
    except moments.NoMoment as error:
        raise typer.BadParameter(str(error)) from None


def expiry(text: str) -> int:
    """The microseconds of a time to come: a span from now (30d), or a date or time."""
    try:
        return moments.expiry(text, now_us())
    except moments.NoMoment as error:
        raise typer.BadParameter(str(error)) from None
