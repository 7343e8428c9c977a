"""``miniwatch run``: the daemon."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import parse_qsl

import typer
from typer import Option

from monitor.cli.leaving import INTERRUPTED, USAGE, Refused, leave, say
from monitor.cli.options import ConfigFile, DataDir
from monitor.cli.progress import Bar, bar
from monitor.clock import now_us
from monitor.counting import counted
from monitor.process import Role
from monitor.workforce import SIGN_S, WORKERS_MAX

if TYPE_CHECKING:
    from monitor.app import Daemon
    from monitor.config import Config
    from monitor.models.loading import LoadedModels
    from monitor.pipeline import Pipeline
    from monitor.supervision.supervisor import Supervisor
    from monitor.telemetry import Telemetry
    from monitor.telemetry.happening import Level
    from monitor.workforce import Workforce

OPENING: Final = "Starting: opening the record, reading rules"


def run(
    source: Annotated[
        list[str] | None,
        Option(
            "--source",
            "-s",
            metavar="URI",
            help="file:PATH, file:PATH?follow, stdin:, http: or kafka://HOST:PORT/TOPIC ; may be given many times.",
        ),
    ] = None,
    until_end: Annotated[bool, Option("--until-end", help="Read to the end, print a summary and leave.")] = False,
    deliver: Annotated[bool, Option("--deliver", help="With --until-end: send alerts all the same.")] = False,
    mode: Annotated[
        str | None, Option("--mode", metavar="live|shadow", help="shadow: decide and record, enforce nothing.")
    ] = None,
    as_in: Annotated[
        Path | None,
        Option(
            "--as-in",
            metavar="DATA_DIR",
            help="With --until-end: the rules and playbooks that this data folder says were in force, where they were.",
        ),
    ] = None,
    role: Annotated[
        Role,
        Option(
            "--role",
            help="detect: a worker on partitions of a topic. respond: answers what workers find. api: shows it. all: everything in one process.",
        ),
    ] = Role.ALL,
    workers: Annotated[
        int,
        Option(
            "--workers",
            metavar="N",
            min=0,
            max=WORKERS_MAX,
            help="Start so many workers (--role detect) beside this process, which answers them.",
        ),
    ] = 0,
    parent: Annotated[int | None, Option("--parent", hidden=True)] = None,
    tells: Annotated[int | None, Option("--tells", hidden=True)] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Read events, find abuse, decide. Started again, it goes on where it was.

    With --until-end it exits 130 when it is stopped before the end; without, being stopped is how it ends, and it exits 0.
    """
    from monitor import process

    process.prepare()
    from monitor.cli.opening import configuration
    from monitor.retraining import training_command

    started = _started(tells)
    if deliver and not until_end:
        raise typer.BadParameter("goes with --until-end; a daemon always delivers", param_hint="--deliver")
    if as_in is not None and not until_end:
        raise typer.BadParameter("goes with --until-end", param_hint="--as-in")
    more: dict[str, object] = {"sources": [{"uri": uri} for uri in source]} if source else {}
    if mode is not None:
        more["mode"] = mode
    loaded = configuration(config, data_dir, more)
    if not loaded.sources and role in {Role.ALL, Role.DETECT}:
        raise typer.BadParameter(
            "name one: --source file:PATH, or [[sources]] in the configuration", param_hint="--source"
        )
    if until_end and (role is not Role.ALL or workers):
        raise typer.BadParameter("is for one process: leave out --role and --workers", param_hint="--until-end")
    if role is Role.DETECT or workers:
        _check_topic(loaded)
    if role is Role.DETECT and not workers:
        _run_worker(loaded, parent, started)
    elif workers:
        _run_workers(loaded, workers, role, training_command(config, data_dir), started)
    elif until_end:
        refuse_endless(loaded)
        _run_until_end(loaded, deliver=deliver, given=_given(config, data_dir), as_in=as_in)
    else:
        _run_daemon(loaded, role, training_command(config, data_dir), started)


@dataclass(frozen=True, slots=True)
class _Started:
    """What whoever has started this process gave it: somebody to tell how it is, and the descriptors of sockets."""

    supervisor: Supervisor
    handed: list[int]

    def listener(self, config: Config) -> socket.socket | None:
        from monitor.supervision.handed import listener_of

        return listener_of(self.handed, config.http.listen)


def _started(tells: int | None) -> _Started:
    from monitor.supervision.handed import handed_over
    from monitor.supervision.supervisor import Supervisor

    supervisor = Supervisor.of(os.environ, os.getpid())
    if tells is not None:
        channel = socket.socket(fileno=tells)
        channel.set_inheritable(False)
        supervisor = Supervisor(channel, period_s=2 * SIGN_S)
    return _Started(supervisor, handed_over(os.environ, os.getpid()))


def refuse_endless(config: Config) -> None:
    """A followed file never ends, so a run to its end would wait for ever."""
    for source in config.sources:
        if source.uri == "http:":
            raise Refused("http: has no end: leave out --until-end", USAGE)
        parameters = dict(parse_qsl(source.uri.partition("?")[2], keep_blank_values=True))
        if parameters.get("follow") in {"", "true"}:
            raise Refused(f"{source.uri}: ?follow has no end: leave out --until-end or ?follow", USAGE)


def _check_topic(config: Config) -> None:
    from monitor.detecting import NoPartitions, topic_of

    try:
        topic_of(config)
    except NoPartitions as error:
        raise Refused(str(error), USAGE) from error


def _run_worker(config: Config, parent: int | None, started: _Started) -> None:
    from monitor.detecting import open_detecting
    from monitor.supervision.watched import watched_worker
    from monitor.telemetry import Telemetry

    telemetry = Telemetry(level=config.log.level, log_format=config.log.format)
    telemetry.adopt_library_lines()
    supervisor = started.supervisor
    supervisor.status(OPENING)
    try:
        with open_detecting(config, telemetry, parent=parent, listener=started.listener(config)) as detecting:
            detecting.obey_signals()
            with watched_worker(supervisor, detecting):
                detecting.run(supervisor.ready)
    finally:
        telemetry.close()


def _run_workers(config: Config, workers: int, role: Role, training: Sequence[str], started: _Started) -> None:
    """Start workers and keep them going; this process answers what they find, unless it is to do no more than that."""
    from monitor.supervision.watched import watched_workforce
    from monitor.workforce import Workforce

    if role is Role.DETECT and started.handed:
        raise Refused(
            "a socket was handed over, and nobody listens at http.listen here: workers do at the ports above it"
        )
    with Workforce(workers, config.http.listen) as workforce:
        if role is Role.DETECT:
            with watched_workforce(started.supervisor, workforce, config):
                workforce.wait(started.supervisor.ready)
        else:
            _run_daemon(config, Role.RESPOND if role is Role.ALL else role, training, started, workforce)


def _run_daemon(
    config: Config, role: Role, training: Sequence[str], started: _Started, workforce: Workforce | None = None
) -> None:
    from monitor.app import open_daemon
    from monitor.retraining import Retraining
    from monitor.supervision.watched import watched_daemon
    from monitor.telemetry import Telemetry

    telemetry = Telemetry(level=config.log.level, log_format=config.log.format)
    telemetry.adopt_library_lines()
    started.supervisor.status(OPENING)
    try:
        with open_daemon(config, telemetry, role=role, listener=started.listener(config)) as daemon:
            daemon.obey_signals()
            leads, asked = partial(_leads, daemon), partial(_asked, daemon)
            retraining = Retraining(training, config, daemon.kept.store, telemetry, now_us, leads, asked)
            retraining.enter(daemon.schedule)
            try:
                with watched_daemon(started.supervisor, daemon, workforce) as turned:
                    daemon.run(turned)
            finally:
                retraining.stop()
    finally:
        telemetry.close()


def _leads(daemon: Daemon) -> bool:
    return daemon.pipeline.leads


def _asked(daemon: Daemon) -> LoadedModels:
    return daemon.reloader.in_force.models


def _run_until_end(config: Config, *, deliver: bool, given: str, as_in: Path | None) -> None:
    from monitor.app import open_daemon
    from monitor.cli.brought import before
    from monitor.cli.sections import write_sections
    from monitor.cli.summary import summary
    from monitor.content.again import CannotRepeat, again
    from monitor.telemetry import Telemetry

    with bar("reading") as shown:
        telemetry = Telemetry(level=_level(config), log_format=config.log.format)
        telemetry.adopt_library_lines()
        try:
            repeated = again(as_in, config.rules.window_events_max) if as_in is not None else None
            with open_daemon(config, telemetry, until_end=True, deliver=deliver, repeated=repeated) as daemon:
                daemon.obey_signals()
                earlier = before(daemon.kept.store)
                daemon.run(_reporter(daemon, shown))
                told = summary(daemon, earlier, given)
                stopped = daemon.stopping.is_set()
        except CannotRepeat as error:
            raise Refused(f"--as-in {as_in}: {error}") from error
        finally:
            telemetry.close()
    if stopped:
        say("Stopped before the end; run the same command again to go on.")
    write_sections(told)
    if stopped:
        leave(INTERRUPTED)


def _level(config: Config) -> Level:
    """A run to the end ends with a summary that says what warnings would; unless the environment asks for another level.

    What the configuration file says is meant for the daemon.
    """
    chosen = next(setting for setting in config.describe() if setting.key == "log.level")
    return config.log.level if chosen.origin.startswith(("environment", "command line")) else "error"


def _reporter(daemon: Daemon, shown: Bar) -> Callable[[Pipeline], None]:
    """Tells the bar how far the sources are, and what was found until now."""
    begun: dict[str, tuple[int, int]] = {}

    def report(pipeline: Pipeline) -> None:
        done = events = waiting = 0
        is_known = True
        for intake in pipeline.intakes:
            end, received = begun.setdefault(intake.partition, _start(daemon, intake.partition))
            done += intake.progress.end - end
            events += intake.progress.received - received
            lag = intake.source.lag_bytes
            is_known = is_known and lag is not None
            waiting += lag or 0
        words = f"{counted(events, 'event')}, {counted(_findings(daemon.telemetry), 'finding')}"
        shown(done, total=done + waiting if is_known else None, words=words)

    for intake in daemon.pipeline.intakes:
        begun[intake.partition] = _start(daemon, intake.partition)
    return report


def _start(daemon: Daemon, partition: str) -> tuple[int, int]:
    stored = daemon.kept.store.progress().get(partition)
    return (stored.end, stored.received) if stored else (0, 0)


def _findings(telemetry: Telemetry) -> int:
    from monitor.telemetry.metrics import FINDINGS

    families = (
        family for family in telemetry.registry.collect() if family.name == FINDINGS.name.removesuffix("_total")
    )
    return int(sum(each.value for family in families for each in family.samples if each.name.endswith("_total")))


def _given(config: Path | None, data_dir: Path | None) -> str:
    """The options that further commands need to look at the same data."""
    parts = [f" --config {config}"] if config else []
    return "".join([*parts, f" --data-dir {data_dir}"] if data_dir else parts)
