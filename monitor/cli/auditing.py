"""``miniwatch audit``: the chain of changes listed, exported, and verified, also where there is nothing but a file."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from monitor.cli.leaving import FOUND_PROBLEMS, USAGE, Refused, leave, say
from monitor.cli.moments import short
from monitor.cli.options import ConfigFile, DataDir, Form, Limit, Output, group
from monitor.cli.printing import Column, limit_of, write_one, write_rows
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.audit import AuditVerdict, ChainedEntry
    from monitor.audit.anchors import AnchorVerdict

PROBLEMS_SHOWN_MAX: Final = 20
"""Anchors that do not hold which are named one by one."""

audit = group("Who changed what, when and why, in a chain that shows when it was altered.")


@audit.command("list", epilog="Example: miniwatch audit list -o ndjson")
def list_audit(
    limit: Limit = None, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """List the entries, oldest first; a table shows the last ones."""
    from collections import deque

    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import AUDIT
    from monitor.listing.wire import entry_told

    columns: list[Column[ChainedEntry]] = [
        ("NR", lambda row: row.seq),
        ("TIME (UTC)", lambda row: short(row.entry.time)),
        ("WHO", lambda row: row.entry.actor),
        ("WHAT", lambda row: row.entry.action),
        ("ON", lambda row: row.entry.subject),
        ("WHY", lambda row: row.entry.reason),
    ]
    with record(config, data_dir) as opened:
        limit = limit_of(output, limit)
        entries = rows_of(opened, AUDIT)
        rows = deque(entries, maxlen=limit) if limit is not None else entries
        if output is Form.TABLE:
            write_rows(output, rows, columns, limit=limit)
        else:
            write_rows(output, map(entry_told, rows), [])


@audit.command("export", epilog="Example: miniwatch audit export audit.ndjson")
def export_audit(
    target: Annotated[
        str, Argument(metavar="FILE", help="The file to write; - for standard output.", show_default=False)
    ],
    force: Annotated[bool, Option("--force", help="Replace the file if it is there already.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Write the whole chain, a JSON object a line, so that it can be verified elsewhere (`miniwatch audit verify FILE`)."""
    from monitor.audit.files import exported
    from monitor.cli.opening import record

    written = 0
    path = Path(target)
    if target != "-" and path.exists() and not force:
        raise Refused(f"{path} is there already: name another file, or replace it with --force")
    with record(config, data_dir) as opened:
        file = sys.stdout.buffer if target == "-" else path.open("wb")
        try:
            for chained in opened.store.audit_entries():
                file.write(exported(chained))
                written += 1
            file.flush()
        finally:
            if target != "-":
                file.close()
    say(f"{counted(written, 'entry', 'entries')} written.")


@audit.command("verify", epilog="Example: miniwatch audit verify copy/miniwatch.db --anchors anchors.ndjson")
def verify_audit(
    file: Annotated[
        Path | None,
        Argument(
            metavar="[FILE]", help="A copy of the record, or an exported chain. Default: the record of the data folder."
        ),
    ] = None,
    anchors: Annotated[
        Path | None, Option("--anchors", metavar="FILE", help="Anchors that the chain must hold.", show_default=False)
    ] = None,
    public_key: Annotated[
        str | None, Option("--public-key", metavar="KEY", help="Every anchor must be signed by its owner.")
    ] = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Verify the whole chain, offline. Exits 1 when it was altered, naming the first link that does not hold.

    Only with anchors is it seen that the end was cut off, or that everything was written anew.
    """
    if public_key is not None and anchors is None:
        raise Refused("--public-key is about anchors: name them with --anchors", USAGE)
    if anchors is not None and not anchors.is_file():
        raise Refused(f"there is no {anchors}", USAGE)
    try:
        with _chain(file, config, data_dir) as (entries, installation):
            verdict, held = _verified(entries, installation, anchors, public_key)
    except ValueError as error:
        raise Refused(str(error)) from None
    write_one(output, _told(verdict, held), _lines(verdict, held))
    if verdict.breach is not None or (held is not None and held.problems):
        leave(FOUND_PROBLEMS)


@contextmanager
def _chain(
    file: Path | None, config: Path | None, data_dir: Path | None
) -> Iterator[tuple[Iterator[ChainedEntry], str | None]]:
    """The entries of a file, or of the record that is configured, and the id of the installation where it is known."""
    from monitor.audit.files import chain_in, installation_in
    from monitor.cli.opening import configuration, record
    from monitor.stores.places import Places

    found = configuration(config, data_dir) if file is None else None
    if found is not None and found.store.url:
        with record(config, data_dir) as opened:
            yield opened.store.audit_entries(), opened.store.known_installation()
        return
    path = file if found is None else Places(found.data_dir).database
    if path is None or not path.is_file():
        raise Refused(f"there is no {path}")
    with chain_in(path) as entries:
        yield entries, installation_in(path)


def _verified(
    entries: Iterator[ChainedEntry], installation: str | None, anchors: Path | None, public: str | None
) -> tuple[AuditVerdict, AnchorVerdict | None]:
    from monitor.audit import verify
    from monitor.audit.anchors import read_anchors, verify_anchored

    if anchors is None:
        return verify(entries), None
    held = verify_anchored(entries, read_anchors(anchors), public=public, installation=installation)
    return held.chain, held


def _told(verdict: AuditVerdict, held: AnchorVerdict | None) -> dict[str, Any]:
    breach = verdict.breach
    told: dict[str, Any] = {
        "entries": verdict.entries,
        "head": verdict.head,
        "broken": verdict.broken,
        "differs": breach.difference.value if breach is not None else None,
        "detail": breach.detail if breach is not None else None,
    }
    if held is not None:
        told["anchors"] = {"held": held.held, "problems": list(held.problems), "unreadable": held.unreadable}
    return told


def _lines(verdict: AuditVerdict, held: AnchorVerdict | None) -> list[tuple[str, object]]:
    from monitor.audit.anchors import names_of

    breach = verdict.breach
    state = "unbroken" if breach is None else f"broken at entry {breach.seq} ({breach.difference}): {breach.detail}"
    lines: list[tuple[str, object]] = [
        ("Audit chain", state),
        ("Entries", verdict.entries if breach is None else f"{verdict.entries} before it"),
        ("Head", verdict.head),
    ]
    if held is None:
        return lines
    if held.last is not None:
        verb = "holds" if held.held == 1 else "hold"
        last = f"the last of {held.last.time} (entry {held.last.seq})"
        lines.append(("Anchors", f"{counted(held.held, 'anchor')} {verb}, {last}"))
    elif not held.problems:
        lines.append(("Anchors", "none"))
    if held.unreadable:
        lines.append(("", f"{counted(held.unreadable, 'line')} of the file cannot be read, as after a power cut"))
    return [*lines, ("Do not hold", names_of(held.problems, PROBLEMS_SHOWN_MAX))]
