"""``miniwatch support``: what goes into a report of a fault."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from monitor.cli.leaving import Refused, say
from monitor.cli.options import ConfigFile, DataDir, Form, Output, group
from monitor.cli.printing import Column, write_rows
from monitor.clock import now_us

if TYPE_CHECKING:
    from monitor.config import Config, Problem
    from monitor.rules import LoadedRules
    from monitor.stores.sql import SqlStore
    from monitor.support.packing import Part
    from monitor.support.veil import Veil

support = group("What goes into a report of a fault.")

FOLDER: Final = "miniwatch-support"

README: Final = """\
What `miniwatch support dump` has packed for a report of a fault. Nothing of it was sent anywhere.

Of texts only those words stand here that the program has itself, beside numbers of up to six digits (more with commas) and times; what was left out is <…>.
Sources, channels, and rules, playbooks and packs of the operator's own are told as <source 1>, <channel 2> …: the same in all files, and nowhere else.
Passwords, tokens and keys are not read at all. Please look through it before you pass it on.

"""

COLUMNS: Final[list[Column[Any]]] = [
    ("PART", lambda row: row["part"]),
    ("BYTES", lambda row: f"{row['bytes']:,}"),
    ("HOLDS", lambda row: row["holds"]),
]


@dataclass(slots=True)
class _Installation:
    """What can be had of an installation, however broken it is."""

    file: Path | None
    data_dir: Path | None
    config: Config | None
    problems: tuple[Problem, ...]
    rules: LoadedRules
    store: SqlStore | None
    trouble: str  # why there is no record
    veil: Veil


@support.command("dump", epilog="Example: miniwatch support dump report.tar.gz --log /var/log/miniwatch.log")
def dump(
    target: Annotated[
        Path | None,
        Argument(
            metavar="TARGET", help="The file to write. Default: miniwatch-support-TIME.tar.gz.", show_default=False
        ),
    ] = None,
    log: Annotated[
        Path | None,
        Option(
            "--log",
            metavar="FILE",
            help="The daemon's log, of which the end is packed; - is standard input. Default: the file to which a running daemon writes it.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, Option("--force", help="Replace the file if it is there already.")] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Pack what a report of a fault needs into one file: version, machine, settings, doctor, metrics, counts, hashes of rules and models, the end of the log.

    Nothing is sent anywhere, and nothing is changed. Secrets, people, apps, addresses, paths and names that people gave are left out: of texts only the program's
    own words stay. It works on an installation that is broken, too: what cannot be had is said.
    """
    now = now_us()
    path = target or Path(f"{FOLDER}-{datetime.fromtimestamp(now // 1_000_000, UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    if path.exists() and not force:
        raise Refused(f"{path} is there already: name another file, or replace it with --force")
    with ExitStack() as opened:
        installation = _installation(config, data_dir, opened)
        parts = list(_parts(installation, log))
    _write(path, parts, now // 1_000_000)
    write_rows(output, [{"part": one.name, "bytes": len(one.content), "holds": one.holds} for one in parts], COLUMNS)
    say(
        f"{path}: {path.stat().st_size:,} bytes. Nothing was sent anywhere: look through it, then add it to your report."
    )


def _write(path: Path, parts: list[Part], now_s: int) -> None:
    from monitor.durable import publish
    from monitor.support.packing import pack

    whole = path.with_name(f"{path.name}.part")
    try:
        pack(parts, whole, FOLDER, now_s)
        publish(whole, path, "report")
    finally:
        whole.unlink(missing_ok=True)


def _installation(file: Path | None, data_dir: Path | None, opened: ExitStack) -> _Installation:
    """Whatever can be had: a configuration without what is wrong with it, a record if it can be looked at."""
    from monitor.cli.opening import configuration, record, sound_configuration
    from monitor.config import ConfigError
    from monitor.content.in_force import NO_RULES, rules_of
    from monitor.refusal import StoreError
    from monitor.sealing import SealError
    from monitor.support.parts import known_words
    from monitor.support.veil import Veil, own_words

    problems: tuple[Problem, ...] = ()
    config: Config | None
    try:
        config = configuration(file, data_dir)
    except ConfigError as error:
        problems, config = error.problems, sound_configuration(file, data_dir)
    rules, store, trouble = NO_RULES, None, "the configuration cannot be used"
    if config is not None:
        try:
            rules = rules_of(config)
        except (StoreError, SealError, OSError) as error:
            trouble = str(error)
    if config is not None and not problems:
        try:
            store, trouble = opened.enter_context(record(file, data_dir, look=True)).store, ""
        except (StoreError, SealError, OSError, Refused) as error:
            trouble = str(error)
    return _Installation(file, data_dir, config, problems, rules, store, trouble, Veil(own_words(), known_words(rules)))


def _parts(one: _Installation, log: Path | None) -> Iterator[Part]:
    """The parts, in the order in which they are read; of what cannot be made it is said why."""
    from monitor.support import parts
    from monitor.support.packing import Part

    makers: list[tuple[str, str, Callable[[], Any]]] = [
        ("version.json", "the program and what it stands on", parts.version),
        ("machine.json", "system, processors, memory, disk; not its name", lambda: parts.machine(one.config)),
        (
            "settings.json",
            "the configuration: numbers, switches, words of the program",
            lambda: parts.settings(one.config, one.problems, one.veil),
        ),
        ("doctor.json", "what miniwatch doctor says", lambda: _doctor(one)),
        ("metrics.txt", "the metrics of the running daemon", lambda: _metrics(one)),
        ("record.json", "counts of all that is kept, and the schema", lambda: _record(one)),
        ("content.json", "rules, playbooks, packs and models by their hashes", lambda: _content(one)),
        ("log.txt", "the end of the daemon's log", lambda: _log(one, log)),
    ]
    made = [Part(name=name, holds=holds, content=_made(make, one.veil)) for name, holds, make in makers]
    listed = "".join(f"{part.name:<14} {part.holds}\n" for part in made)
    yield Part(name="README.txt", holds="what this is, and what was left out", content=(README + listed).encode())
    yield from made


def _made(make: Callable[[], Any], veil: Veil) -> bytes:
    """A part's bytes; of one that cannot be made, why: that too may be what the report is about."""
    import msgspec

    from monitor.support.packing import bounded

    try:
        told = make()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are worth having
        told = f"This could not be made:\n{veil.text(''.join(traceback.format_exception(error)))}\n"
    if isinstance(told, str):
        return bounded(told.encode())
    return bounded(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")


def _doctor(one: _Installation) -> Any:
    from monitor.cli.health import signs_of_all
    from monitor.support.veil import LEFT_OUT

    if one.config is None or one.problems:
        return f"{one.veil.text(one.trouble)}\n"
    told = []
    for sign in signs_of_all(one.config, one.file, one.data_dir, looks_only=True):
        found = sign.found
        for words in sign.said:
            found = found.replace(words, LEFT_OUT) if words else found
        told.append(
            {
                "what": one.veil.text(sign.what),
                "state": sign.state,
                "found": one.veil.text(found),
                "advice": one.veil.text(sign.advice),
            }
        )
    return told


def _metrics(one: _Installation) -> str:
    from monitor.cli.top import token_of
    from monitor.overview.pages import DaemonPages, Silent
    from monitor.stores.places import Places
    from monitor.support.parts import metrics_told

    if one.config is None:
        return f"{one.veil.text(one.trouble)}\n"
    token = token_of(one.config, Places(one.config.data_dir), None)
    try:
        return metrics_told(DaemonPages(one.config.http, token).ask().metrics, one.veil)
    except Silent as silent:
        return f"There are none: {one.veil.text(silent)}\n"


def _record(one: _Installation) -> Any:
    from monitor.support.parts import record

    return record(one.store, one.veil) if one.store is not None else f"There is none: {one.veil.text(one.trouble)}\n"


def _content(one: _Installation) -> Any:
    from monitor.content.in_force import playbooks_of
    from monitor.support.parts import content

    if one.config is None:
        return f"{one.veil.text(one.trouble)}\n"
    return content(one.rules, playbooks_of(one.config), one.store, one.veil)


def _log(one: _Installation, log: Path | None) -> str:
    from monitor.cli.opening import process_of
    from monitor.support.lines import last_lines, lines_told, log_of_process

    if log is None and one.config is not None and (process := process_of(one.config.data_dir)) is not None:
        log = log_of_process(process)
    if log is None:
        return (
            "It is not known where the log is: name it with --log FILE; under systemd, "
            "journalctl -u miniwatch -o cat -n 2000 | miniwatch support dump --log -\n"
        )
    with _opened(log) as file:
        return lines_told(last_lines(file), one.veil)


def _opened(log: Path) -> IO[bytes]:
    return io.BytesIO(sys.stdin.buffer.read()) if str(log) == "-" else log.open("rb")
