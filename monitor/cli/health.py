"""``miniwatch doctor``: what is wrong with an installation, and what to do."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from typer import BadParameter, Option

from monitor.cli.leaving import FOUND_PROBLEMS, leave, say
from monitor.cli.moments import MICROSECONDS, span
from monitor.cli.options import ConfigFile, DataDir, Form, Output
from monitor.cli.printing import Column, write_rows
from monitor.cli.signs import Sign
from monitor.clock import now_us
from monitor.counting import counted
from monitor.readonly import reading_uri

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.cli.working import Shared
    from monitor.config import Config
    from monitor.stores.places import Places
    from monitor.stores.record import Delivery, EnforcerState

DISK_FREE_SHARE_MIN: Final = 0.05
OUTBOX_AGE_S_MAX: Final = 900
"""A message that has been due for longer than this is stalled."""

ANCHOR_AGES_MAX: Final = 2
"""Intervals between anchors after which one is missing."""

WAITING_MAX: Final = 1000
"""Messages of the outbox that are looked at."""

SNAPSHOT_AGES_MAX: Final = 10
"""So many times the interval of snapshots may pass without one while the daemon runs."""

SEARCH_AGE_S_MAX: Final = 300
"""So long the search may be behind without coming further while the daemon runs."""

SET_ASIDE_TOLD: Final = 3
"""Documents that the search refused of which the reason is shown."""

HELD_S: Final = 3600
HELD_MAX: Final = 1000
"""Held decisions that are looked at, and of how long ago."""

SHARE_MAX: Final = 0.01
"""Of dead letters, late events and events from the future: above it, something upstream is wrong."""

RESTORE: Final = "restore a backup: miniwatch restore FILE --data-dir EMPTY_FOLDER"

SKEW_US: Final = 60 * MICROSECONDS

COLUMNS: Final[list[Column[Sign]]] = [
    ("WHAT", lambda row: row.what),
    ("STATE", lambda row: row.state),
    ("FOUND", lambda row: row.found),
    ("WHAT TO DO", lambda row: row.advice),
]


def doctor(
    deep: Annotated[
        bool, Option("--deep", help="Read every byte of database and archive; takes as long as that takes.")
    ] = False,
    forecast: Annotated[
        bool, Option("--forecast", help="Say instead which disk, partition or process is full next, and when.")
    ] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Look an installation over: what is wrong, and what to do. Exits 1 when there are problems."""
    from monitor.cli.opening import configuration

    if forecast:
        from monitor.cli.forecasting import write_forecasts

        if deep:
            raise BadParameter("goes by what was measured: leave out --deep", param_hint="--forecast")
        if write_forecasts(output, config, data_dir):
            leave(FOUND_PROBLEMS)
        return
    signs = list(signs_of_all(configuration(config, data_dir), config, data_dir, deep=deep))
    if output is Form.TABLE:
        write_rows(output, signs, COLUMNS)
    else:
        write_rows(output, [sign_told(sign) for sign in signs], [])
    problems = sum(sign.state == "problem" for sign in signs)
    warnings = sum(sign.state == "warning" for sign in signs)
    found = f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}."
    say(found if problems or warnings else "All is well.")
    if problems:
        leave(FOUND_PROBLEMS)


def sign_told(sign: Sign) -> dict[str, str]:
    """A sign as programs read it."""
    return {"what": sign.what, "state": sign.state, "found": sign.found, "advice": sign.advice}


def signs_of_all(
    config: Config, file: Path | None, data_dir: Path | None, *, deep: bool = False, looks_only: bool = False
) -> Iterator[Sign]:
    """What is to be said of an installation; with `looks_only` its record is only looked at, and not brought to a newer schema."""
    from monitor.cli.checking import problems_of
    from monitor.cli.forecasting import signs_of_forecast
    from monitor.cli.health_of_models import signs_of_models
    from monitor.cli.opening import is_running, record
    from monitor.cli.working import shared
    from monitor.notifiers.channels import KINDS
    from monitor.recorded import may_have_record, standing_of
    from monitor.stores import StoreError
    from monitor.stores.places import Places

    # Who looks at another folder than the configured one, as at one that was restored, does so beside the daemon that listens.
    found = problems_of(config, begins=data_dir is None)
    for problem in found:
        yield Sign("configuration", "problem", f"{problem.place}: {problem.found}", problem.remedy)
    yield _kernel()
    places = Places(config.data_dir)
    if config.store.url and any(problem.place == "store.url" for problem in found):
        return
    if not may_have_record(config):
        yield Sign(
            "data folder",
            "warning",
            f"{config.data_dir.absolute()} has no record",
            "run miniwatch once, or name the right --data-dir",
        )
        return
    running = is_running(config.data_dir)
    if config.data_dir.is_dir():
        yield _disk(config.data_dir)
    database = Sign("database", "ok", standing_of(config)) if config.store.url else _database(places, deep=deep)
    yield database
    try:
        with record(file, data_dir, look=looks_only) as opened:
            work = shared(opened, now_us(), running=running)
            answered = running or (work is not None and bool(work.answering))
            looks: list[Callable[[], Iterator[Sign]]] = [
                lambda: _working(opened, work, running=running),
                lambda: _archive(opened, deep=deep),
                lambda: _accounts(opened),
                lambda: _outbox(
                    opened,
                    KINDS,
                    "alert",
                    "mend the receiver (miniwatch notifiers list); then miniwatch notifiers retry NAME --reason TEXT, or drop",
                ),
                lambda: _outbox(
                    opened,
                    ("enforcer",),
                    "enforcement",
                    "mend the receiver; then miniwatch enforcers retry NAME --reason TEXT, or drop",
                ),
                lambda: _topics(opened),
                lambda: _clocks(opened),
                lambda: _spool(opened, config),
                lambda: _suspended(opened, running=running),
                lambda: signs_of_models(opened),
                lambda: _stopped(opened),
                lambda: _audit(opened),
                lambda: _anchors(opened, running=answered),
                lambda: _search(opened, running=running),
                lambda: signs_of_forecast(opened),
            ]
            for look in looks:
                yield from look()
    except StoreError as error:
        if config.store.url:
            yield Sign("database", "problem", str(error))
        elif database.state == "ok":
            yield _refused(places.database, error)


def _working(opened: Opened, work: Shared | None, *, running: bool) -> Iterator[Sign]:
    """Who is at work: one process that does all, or workers and whoever answers them."""
    from monitor.cli.working import signs_of
    from monitor.stores.held_folder import was_left

    if work is not None:
        yield from signs_of(opened, work)
        return
    if not running and was_left(opened.places.lock):
        found = "does not run; the last run was killed, or the machine went down"
        advice = "look in the journal for why; started again, it goes on behind the last turn"
        yield Sign("daemon", "warning", found, advice)
    else:
        yield Sign("daemon", "ok", "runs" if running else "does not run")
    yield from _snapshots(opened, running=running)


def _search(opened: Opened, *, running: bool) -> Iterator[Sign]:
    """How far what is searched is behind what is kept, and what would not be taken."""
    if not opened.config.elasticsearch.urls:
        return
    from monitor.stores.indexed import FINDINGS_LEASE
    from monitor.unattended import UNATTENDED_S, folder_told

    now = now_us()
    kept = {"events": sum(opened.store.unindexed_events().values()), "findings": opened.store.unindexed_findings()}
    left = {what: count for what, count in kept.items() if count}
    indexed = opened.store.indexed()
    running = running or any(one.name == FINDINGS_LEASE and one.until > now for one in opened.store.leases())
    came_further = max((one.time for one in indexed), default=0)
    found = ", ".join(f"{count:,} {what}" for what, count in left.items())
    if not left:
        yield Sign("search", "ok", "all that is kept can be found")
    elif not running:
        yield Sign("search", "warning", f"behind by {found}", "start the daemon: it catches up by itself")
    elif now - came_further > SEARCH_AGE_S_MAX * MICROSECONDS:
        advice = "look for search_failed in the log; nothing is lost"
        since = f"no further for {span(came_further, now)}" if came_further else "nothing is there yet"
        yield Sign("search", "problem" if came_further else "warning", f"behind by {found}, and {since}", advice)
    else:
        yield Sign("search", "ok", f"behind by {found}, and catching up")
    for one in opened.store.unattended(now) if running else ():
        if one.since_us > UNATTENDED_S * MICROSECONDS:
            found = f"nobody indexes {one.events:,} events of the archive folder {folder_told(one)}"
            yield Sign("search", "warning", found, "start a worker on that machine and folder, with [elasticsearch]")
    if refused := sum(one.set_aside for one in indexed):
        newest = "; ".join(f"{one.what} {one.id}: {one.reason}" for one in opened.store.set_aside(SET_ASIDE_TOLD))
        advice = "they are in the archive and the record; report it"
        yield Sign("search", "warning", f"{counted(refused, 'document')} refused for good. The last: {newest}", advice)


def _refused(database: Path, error: Exception) -> Sign:
    """Why the record cannot be opened: a place where nothing can be written is no damage."""
    if not (os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)):
        advice = "give this user the right to write there; on a read-only disk, look at a copy of the folder"
        return Sign("database", "problem", f"{database} cannot be opened for writing", advice)
    return Sign("database", "problem", str(error), RESTORE)


def _kernel() -> Sign:
    """Without it all is the same and slower; one of other sources was surely meant to be used."""
    from detectors import kernel

    standing = kernel.standing()
    if standing is kernel.Standing.FOREIGN:
        return Sign("native kernel", "warning", standing, "build it anew: make native")
    return Sign("native kernel", "ok", standing)


def _disk(folder: Path) -> Sign:
    usage = shutil.disk_usage(folder)
    found = f"{_size(usage.free)} free of {_size(usage.total)}"
    if usage.free < usage.total * DISK_FREE_SHARE_MIN:
        return Sign("disk", "problem", found, "make room: a full disk stops the daemon until there is some")
    return Sign("disk", "ok", found)


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"


def _database(places: Places, *, deep: bool) -> Sign:
    from monitor.stores.damage import damaged_at, found_damaged, remedy, what_told
    from monitor.stores.places import record_bytes

    told = damaged_at(places)
    if told is not None:
        return Sign("database", "problem", found_damaged(told), remedy(places))
    path = places.database
    try:
        with closing(sqlite3.connect(reading_uri(path), uri=True)) as connection:
            schema = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            verdict = connection.execute("PRAGMA integrity_check(1)" if deep else "PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return Sign("database", "problem", f"{path}: {what_told(error)}", RESTORE)
    if verdict != "ok":
        found = what_told(verdict.removeprefix("*** in database main ***"))
        return Sign("database", "problem", f"damaged: {found}", f"stop the daemon and {RESTORE}")
    return Sign("database", "ok", f"whole, schema {schema}, {record_bytes(path) / (1 << 20):.1f} MiB")


def _archive(opened: Opened, *, deep: bool) -> Iterator[Sign]:
    archive = opened.archive()
    segments = archive.here(everywhere := opened.store.segments())
    bad = [f"{each}" for each in archive.check(segments)] if deep else []
    for segment in () if deep else segments:
        path = archive.folder / segment.path
        size = path.stat().st_size if path.is_file() else None
        if size != segment.bytes:
            bad.append(f"{path}: {'is missing' if size is None else f'has {size} bytes, not {segment.bytes}'}")
    still = {segment.path for segment in opened.store.segments()}
    bad = [each for each in bad if any(path in each for path in still)]  # others were joined or deleted meanwhile
    if bad:
        advice = "restore a backup; until then, lists pass over these files and recovery refuses"
        yield Sign("archive", "problem", f"{len(bad)} of {counted(len(segments), 'file')}: {bad[0]}", advice)
    else:
        rows = sum(segment.rows for segment in segments)
        elsewhere = len(everywhere) - len(segments)
        more = f"; {counted(elsewhere, 'file')} on other disks" if elsewhere else ""
        told = f"{counted(len(segments), 'file')}, {counted(rows, 'event')}, as the manifest says{more}"
        yield Sign("archive", "ok", told)


def _accounts(opened: Opened) -> Iterator[Sign]:
    from monitor.cli.ledger import account, total
    from monitor.dropped import dropped_by_source

    accounts = [account(each) for each in opened.store.progress().values()]
    off = [f"{each['partition']} by {each['imbalance']}" for each in accounts if each["imbalance"]]
    if off:
        yield Sign(
            "ledger",
            "problem",
            f"does not balance: {', '.join(off)}",
            "keep this data folder and report it: it is a mistake of ours",
        )
        return
    whole = total(accounts)
    received = whole["received"]
    lines = counted(received, "line")
    yield Sign("ledger", "ok", f"balances: {lines}" if received else "no line has come in yet")
    if whole["dead_lettered"] > received * SHARE_MAX:
        found = f"{counted(whole['dead_lettered'], 'dead letter')} among {lines}"
        yield Sign("senders", "warning", found, "miniwatch deadletters list says why")
    for source, dropped in dropped_by_source(opened.store.dead_letter_accounts()).items():
        found = f"of {counted(dropped, 'line')} of {source} the dead letters are gone: there were more than are kept"
        yield Sign(
            "dead letters", "warning", found, "mend the sender, or raise dead_letters.rows_max and source_bytes_max"
        )
    if whole["late"] > received * SHARE_MAX:
        found = f"{counted(whole['late'], 'late event')} among {lines}"
        yield Sign("senders", "warning", found, "raise clock.lateness_s_max, or send sooner")
    if whole["future"] > received * SHARE_MAX:
        found = f"{counted(whole['future'], 'event')} from the future among {lines}"
        yield Sign("senders", "warning", found, "set the senders' clocks; let the collector set event.ingested")


def _outbox(opened: Opened, kinds: Sequence[str], what: str, remedy: str) -> Iterator[Sign]:
    """How what leaves by the channels of some kinds stands; `what` is one of it, for people."""
    prefixes = tuple(f"{kind}:" for kind in kinds)

    def due(now: int) -> list[Delivery]:
        return _of(prefixes, opened.store.due_messages(now, WAITING_MAX))

    states = [state for prefix in prefixes for state in opened.store.enforcer_states(prefix)]
    yield from _leaving(states, due, what, remedy)


def _topics(opened: Opened) -> Iterator[Sign]:
    """How what is to be written to topics stands."""
    from monitor.stores import TOPIC

    if any(keys.of == "findings" for keys in opened.config.topics):
        yield _untold(opened)
    channels = [f"{TOPIC}:{keys.name}" for keys in opened.config.topics if keys.of == "decisions"]
    if not channels:
        return
    states = [state for state in opened.store.enforcer_states(f"{TOPIC}:") if state.channel in channels]

    def due(now: int) -> list[Delivery]:
        return [each for channel in channels for each in opened.store.due_of(channel, now, WAITING_MAX)]

    yield from _leaving(
        states, due, "topic record", "see what is said of it; then miniwatch enforcers retry NAME --reason TEXT"
    )


def _untold(opened: Opened) -> Sign:
    waiting, first = opened.store.untold_since()
    late_us = now_us() - first if first is not None else 0
    if late_us > OUTBOX_AGE_S_MAX * MICROSECONDS:
        found = f"{counted(waiting, 'finding')} waiting, the first for {span(0, late_us)}"
        return Sign("topic of findings", "problem", found, "start the daemon, or look for topic_failed in its log")
    return Sign("topic of findings", "ok", f"{counted(waiting, 'finding')} waiting")


def _leaving(
    states: Sequence[EnforcerState], due: Callable[[int], list[Delivery]], what: str, remedy: str
) -> Iterator[Sign]:
    from detectors.event import END_OF_TIME

    sign = f"{what}s"
    dead = sum(state.dead for state in states)
    stalled = due(now_us() - OUTBOX_AGE_S_MAX * MICROSECONDS)
    failing = [each for each in due(END_OF_TIME) if each.attempts]
    if dead:
        yield Sign(sign, "problem", f"{counted(dead, what)} given up", remedy)
    if stalled:
        waits = f"{counted(len(stalled), what)} due for more than {OUTBOX_AGE_S_MAX // 60} minutes"
        found = f"{waits}{_last_error(stalled)}"
        yield Sign(sign, "problem", found, "start the daemon, or look at the receiver")
    elif failing:
        tries = counted(max(each.attempts for each in failing), "try", "tries")
        found = f"{counted(len(failing), what)} not delivered after {tries}{_last_error(failing)}"
        yield Sign(sign, "warning", found, "look at the receiver; a running daemon tries again by itself")
    if not dead and not stalled and not failing:
        sent, pending = sum(state.sent for state in states), sum(state.pending for state in states)
        yield Sign(sign, "ok", f"{sent} sent, {pending} waiting")


def _of(prefix: str | tuple[str, ...], waiting: Sequence[Delivery]) -> list[Delivery]:
    return [each for each in waiting if each.message.channel.startswith(prefix)]


def _anchors(opened: Opened, *, running: bool) -> Iterator[Sign]:
    """Whether the head of the audit is kept elsewhere as often as configured."""
    keys = opened.config.audit
    if not (keys.anchor_file or keys.anchor_webhooks):
        return
    last = opened.store.last_anchor()
    age = now_us() - last.time if last is not None else None
    if age is not None and age <= ANCHOR_AGES_MAX * keys.anchor_every_h * 3600 * MICROSECONDS:
        yield Sign("anchors", "ok", f"the last is {span(0, age)} old")
    elif running:
        found = "none yet" if age is None else f"the last is {span(0, age)} old"
        yield Sign("anchors", "problem", found, "look for anchor_failed in the log")
    else:
        yield Sign("anchors", "warning", "none lately, since nothing runs", "start the daemon: it makes one at once")


def _last_error(waiting: Sequence[Delivery]) -> str:
    """The error of the message that was tried most, as a clause."""
    tried = max(waiting, key=lambda each: each.attempts)
    return f", last error: {tried.last_error}" if tried.last_error else ""


def _snapshots(opened: Opened, *, running: bool) -> Iterator[Sign]:
    from monitor.snapshots import SnapshotFolder

    last = opened.store.last_turn()
    folder = opened.places.snapshots
    newest = SnapshotFolder(folder).newest() if folder.is_dir() else None
    patience = SNAPSHOT_AGES_MAX * opened.config.snapshots.every_s * MICROSECONDS
    if newest is None:
        yield _no_snapshot(folder, last, patience if running else 0)
        return
    turn, age = int(newest.name), now_us() - newest.stat().st_mtime_ns // 1000
    found = f"of turn {turn}, the record ends with {last}"
    if turn > last:
        yield Sign(
            "snapshot",
            "problem",
            found,
            "the database is older than the snapshots: restore both from one backup; a start deletes what is too new",
        )
    elif running and turn < last and age > patience:
        yield Sign("snapshot", "warning", f"{found}, {span(0, age)} old", "look for snapshot_failed in the log")
    else:
        yield Sign("snapshot", "ok", found)


def _no_snapshot(folder: Path, last: int, patience: float) -> Sign:
    """Whether there should be a snapshot by now: the folder is as old as the first start, or as the loss of what was in it."""
    age = now_us() - folder.stat().st_mtime_ns // 1000 if folder.is_dir() else 0
    if not last or age < patience:
        return Sign("snapshot", "ok", "none yet")
    return Sign("snapshot", "warning", "none", "a restart replays the whole archive; stop the daemon in order once")


def _suspended(opened: Opened, *, running: bool) -> Iterator[Sign]:
    """Rules that the running daemon leaves out: each brought out a fault since it began, and has not been read anew."""
    from monitor.rules.lineup import RULES, rules_in
    from monitor.rules.suspending import SUSPENDED, suspended

    controls = opened.store.controls(RULES)
    if not (running and controls):
        return
    begun = opened.places.lock.stat().st_mtime_ns // 1000
    left_out = suspended((link.entry for link in opened.store.audit_entries()), begun)
    in_force, tried = rules_in(opened.store.content(controls[-1].digest) or b"")
    for rule, entry in left_out.items():
        watching = in_force if entry.action == SUSPENDED else tried
        if rule not in watching:
            found = f"rule {rule} was left out, it brought out a fault of the program: {entry.reason}"
            yield Sign("rules", "warning", found, "report it; miniwatch rules reload tries it again", (entry.reason,))


def _stopped(opened: Opened) -> Iterator[Sign]:
    """What people, or guards, have stopped: nobody should forget it."""
    from monitor.holding import in_shadow, stopped

    now = now_us()
    stop = stopped(opened.store, now)
    if stop is None:
        yield _held_by_health(opened, now)
    else:
        found = f"paused for {span(stop.created, now)} by {stop.actor}: {stop.reason}"
        yield Sign("acts", "warning", found, "miniwatch resume lets them begin again", (stop.actor, stop.reason))
    for rule, laid in in_shadow(opened.store, now).items():
        found = f"rule {rule} is in shadow for {span(laid.created, now)}, by {laid.actor}: {laid.reason}"
        yield Sign("rules", "warning", found, "miniwatch rules unshadow lifts that", (laid.actor, laid.reason))


def _held_by_health(opened: Opened, now: int) -> Sign:
    """What the daemon's own state held back lately; how it is now, only the daemon knows."""
    from monitor.stores.record import Query
    from playbooks.decision import Reason

    lately = Query(since=now - HELD_S * MICROSECONDS, state="held", mode="live", limit=HELD_MAX)
    held = [one for one in opened.store.decisions(lately) if one.reason is Reason.HELD_HEALTH]
    if not held:
        return Sign("acts", "ok", "not paused")
    why = held[0].explanation.rpartition("held, because ")[2].rstrip(".")
    found = f"{counted(len(held), 'act')} of the last hour held for our own state: {why}"
    return Sign("acts", "warning", found, "/readyz says how it is now; miniwatch decisions list --waiting")


def _spool(opened: Opened, config: Config) -> Iterator[Sign]:
    """Events that came over HTTP and are read by nobody, since the source is gone."""
    from monitor.intake import accounted
    from monitor.sources.spooled import PARTITION
    from monitor.spool.spool import unread_bytes

    if any(source.uri == PARTITION for source in config.sources):
        return
    unread = unread_bytes(opened.places.spool, accounted(opened.store.progress().get(PARTITION)))
    if unread:
        found = f"{counted(unread, 'byte')} acknowledged, not read"
        yield Sign("spool", "warning", found, "put http: back among the sources")


def _clocks(opened: Opened) -> Iterator[Sign]:
    """Whether this machine's clock was ever ahead of what it is now."""
    now = now_us()
    database = opened.places.database
    written = database.stat().st_mtime_ns // 1000 if database.is_file() else 0
    newest = max((entry.entry.time for entry in opened.store.audit_entries()), default=0)
    ahead = max(written, newest) - now
    if ahead > SKEW_US:
        found = f"what is kept here was written {span(0, ahead)} in the future"
        yield Sign("clock", "problem", found, "set this machine's clock: expiry of decisions depends on it")
    else:
        yield Sign("clock", "ok", "not behind what was written")


def _audit(opened: Opened) -> Iterator[Sign]:
    from monitor.audit import verify
    from monitor.audit.files import verify_file

    in_file = not opened.config.store.url
    verdict = verify_file(opened.places.database) if in_file else verify(opened.store.audit_entries())
    if verdict.broken is not None:
        yield Sign(
            "audit",
            "problem",
            f"the chain breaks at entry {verdict.broken}",
            "the record was altered: compare with a backup",
        )
    else:
        yield Sign("audit", "ok", f"{counted(verdict.entries, 'entry', 'entries')}, unbroken")
