"""Models of what is unlike others: ``miniwatch model train``, ``list``, ``show``, ``evaluate``, ``activate`` and ``rollback``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

from typer import Argument, Option

from monitor.cli.asking import tell
from monitor.cli.leaving import FOUND_PROBLEMS, USAGE, Refused, leave, say
from monitor.cli.moments import short
from monitor.cli.options import ConfigFile, DataDir, Form, From, Output, ReasonText, Whence, group, read_from
from monitor.cli.printing import Column, at, write_one, write_rows, write_text
from monitor.cli.progress import bar
from monitor.cli.terminal import visible
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.backtest.rerun import Gone, Past
    from monitor.backtest.training import Evaluated, Stretch
    from monitor.cli.opening import Opened
    from monitor.stores.models import ModelRow, Shares

model = group("Models of what is unlike other apps: train, try, put in force, take back.")

NICE: Final = 10
"""How much a training by the clock stands back behind everything else on the machine."""

SCHEDULE: Final = "system:schedule"
MOVED_SHOWN: Final = 5
"""Features that are named, those that moved most."""

NumberOrDigest = Annotated[
    str | None,
    Argument(metavar="MODEL", help="Its number, or the beginning of its digest. Default: the one in force."),
]
Named = Annotated[
    str, Argument(metavar="MODEL", help="Its number, or the beginning of its digest.", show_default=False)
]
Days = Annotated[
    int | None,
    Option(
        "--days",
        min=1,
        max=365,
        metavar="N",
        help="The last days of the archive. Default: models.train_days.",
        show_default=False,
    ),
]

COLUMNS: Final[list[Column[ModelRow]]] = [
    ("MODEL", lambda row: row.number),
    ("STATE", lambda row: row.state.value),
    ("SINCE (UTC)", at("since")),
    ("TRAINED (UTC)", at("created")),
    ("HOURS OF APPS", lambda row: f"{row.story.rows:,}"),
    ("FINDS", lambda row: f"{row.story.figures.found:.0%}"),
    ("TELLS OF", lambda row: f"{row.story.figures.told_apps:.2%}"),
    ("DIGEST", lambda row: row.digest[:16]),
]


@model.command("train", epilog="Example: miniwatch model train --days 14")
def train_model(
    days: Days = None,
    reason: Annotated[str, Option("--reason", metavar="TEXT", help="Why; kept in the audit.")] = "",
    whence: From = None,
    scheduled: Annotated[bool, Option("--scheduled", hidden=True)] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Train a model on the archive, and try it beside the one in force. Exits 1 when it is worse, or there is too little to learn from.

    Hours in which something was found are left out, unless a mark says that it is false or benign-known. What is tried is recorded, and
    nothing follows.
    """
    from detectors.learned.training import NotEnough
    from monitor import process
    from monitor.audit import AuditEntry
    from monitor.backtest.training import NothingKept, train
    from monitor.cli.opening import actor
    from monitor.content.model_changing import SWITCHED_OFF, TRY
    from monitor.models.shelf import label
    from monitor.stores.models import ModelState

    process.prepare()
    if scheduled:
        os.nice(NICE)
    who = SCHEDULE if scheduled else actor()
    if scheduled:  # whom the daemon runs as: another who says that he is its clock is known by it
        reason = reason or f"by the clock, as {actor().removeprefix('operator:')} of this machine"
    with _past(config, data_dir, days, whence) as (opened, past, stretch):
        if not opened.config.models.enabled:
            _say_refused(SWITCHED_OFF)
        try:
            with _reading(past) as told:
                made = train(past, opened.store, stretch, now_us(), told)
        except (NotEnough, NothingKept) as error:
            _say_refused(str(error))
        entry = AuditEntry(
            time=now_us(), actor=who, action="model.train", subject="", reason=reason, after=made.row.digest
        )
        row = opened.store.add_model(made.row, made.file, entry)
        say(_summary(row))
        if row.state is ModelState.REFUSED:
            _say_refused(f"{label(row)} is kept in the list and not used: {row.story.refused}")
        _ask_or_do(opened, TRY, row.digest, reason or "just trained", who)


@model.command("list", epilog="Example: miniwatch model list")
def list_models(output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """List models: which is in force, which is tried, and which were before."""
    from monitor.cli.opening import record
    from monitor.listing.wire import model_told

    with record(config, data_dir) as opened:
        rows = opened.store.models()
        if output is Form.TABLE:
            write_rows(output, rows, COLUMNS, none="There is no model: miniwatch model train makes one.")
        else:
            write_rows(output, [model_told(row) for row in rows], [])


@model.command("show", epilog="Example: miniwatch model show 3")
def show_model(
    name: NumberOrDigest = None, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """Show a model: what it was trained on, how good it is, how marks judge it, and how far features have moved since."""
    from monitor.cli.opening import record
    from monitor.listing.feedback import precision_of_detector, precision_text, precision_told
    from monitor.listing.wire import model_told

    with record(config, data_dir) as opened:
        row = _named(opened, name)
        said = precision_of_detector(opened.store, "learned")
        told = {**model_told(row), "precision_of_models": precision_told(said)}
        write_one(output, told, [*_lines(row), ("Findings of models", precision_text(said))])


@model.command("evaluate", epilog="Example: miniwatch model evaluate 3 --days 7")
def evaluate_model(
    name: NumberOrDigest = None,
    days: Days = None,
    whence: From = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Hold a model against the archive: what it would tell of apps that it has not learned from, and how far features have moved."""
    import msgspec

    from detectors.learned.training import NotEnough
    from monitor import process
    from monitor.backtest.training import NothingKept, evaluate, gathered
    from monitor.models.opening import OpenedModels, UnusableModel
    from monitor.settings import learned_of

    process.prepare()
    with _past(config, data_dir, days, whence) as (opened, past, stretch):
        row = _named(opened, name)
        try:
            asked = OpenedModels(opened.store.content)(row.digest)
            with _reading(past) as told:
                rows = gathered(past, opened.store, stretch, now_us(), told)
            found = evaluate(asked, rows, learned_of(opened.config).telling.bound)
        except (UnusableModel, NotEnough, NothingKept) as error:
            _say_refused(str(error))
        write_one(output, {"model": row.number, **msgspec.to_builtins(_wire(found))}, _evaluated(row, found))


@model.command("activate", epilog='Example: miniwatch model activate 3 --reason "Its trial was quiet"')
def activate_model(name: Named, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Put a model in force: the running daemon takes it up within seconds. Exits 1 when it is refused; all stays then."""
    from monitor.cli.opening import actor, record
    from monitor.content.model_changing import ACTIVATE

    with record(config, data_dir) as opened:
        _ask_or_do(opened, ACTIVATE, _named(opened, name).digest, reason, actor())


@model.command("rollback", epilog='Example: miniwatch model rollback --reason "It tells of the sale"')
def roll_model_back(reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Go one step back: a model that is tried goes; else that in force makes room for the one before it."""
    from monitor.cli.opening import actor, record
    from monitor.content.model_changing import ROLLBACK

    with record(config, data_dir) as opened:
        _ask_or_do(opened, ROLLBACK, "models", reason, actor())


@contextmanager
def _past(
    config: Path | None, data_dir: Path | None, days: int | None, whence: Whence | None
) -> Iterator[tuple[Opened, Past, Stretch]]:
    """The record, and the last days of the archive; leaves with 1 where there are none."""
    from monitor.backtest.rerun import past_of
    from monitor.backtest.training import NothingKept, stretch_of
    from monitor.cli.opening import record

    with record(config, data_dir, more={"sources": [], **read_from(whence)}) as opened:
        try:
            stretch = stretch_of(opened.store, days or opened.config.models.train_days)
        except NothingKept as error:
            _say_refused(str(error))
        with past_of(opened.config, since=stretch.since, until=stretch.until) as past:
            yield opened, past, stretch


@contextmanager
def _reading(past: Past) -> Iterator[Callable[[Gone], None]]:
    with bar("reading", unit="lines") as shown:
        yield lambda gone: shown(gone.done, total=past.rows, words=counted(gone.events, "event"))


def _named(opened: Opened, name: str | None) -> ModelRow:
    """The model that is meant; refused where there is none."""
    from monitor.models.shelf import ModelRefused, ModelShelf

    shelf = ModelShelf(opened.store.models())
    if name is None:
        if shelf.active is None:
            raise Refused("no model is in force: name one; `miniwatch model list` shows those that there are", USAGE)
        return shelf.active
    try:
        return shelf.named(name)
    except ModelRefused as error:
        raise Refused(str(error), USAGE) from None


def _ask_or_do(opened: Opened, kind: str, subject: str, reason: str, who: str) -> None:
    """Have the running daemon do it; where none runs, change the record, which counts from the next start on."""
    from monitor.cli.opening import is_attended
    from monitor.content.in_force import Installed
    from monitor.content.model_changing import ROLLBACK, SWITCHED_OFF, change_of
    from monitor.models.opening import OpenedModels
    from monitor.models.shelf import ModelRefused, ModelShelf, label

    if kind != ROLLBACK and not opened.config.models.enabled:
        _say_refused(SWITCHED_OFF)
    if is_attended(opened):
        tell(opened, kind, subject, reason, who)
        return
    store = opened.store
    why_not = Installed(opened.config, store.pack_content, models=OpenedModels(store.content)).why_not
    try:
        changed, entry = change_of(
            ModelShelf(store.models()), kind, subject, who, reason, now_us(), lambda row: not why_not(row.digest)
        )
    except ModelRefused as error:
        _say_refused(str(error))
    if kind != ROLLBACK and (why := why_not(changed[0].digest)):
        _say_refused(f"{label(changed[0])} cannot be used: {why}")
    store.change_models(changed, entry)
    write_text(f"{entry.after}; no daemon runs, so it counts from the next start on")


def _say_refused(problem: str) -> NoReturn:
    write_text(visible(problem))
    say("What was in force before stays in force.")
    leave(FOUND_PROBLEMS)


def _summary(row: ModelRow) -> str:
    story, figures = row.story, row.story.figures
    before = (
        ""
        if story.before is None
        else f" (the one in force: {story.before.found:.0%} and {story.before.told_apps:.2%})"
    )
    return (
        f"Model {row.number}: learned from {story.rows:,} hours of apps, {short(story.first)} to {short(story.until)} UTC; "
        f"{story.left_out:,} left out for what was found in them. Of apps that it has not seen it finds {figures.found:.0%} of planted "
        f"misbehaviour, and would tell of {figures.told_apps:.2%} of the honest{before}."
    )


def _lines(row: ModelRow) -> list[tuple[str, object]]:
    story = row.story
    experts = [f"{name}: {rows:,} hours of {counted(apps, 'app')}" for name, (rows, apps) in story.experts.items()]
    return [
        ("Model", row.number),
        ("State", f"{row.state.value} since {short(row.since)} UTC"),
        ("Refused", story.refused),
        ("Digest", row.digest),
        ("Trained", f"{short(row.created)} UTC"),
        ("On", f"{short(story.first)} to {short(story.until)} UTC: {story.rows:,} hours of apps, {story.left_out:,} left out"),
        ("By category", experts),
        *_figures("Judged", story.figures),
        *(_figures("The one before", story.before) if story.before is not None else ()),
        ("Moved since", _moved(sorted(story.drift.items(), key=lambda item: -item[1]))),
        ("Bytes", f"{row.bytes:,}"),
    ]  # fmt: skip


def _figures(name: str, figures: Shares) -> list[tuple[str, object]]:
    found = ", ".join(f"{how} {share:.0%}" for how, share in sorted(figures.found_of.items()))
    return [
        (
            name,
            [
                f"by {figures.rows:,} hours of apps that it has not learned from",
                f"tells of {figures.told_apps:.2%} of honest apps, {figures.told:.3%} of their hours",
                f"finds {figures.found:.0%} of planted misbehaviour: {found}",
            ],
        )
    ]


def _moved(drift: Sequence[tuple[str, float]]) -> list[str]:
    from detectors.learned.drift import CHANGED

    if not drift:
        return []
    most = [f"{name} {value:.2f}{' (changed)' if value >= CHANGED else ''}" for name, value in drift[:MOVED_SHOWN]]
    return [", ".join(most), f"{sum(value >= CHANGED for _, value in drift)} of {len(drift)} features have changed"]


def _wire(found: Evaluated) -> dict[str, Any]:
    return {"rows": found.rows, "figures": found.figures, "drift": dict(found.drift)}


def _evaluated(row: ModelRow, found: Evaluated) -> list[tuple[str, object]]:
    return [
        ("Model", f"{row.number}, {row.state.value}"),
        ("Hours of apps", f"{found.rows:,}"),
        *_figures("Judged", found.figures),
        ("Moved since", _moved(found.drift)),
    ]
