"""Objections to decisions: ``miniwatch appeals`` with ``file``, ``list``, ``show``, ``review``, ``grant``, ``reject``, ``withdraw``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.lists import Id
from monitor.cli.moments import short
from monitor.cli.options import (
    App,
    ConfigFile,
    DataDir,
    Form,
    Limit,
    Output,
    ReasonText,
    ScopeName,
    Since,
    Until,
    Value,
    group,
)
from monitor.cli.printing import Column, at, limit_of, write_one, write_rows
from monitor.cli.telling import SHORT_ID, decision_text, entity_text
from monitor.cli.undoing import present_policy
from monitor.clock import now_us
from monitor.counting import counted
from monitor.listing import filters

if TYPE_CHECKING:
    from monitor.stores.appeals import Appeal

appeals = group("Objections to decisions: file, review, and answer them.")

COLUMNS: Final[list[Column[Appeal]]] = [
    ("ID", lambda row: row.id[:SHORT_ID]),
    ("FILED (UTC)", at("filed")),
    ("STATE", lambda row: row.state.value),
    ("ANSWER BY (UTC)", at("answer_by")),
    ("DECISION", lambda row: row.decision[:SHORT_ID]),
    ("WHO", entity_text),
    ("APPELLANT", lambda row: row.appellant),
]
StateWord = Annotated[
    str | None, Option("--state", metavar=filters.APPEAL_STATE.metavar, help=filters.APPEAL_STATE.about)
]
DecisionId = Annotated[str | None, Option("--decision", metavar=filters.DECISION.metavar, help=filters.DECISION.about)]


@appeals.command("file", epilog='Example: miniwatch appeals file e415 --by dev-7 --statement "We have fixed it"')
def file_appeal(
    key: Annotated[str, Argument(metavar="DECISION", help="Its id, or the beginning of it.", show_default=False)],
    by: Annotated[str, Option("--by", metavar="TEXT", help="Who appeals: the developer.", show_default=False)],
    statement: Annotated[str, Option("--statement", metavar="TEXT", help="What they say.", show_default=False)],
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Record that somebody objects to a decision. It stays in force until the appeal is granted."""
    from monitor.cli.opening import actor, record
    from monitor.responding.appealing import file
    from monitor.rulings import appeal_terms

    with record(config, data_dir) as opened:
        whole, terms = opened.id_of("decision", key), appeal_terms(opened.config)
        row, _ = file(opened.store, whole, appellant=by, statement=statement, actor=actor(), now=now_us(), terms=terms)
    if output is not Form.TABLE:
        write_one(output, row, [])
        return
    say(f"Filed appeal {row.id[:SHORT_ID]}, to be answered by {short(row.answer_by)} UTC.")


@appeals.command("list", epilog="Example: miniwatch appeals list --state filed")
def list_appeals(
    since: Since = None,
    until: Until = None,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    state: StateWord = None,
    decision: DecisionId = None,
    limit: Limit = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List appeals, the last filed first."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import APPEALS

    with record(config, data_dir) as opened:
        limit = limit_of(output, limit)
        rows = rows_of(
            opened, APPEALS, limit,
            since=since, until=until, app=app, scope=scope, value=value, state=state, decision=decision,
        )  # fmt: skip
        write_rows(output, rows, COLUMNS, limit=limit)


@appeals.command("show", epilog="Example: miniwatch appeals show 7c1e")
def show_appeal(key: Id, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show one appeal: what was said, and what came of it."""
    from monitor.cli.opening import record, there

    with record(config, data_dir) as opened:
        row = there(opened.store.appeal(opened.id_of("appeal", key)))
    write_one(output, row, _lines(row))


@appeals.command("review", epilog='Example: miniwatch appeals review 7c1e --reason "I look at it"')
def review_appeal(key: Id, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Take an appeal up, so that others know who looks at it."""
    from monitor.cli.opening import actor, record
    from monitor.responding.appealing import review

    with record(config, data_dir) as opened:
        row = review(opened.store, opened.id_of("appeal", key), actor=actor(), reason=reason, now=now_us())
    say(f"{row.reviewer} reviews appeal {row.id[:SHORT_ID]}.")


@appeals.command("grant", epilog='Example: miniwatch appeals grant 7c1e --reason "It was our own test"')
def grant_appeal(
    key: Id,
    reason: ReasonText,
    findings_stand: Annotated[
        bool, Option("--findings-stand", help="Only lift the decision: what was found is right.")
    ] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Say yes: lift the decision, and mark the findings that it rests on as false."""
    from monitor.cli.opening import actor, record
    from monitor.responding.appealing import grant
    from monitor.settings import channels_of

    with record(config, data_dir) as opened:
        granted = grant(
            opened.store,
            opened.id_of("appeal", key),
            present_policy(opened),
            actor=actor(),
            reason=reason,
            now=now_us(),
            channels=channels_of(opened.config),
            findings_stand=findings_stand,
        )
    say(f"Granted appeal {granted.appeal.id[:SHORT_ID]}: {decision_text(granted.decision)}.")
    if granted.undo is not None:
        lifted = counted(granted.undo.lifted + granted.undo.released, "decision")
        say(f"{counted(granted.undo.findings, 'finding')} no longer counted, {lifted} lifted.")


@appeals.command("reject", epilog='Example: miniwatch appeals reject 7c1e --reason "It is still in its code"')
def reject_appeal(key: Id, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Say no. Who added or approved the decision cannot: it needs another person."""
    from monitor.cli.opening import actor, record
    from monitor.responding.appealing import reject

    with record(config, data_dir) as opened:
        row = reject(opened.store, opened.id_of("appeal", key), actor=actor(), reason=reason, now=now_us())
    say(f"Rejected appeal {row.id[:SHORT_ID]}.")


@appeals.command("withdraw", epilog='Example: miniwatch appeals withdraw 7c1e --reason "They asked for it"')
def withdraw_appeal(key: Id, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Record that whoever filed an appeal wants no answer any more."""
    from monitor.cli.opening import actor, record
    from monitor.responding.appealing import withdraw

    with record(config, data_dir) as opened:
        row = withdraw(opened.store, opened.id_of("appeal", key), actor=actor(), reason=reason, now=now_us())
    say(f"Withdrew appeal {row.id[:SHORT_ID]}.")


def _lines(row: Appeal) -> list[tuple[str, object]]:
    return [
        ("Appeal", row.id),
        ("Decision", row.decision),
        ("About", entity_text(row)),
        ("Appellant", row.appellant),
        ("Statement", row.statement),
        ("State", row.state.value),
        ("Filed (UTC)", f"{short(row.filed)}, recorded by {row.actor}"),
        ("Answer by (UTC)", short(row.answer_by)),
        ("Reviewed by", row.reviewer),
        ("Answered", None if row.answered is None else f"{short(row.answered)} UTC by {row.answered_by}: {row.reason}"),
    ]
