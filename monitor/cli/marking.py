"""What people say of findings: ``miniwatch findings mark``, and what an exception would silence besides."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.moments import expiry, short
from monitor.cli.options import ConfigFile, DataDir, Form, Output, ReasonText, group
from monitor.cli.printing import Column, at, wire, write_rows
from monitor.cli.telling import SHORT_ID, decision_text, entity_text
from monitor.cli.terminal import visible
from monitor.cli.undoing import present_policy, undo_summary, write_undo
from monitor.clock import now_us
from monitor.counting import counted
from monitor.listing import filters

if TYPE_CHECKING:
    from detectors.finding import Finding
    from monitor.backtest.silencing import Silenced
    from monitor.cli.opening import Opened
    from monitor.stores import Standing
    from monitor.stores.undos import MarkInForce

marks = group("What people have said of findings, while it is input of allow-lists and training.")

EXCEPTION_DAYS_DEFAULT: Final = 30
"""How long an exception holds that is made with a mark, where nobody says otherwise."""

TOLD_MAX: Final = 20
"""Pairs of a rule and an entity that are looked back on after one command; of more, nothing is said."""

DECISIONS_TOLD_MAX: Final = 5


COLUMNS: Final[list[Column[MarkInForce]]] = [
    ("FINDING", lambda row: row.finding[:SHORT_ID]),
    ("MARK", lambda row: row.verdict.value),
    ("WHO", lambda row: entity_text(row.entity)),
    ("RULE", lambda row: row.rule),
    ("DETECTOR", lambda row: row.detector),
    ("UNTIL (UTC)", at("expires")),
    ("BY", lambda row: row.actor),
    ("REASON", lambda row: row.reason),
]


class Word(StrEnum):
    """What can be said of a finding; none takes back what was."""

    TRUE = "true"
    FALSE = "false"
    BENIGN_KNOWN = "benign-known"
    NONE = "none"


def mark_findings(
    keys: Annotated[list[str], Argument(metavar="ID", help="Ids, or the beginnings of them.", show_default=False)],
    word: Annotated[
        Word,
        Argument(
            metavar="WORD",
            help="true: it is right. false: it is wrong. benign-known: it is right, and does no harm here. none: take a mark back.",
            show_default=False,
        ),
    ],
    reason: ReasonText,
    expires: Annotated[
        int | None,
        Option(
            "--expires",
            parser=expiry,
            metavar="TIME",
            help="How long the mark is input of allow-lists and training: 90d, a date … Default: feedback.mark_days.",
            show_default=False,
        ),
    ] = None,
    exception: Annotated[
        bool, Option("--exception", help="Of a false one: also except its entity from its rule, for --expires or 30d.")
    ] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Say what findings are: true, false, or benign-known. All is decided again as if a false or benign one had not been.

    A benign-known mark is an exception, too: until it expires, the same about the same entity is not acted on. After a false one the
    command says what an exception would have silenced in the last seven days, and how to make it.
    """
    from monitor.cli.opening import actor, record
    from monitor.listing.feedback import silenced_told
    from monitor.moments import DAY_US
    from monitor.responding.undoing import mark_findings as mark
    from monitor.settings import channels_of
    from monitor.stores.undos import Marking, Verdict

    if not reason.strip():
        raise typer.BadParameter("say why, in a few words", param_hint="--reason")
    if exception and word is not Word.FALSE:
        raise typer.BadParameter("an exception is made of what is false", param_hint="--exception")
    if expires is not None and word is Word.NONE:
        raise typer.BadParameter("what is taken back has no end", param_hint="--expires")
    verdict = None if word is Word.NONE else Verdict(word.value)
    with record(config, data_dir) as opened:
        now = now_us()
        until = now + opened.config.feedback.mark_days * DAY_US if expires is None else expires
        whole = tuple(dict.fromkeys(opened.id_of("finding", key) for key in keys))
        marking = Marking(findings=whole, verdict=verdict, expires=None if verdict is None else until)
        undo, undone = mark(
            opened.store,
            marking,
            present_policy(opened),
            reason=reason,
            actor=actor(),
            now=now,
            channels=channels_of(opened.config),
        )
        said = "unmarked" if verdict is None else f"marked as {verdict.value}, until {short(until)} UTC"
        say(f"{counted(len(whole), 'finding')} {said}; {undo_summary(undo)}.")
        silenced = _looked_back(opened, whole, word, now)
        for one in silenced:
            _say_silenced(one, word)
        ends = now + EXCEPTION_DAYS_DEFAULT * DAY_US if expires is None else expires
        made = [_except(opened, one, reason, ends, now) for one in silenced] if exception else []
    for one in silenced if word is Word.FALSE and not exception else ():
        say(f"To except it: {command_for(one, reason, -(-(ends - now) // DAY_US))}")
    for laid in made:
        say(f"Added exception {laid.id}: {laid.scope} {visible(laid.value)}, until {short(laid.expires)} UTC.")
    more = {"silenced": [silenced_told(one) for one in silenced], "exceptions": [wire(one) for one in made]}
    if undone or output is not Form.TABLE:
        write_undo(undo, undone, output, f"Decided again ({undo.id})", dry_run=False, more=more)


def _looked_back(opened: Opened, findings: Sequence[str], word: Word, now: int) -> list[Silenced]:
    """What exceptions for false findings, or marks of benign ones, would have silenced; one of each rule and entity."""
    from monitor.backtest.silencing import silenced_by_exception, silenced_by_mark
    from monitor.cli.opening import there

    look = {Word.FALSE: silenced_by_exception, Word.BENIGN_KNOWN: silenced_by_mark}.get(word)
    if look is None:
        return []
    pairs: dict[Any, Finding] = {}
    for key in findings:
        row = there(opened.store.finding(key))
        pairs.setdefault((row.rule.id, row.entity), row)
    if len(pairs) > TOLD_MAX:
        say(f"These are of {len(pairs):,} pairs of a rule and an entity; the first {TOLD_MAX} are looked back on.")
    policy = present_policy(opened)
    return [look(opened.store, row, policy, now=now) for row in list(pairs.values())[:TOLD_MAX]]


def _except(opened: Opened, one: Silenced, reason: str, expires: int, now: int) -> Standing:
    from detectors.finding import Entity
    from monitor.cli.opening import actor
    from monitor.holding import spare

    return spare(opened.store, Entity(one.scope, one.value), actor(), reason, now, expires=expires, rule=one.rule)


def command_for(one: Silenced, reason: str, days: int = EXCEPTION_DAYS_DEFAULT) -> str:
    """The command that makes the exception."""
    whom = ["--app", one.value] if one.scope == "AppId" else ["--scope", one.scope.value, "--value", one.value]
    words = ["exceptions", "add", one.rule, *whom, "--expires", f"{days}d", "--reason", reason]
    return visible(shlex.join(["miniwatch", *words]))


def _say_silenced(one: Silenced, word: Word) -> None:
    """What is silenced besides, and loudly where that was right."""
    what = "This mark" if word is Word.BENIGN_KNOWN else "An exception"
    marked = [f"{one.true:,} true", f"{one.false:,} false", f"{one.benign_known:,} benign-known"]
    words = ", ".join(text for text in marked if not text.startswith("0 "))
    more = "more than " if one.more else ""
    say(
        f"{what} of rule {one.rule[:8]} for {one.scope} {visible(one.value)} would, from {short(one.since)} to {short(one.until)} UTC, "
        f"have silenced besides: {more}{counted(one.findings, 'finding')}{f' (marked: {words})' if words else ''}; "
        f"in force and resting on them: {counted(len(one.decisions), 'decision')}."
    )
    for decision in one.decisions[:DECISIONS_TOLD_MAX]:
        say(f"  {visible(decision_text(decision))}")
    if len(one.decisions) > DECISIONS_TOLD_MAX:
        say(f"  and {len(one.decisions) - DECISIONS_TOLD_MAX:,} more")
    if one.true:
        say(
            f"WARNING: {counted(one.true, 'finding')} that would be silenced was marked as true: what is right would go unseen."
        )


@marks.command("list", epilog="Example: miniwatch marks list --expired")
def list_marks(
    expired: Annotated[bool, Option("--expired", help=filters.EXPIRED.about)] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List the marks of findings that are input of allow-lists and training: those that have not expired."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import MARKS

    with record(config, data_dir) as opened:
        write_rows(output, rows_of(opened, MARKS, expired=expired), COLUMNS)


def mark_lines(opened: Opened, row: Finding) -> list[tuple[str, object]]:
    """What was said of a finding, for people."""
    mark = opened.store.finding_marks([row.id]).get(row.id)
    if mark is None:
        return []
    counts = "it counts" if mark.counts else "it does not count"
    until = "" if mark.expires is None else f"; input of allow-lists and training until {short(mark.expires)} UTC"
    said = f"{mark.word}: {counts}{until}; by {mark.actor}, {short(mark.time)} UTC: {mark.reason}"
    return [("Marked", said), ("Undo", mark.undo)]
