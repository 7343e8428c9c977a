"""Lists of what the record holds: findings, incidents and decisions, each with `list` and `show`."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.marking import mark_findings, mark_lines
from monitor.cli.options import (
    App,
    ConfigFile,
    DataDir,
    Form,
    From,
    Limit,
    Output,
    RuleId,
    ScopeName,
    SeverityWord,
    Since,
    Until,
    Value,
    group,
    read_from,
)
from monitor.cli.printing import Column, limit_of, write_one, write_rows
from monitor.cli.responding import (
    add_decision,
    approve_decisions,
    exempt_entity,
    reject_decisions,
    revoke_decisions,
)
from monitor.cli.telling import (
    DECISION_COLUMNS,
    FINDING_COLUMNS,
    INCIDENT_COLUMNS,
    WAITING_COLUMNS,
    appeal_lines,
    approval_hints,
    decision_lines,
    decision_text,
    finding_lines,
    incident_lines,
    tended_lines,
)
from monitor.cli.tending import acknowledge_incidents, assign_incidents, close_incidents, note_incident
from monitor.cli.undoing import undo_decisions
from monitor.clock import now_us
from monitor.listing import filters
from monitor.listing.filters import Order

if TYPE_CHECKING:
    from detectors.finding import Finding

TITLED_MAX: Final = 200
"""Findings of an incident, the last, of which what their rules call them is shown."""

Id = Annotated[str, Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)]
IncidentStateWord = Annotated[
    str | None, Option("--state", metavar=filters.INCIDENT_STATE.metavar, help=filters.INCIDENT_STATE.about)
]
DecisionStateWord = Annotated[
    str | None, Option("--state", metavar=filters.DECISION_STATE.metavar, help=filters.DECISION_STATE.about)
]
IncidentId = Annotated[str | None, Option("--incident", metavar=filters.INCIDENT.metavar, help=filters.INCIDENT.about)]

findings = group("What detectors saw, about whom.")
incidents = group("Findings about one entity that belong together, with a deadline.")
decisions = group("What was decided, why, and until when.")


@findings.command("list", epilog="Example: miniwatch findings list --severity high --since 2h")
def list_findings(
    since: Since = None,
    until: Until = None,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    rule: RuleId = None,
    severity: SeverityWord = None,
    incident: IncidentId = None,
    limit: Limit = None,
    whence: From = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List findings, newest first."""
    from monitor.cli.filters import findings_found, rows_of
    from monitor.cli.opening import record
    from monitor.cli.rule_files import rule_recorded, unique_digits
    from monitor.listing.lists import FINDINGS

    with record(config, data_dir, more=read_from(whence)) as opened:
        limit = limit_of(output, limit)
        rule = rule and rule_recorded(rule, opened)
        find = rows_of if incident is not None else findings_found  # of incidents the record alone knows
        rows = find(
            opened, FINDINGS, limit,
            app=app, rule=rule, since=since, until=until, scope=scope, value=value, severity=severity, incident=incident,
        )  # fmt: skip
        if output is not Form.TABLE:
            write_rows(output, rows, [], limit=limit)
            return
        held = list(rows)
        digits = unique_digits(row.rule.id for row in held)
        marks = opened.store.finding_marks([row.id for row in held])
        more: list[Column[Finding]] = [("RULE", lambda row: row.rule.id[:digits])]
        if marks:
            more.append(("MARK", lambda row: marks[row.id].word if row.id in marks else ""))
        write_rows(output, held, [*FINDING_COLUMNS[:-1], *more, FINDING_COLUMNS[-1]], limit=limit)


@findings.command("show", epilog="Example: miniwatch findings show 3fa4c1")
def show_finding(key: Id, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show one finding with its evidence; `miniwatch explain ID` tells what became of it."""
    from monitor.cli.opening import record, there

    with record(config, data_dir) as opened:
        row = there(opened.store.finding(opened.id_of("finding", key)))
        write_one(output, row, [*finding_lines(row), *mark_lines(opened, row)])


findings.command(
    "mark", epilog='Example: miniwatch findings mark 3fa4c1 false --reason "A test of theirs" --expires 90d'
)(mark_findings)


@incidents.command("list", epilog="Example: miniwatch incidents list --state open --sort risk")
def list_incidents(
    since: Since = None,
    until: Until = None,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    severity: SeverityWord = None,
    state: IncidentStateWord = None,
    sort: Annotated[Order, Option("--sort", help=filters.SORT.about)] = Order.TIME,
    limit: Limit = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List incidents, the last opened first, or those of the greatest risk."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import INCIDENTS

    with record(config, data_dir) as opened:
        limit = limit_of(output, limit)
        rows = rows_of(
            opened, INCIDENTS, limit,
            app=app, since=since, until=until, scope=scope, value=value, severity=severity, state=state, sort=sort,
        )  # fmt: skip
        write_rows(output, rows, INCIDENT_COLUMNS, limit=limit)


@incidents.command("show", epilog="Example: miniwatch incidents show 91bd")
def show_incident(key: Id, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show one incident with its clocks, notes and decisions; `miniwatch explain ID` tells the whole story."""
    from monitor.cli.opening import record, there
    from monitor.listing.tended import shown
    from monitor.stores.record import Query

    with record(config, data_dir) as opened:
        row, now = there(opened.store.incident(opened.id_of("incident", key))), now_us()
        acts = [decision_text(each) for each in opened.store.decisions(Query(incident=row.id, limit=20))]
        titles = {one.rule.id: one.title for one in opened.store.findings(Query(incident=row.id, limit=TITLED_MAX))}
        done = tended_lines(opened.store.clocks_of([row.id]), opened.store.words_about([row.id]), now)
        write_one(output, shown(opened.store, row, now), [*incident_lines(row, titles), *done, ("Decisions", acts)])


incidents.command("ack", epilog="Example: miniwatch incidents ack 91bd")(acknowledge_incidents)
incidents.command("assign", epilog="Example: miniwatch incidents assign 91bd --to carol")(assign_incidents)
incidents.command("note", epilog='Example: miniwatch incidents note 91bd "Their key has leaked; they are changing it"')(
    note_incident
)
incidents.command("close", epilog='Example: miniwatch incidents close 91bd --reason "The key is changed"')(
    close_incidents
)


@decisions.command("list", epilog="Example: miniwatch decisions list --state active --app wx0123456789abcdef")
def list_decisions(
    since: Since = None,
    until: Until = None,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    rule: RuleId = None,
    state: DecisionStateWord = None,
    mode: Annotated[str | None, Option("--mode", metavar=filters.MODE.metavar, help=filters.MODE.about)] = None,
    incident: IncidentId = None,
    waiting: Annotated[bool, Option("--waiting", help=filters.WAITING.about)] = False,
    limit: Limit = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List decisions of every mode, newest first; held ones with their reason.

    With --waiting: the queue of live ones that a person can approve or reject, with until when and why each was held.
    """
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.cli.rule_files import rule_recorded
    from monitor.cli.stopped import say_what_is_stopped
    from monitor.listing.lists import DECISIONS

    with record(config, data_dir) as opened:
        limit = limit_of(output, limit)
        rule = rule and rule_recorded(rule, opened)
        found = rows_of(
            opened, DECISIONS, limit,
            app=app, rule=rule, since=since, until=until, scope=scope, value=value, state=state, mode=mode, incident=incident,
            waiting=waiting,
        )  # fmt: skip
        if output is not Form.TABLE:
            write_rows(output, found, [], limit=limit)
            return
        rows = list(found)
        write_rows(output, rows, WAITING_COLUMNS if waiting else DECISION_COLUMNS, limit=limit)
        if not waiting:
            say_what_is_stopped(opened.store)
        for hint in approval_hints(rows) if waiting else ():
            say(hint)


@decisions.command("show", epilog="Example: miniwatch decisions show e415")
def show_decision(key: Id, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show one decision, which enforcers have been told of it since when, and the appeals against it."""
    from monitor.cli.enforcing import receipt_lines
    from monitor.cli.opening import record, there
    from monitor.cli.printing import wire
    from monitor.listing.receipts import receipts_told

    with record(config, data_dir) as opened:
        row = there(opened.store.decision(opened.id_of("decision", key)))
        told = opened.store.deliveries_about(row.id)
        against = opened.store.appeals_against(row.id)
        lines = [*decision_lines(row), ("Enforcers", receipt_lines(told)), ("Appeals", appeal_lines(against))]
        more = {"enforcement": receipts_told(told), "appeals": [wire(one) for one in against]}
        write_one(output, {**wire(row), **more}, lines)


decisions.command(
    "add",
    epilog='Example: miniwatch decisions add throttle --app wx01 --target login --limit 60 --per 1m --for 24h --reason "A storm"',
)(add_decision)
decisions.command("approve", epilog='Example: miniwatch decisions approve e415 --reason "Seen in its code"')(
    approve_decisions
)
decisions.command("reject", epilog='Example: miniwatch decisions reject e415 --reason "Their own test"')(
    reject_decisions
)
decisions.command("revoke", epilog='Example: miniwatch decisions revoke e415 --reason "The owner has fixed it"')(
    revoke_decisions
)
decisions.command("exempt", epilog='Example: miniwatch decisions exempt --app wx01 --for 7d --reason "Under repair"')(
    exempt_entity
)
decisions.command(
    "undo",
    epilog='Example: miniwatch decisions undo --rule 277df3d1 --since 2h --reason "It matched everything" --dry-run',
)(undo_decisions)
