"""An alert or a notice in words for people, made of its JSON: a line, and a few more.

Strangers choose parts of what is told. None of it begins a line of its own: a command among these lines is one of ours.
"""

from __future__ import annotations

from typing import Any, Final

from monitor.notifiers.alert import Occasion
from monitor.one_line import one_line

OWED: Final = {"acknowledge": "to be acknowledged", "respond": "to be answered", "resolve": "to be closed"}
LINES_MAX: Final = 5


def headline(told: dict[str, Any]) -> str:
    """What happened, in a line; never an empty one."""
    return one_line(_said(told)) or ("Incident " + told["incident"]["id"] if "incident" in told else str(told["what"]))


def _said(told: dict[str, Any]) -> str:
    if "incident" not in told:
        return str(told["title"])
    title, clock = told["incident"]["title"], told["clock"]
    if clock is not None:
        owed = f"{OWED[clock['kind']]} by {_short(clock['due'])}"
        if clock["share"] == 100:
            return f"Too late: {title} was {owed}"
        return f"{clock['share']} % of the time is over: {title} is {owed}"
    by = f" by {told['by']}" if told["by"] else ""
    return {
        Occasion.ACKNOWLEDGED.value: f"Acknowledged{by}: {title}",
        Occasion.CLOSED.value: f"Closed{by}: {title}",
        Occasion.SUPERSEDED.value: f"More severe now: {title}",
    }.get(told["occasion"], str(title))


def paragraphs(told: dict[str, Any]) -> str:
    """The rest, a line each: how severe, what was decided, what was seen, where to look."""
    if "incident" not in told:
        return f"{one_line(told['text'])}\n{one_line(told['look'])}"
    incident = told["incident"]
    lines = [
        f"{told['episode']}, risk {incident['risk']:g} of 100, {incident['findings']} findings; an answer is owed by {_short(incident['due'])}"
    ]
    if told["said"]:
        lines.append(told["said"])
    for decision in told["decisions"][-LINES_MAX:]:
        lines.append(decision["explanation"])
        lines += [command for command in (decision["undo"], decision["approve"]) if command]
        if first := decision.get("before_approval"):  # an alert of an earlier version may still wait
            lines.append(f"Before it can be approved: {first}")
    lines += [f"{one['severity']}: {one['title']} ({one['events']} events)" for one in told["why"][-LINES_MAX:]]
    return "\n".join(one_line(line) for line in [*lines, incident["look"]])


def severity_of(told: dict[str, Any]) -> str:
    """How severe it is."""
    return str(told["episode"] if "incident" in told else told["severity"])


def is_over(told: dict[str, Any]) -> bool:
    """Whether it says that something is over."""
    return told.get("occasion") in {Occasion.CLOSED.value, Occasion.SUPERSEDED.value}


def _short(time: str) -> str:
    return f"{time[:10]} {time[11:16]} UTC"
