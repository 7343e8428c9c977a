"""``miniwatch backup``, ``restore``, ``move`` and ``version``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from typer import Argument, BadParameter, Option

from monitor.cli.leaving import USAGE, Refused, say
from monitor.cli.moments import short
from monitor.cli.options import ConfigFile, DataDir, Form, Output, ReasonText, group
from monitor.cli.printing import write_one, write_text
from monitor.cli.progress import bar
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.config import Config


STREAMED: Final = "-"
"""In place of a file's name: standard output, or input."""


def backup(
    target: Annotated[
        Path,
        Argument(
            metavar="TARGET",
            help="The file to write, such as miniwatch.backup; - for standard output.",
            show_default=False,
        ),
    ],
    keys: Annotated[
        bool,
        Option(
            "--keys",
            help="With the keys of the data folder: needed to read sealed values elsewhere. Keep such a file as safe as the keys.",
        ),
    ] = False,
    force: Annotated[bool, Option("--force", help="Replace the file if it is there already.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Write the whole installation into one file, while the daemon runs."""
    from monitor.audit import AuditEntry
    from monitor.cli.opening import actor, record
    from monitor.stores.backup import STANDARD_OUTPUT
    from monitor.stores.backup import backup as back_up

    is_streamed = str(target) == STREAMED
    if is_streamed and sys.stdout.isatty():
        raise Refused("a backup is nothing to look at: name a file, or lead standard output into one", USAGE)
    if not is_streamed and target.exists() and not force:
        raise Refused(f"{target} is there already: name another file, or replace it with --force")
    with record(config, data_dir) as opened:
        folder = opened.config.data_dir
        if opened.config.store.url:
            raise Refused(_with_postgresql(opened.config.store.url, folder))
        if keys:
            opened.people()  # a backup with another key than that of its people would be none
        is_configured = opened.config.people.key is not None
        after = "with the keys" if keys else "without the keys"
        named = str(STANDARD_OUTPUT if is_streamed else target)
        entry = AuditEntry(
            time=now_us(), actor=actor(), action="backup.make", subject=named, reason="asked for", after=after
        )
        opened.store.audit(entry)
    with bar("backing up") as shown:
        made = back_up(
            folder,
            sys.stdout.buffer if is_streamed else target,
            now=now_us(),
            keys=keys,
            people_key=not is_configured,
            progress=lambda done, total: shown(done, total=total),
        )
    without = "" if keys else ", without the keys"
    say(
        f"{named}: {counted(len(made.members), 'file')}, {counted(made.bytes, 'byte')}, up to turn {made.last_turn}{without}."
    )
    if keys and is_configured:
        say("people.key is configured, so it is not in there: keep it where you keep secrets.")


def _with_postgresql(url: str, folder: Path) -> str:
    """What to do where the record is in PostgreSQL, whose own programs copy it best."""
    copied = f"cp -au {folder.absolute()}/. COPY"
    return (
        "the record is in PostgreSQL, and is backed up by its own means. What lies in the data folder is copied before and after it, "
        f"so that all is there that the record names:\n  {copied}\n  pg_dump --format=custom --file=record.dump '{url}'\n  {copied}"
    )


def restore(
    source: Annotated[
        Path,
        Argument(
            metavar="SOURCE", help="A file that `miniwatch backup` wrote; - for standard input.", show_default=False
        ),
    ],
    done: Annotated[
        bool, Option("--done", help="SOURCE was put back into PostgreSQL by pg_restore: enforcers begin anew.")
    ] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Put a backup back into an empty data folder; every byte is verified before it counts."""
    from monitor.cli.opening import actor, configuration
    from monitor.stores.backup import restore as put_back

    found = configuration(config, data_dir)
    folder = found.data_dir
    if found.store.url:
        _restored_in_postgresql(source, found.store.url, config, data_dir, done=done)
        return
    if done:
        raise Refused("--done is for a record in PostgreSQL", USAGE)
    is_streamed = str(source) == STREAMED
    if is_streamed and sys.stdin.isatty():
        raise Refused("nobody types a backup: name a file, or lead one into standard input", USAGE)
    with bar("restoring") as shown:
        made = put_back(
            sys.stdin.buffer if is_streamed else source,
            folder,
            now=now_us(),
            actor=actor(),
            progress=lambda done, total: shown(done, total=total),
        )
    say(
        f"{folder}: {counted(len(made.members), 'file')}, up to turn {made.last_turn}, as of {short(made.created)} UTC."
    )
    if not made.keys:
        say(f"The backup has no keys: copy them to {folder / 'keys'} before the first start.")


def _restored_in_postgresql(source: Path, url: str, config: Path | None, data_dir: Path | None, *, done: bool) -> None:
    """Have the record know that it is an older copy, once PostgreSQL's own program has put it back."""
    from monitor.audit import AuditEntry
    from monitor.cli.opening import actor, record

    if not done:
        raise Refused(
            "the record is in PostgreSQL, whose own program puts it back; then say so, before anything else is started:\n"
            f"  pg_restore --clean --if-exists --dbname='{url}' {source}\n  miniwatch restore {source} --done"
        )
    reason = "what came after the backup is lost; anchors made since do not hold any more"
    entry = AuditEntry(time=now_us(), actor=actor(), action="backup.restore", subject=source.name, reason=reason)
    with record(config, data_dir) as opened:
        opened.store.begin_anew(entry)
        turn = opened.store.last_turn()
    say(f"The record stands at turn {turn}; enforcers begin anew with what is in force.")


def move(config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Move the record from the data folder into the empty PostgreSQL database of store.url, with all that is in force.

    Stop the daemon before, and what would start it again, such as its socket. Archive, keys and snapshots stay where they are, and so does the old record, under another name.
    """
    from monitor.audit import AuditEntry
    from monitor.cli.opening import actor, configuration
    from monitor.recorded import move_to_server
    from monitor.stores.held_folder import only_one
    from monitor.stores.moving import ACTION
    from monitor.stores.places import Places

    found = configuration(config, data_dir)
    places, url = Places(found.data_dir), found.store.url
    if not url:
        raise Refused("store.url does not say where to: write the address of an empty PostgreSQL database there", USAGE)
    if not places.database.is_file():
        raise Refused(f"{found.data_dir} has no {places.database.name}: there is no record to move")
    reason = f"the record of {places.database.name} goes on in PostgreSQL"
    entry = AuditEntry(time=now_us(), actor=actor(), action=ACTION, subject=url.partition("?")[0], reason=reason)
    with only_one(places.lock), bar("moving", unit="lines") as shown:
        moved, kept = move_to_server(found, entry, lambda done, total: shown(done, total=total))
        _know_keys(found)
    in_force = f"{counted(moved.in_force, 'decision')} in force"
    say(
        f"{url.partition('?')[0]}: {counted(moved.rows, 'row')}, {in_force}, up to turn {moved.last_turn}.\n"
        f"{kept} is what the record was; delete it when you will not go back."
    )


def _know_keys(config: Config) -> None:
    """Have the record know the keys of this data folder, so that processes elsewhere are refused that have others."""
    from monitor.kept import Kept

    kept = Kept.of(config)
    try:
        kept.refuse_other_keys(config)
    finally:
        kept.store.close()


keys = group("The keys by which people are hashed and dead letters sealed.")


@keys.command("renew", epilog='Example: miniwatch keys renew --reason "The machine is gone, and keys/ with it"')
def renew(
    reason: ReasonText,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Have the record go on with the keys that are here, those that it knew being lost. New ones are made where there are none.

    Whoever was known by a hash is somebody else from then on, to decisions and allow-lists too, and dead letters that were sealed before stay closed.
    """
    from monitor.audit import AuditEntry
    from monitor.cli.opening import actor, is_attended, is_used, record
    from monitor.own_keys import PEOPLE, SEAL, people_here, seal_here

    if not reason.strip():
        raise BadParameter("a few words are expected", param_hint="--reason")
    with record(config, data_dir) as opened:
        if is_used(opened.config.data_dir) or is_attended(opened):
            raise Refused("a daemon works with the keys that the record knows: it has them, so they are not lost")
        known = opened.store.known_keys().fingerprints
        ours = {PEOPLE: people_here(opened.config).fingerprint, SEAL: seal_here(opened.config)}
        others = {name: mark for name, mark in ours.items() if known.get(name) != mark}
        if not others:
            say("The keys that are here are those of the record: nothing was changed.")
            return
        was, now = (", ".join(f"{name} {marks.get(name, 'unknown')}" for name in others) for marks in (known, ours))
        entry = AuditEntry(
            time=now_us(),
            actor=actor(),
            action="keys.renew",
            subject=", ".join(others),
            reason=reason,
            before=was,
            after=now,
        )
        opened.store.renew_keys(others, entry)
    if PEOPLE in others:
        say("People are hashed with another key from now on: whoever was known by a hash before is somebody else now.")
    if SEAL in others:
        say("Dead letters are sealed with another key from now on: older ones stay closed.")


def version(output: Output = Form.TABLE) -> None:
    """Print the version, and those of what it stands on."""
    import platform
    from importlib.metadata import version as version_of

    from detectors import kernel
    from monitor import __version__

    told = {"miniwatch": __version__, "python": platform.python_version(), "kernel": kernel.standing()}
    told |= {name: version_of(name) for name in ("polars", "pysigma", "sqlalchemy", "msgspec")}
    if output is Form.TABLE:
        write_text("\n".join(f"{name} {number}" for name, number in told.items()))
    else:
        write_one(output, told, [])
