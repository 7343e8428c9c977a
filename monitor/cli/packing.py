"""Rule packs: ``miniwatch rules keygen``, ``pack``, ``verify``, ``activate``, ``rollback`` and ``packs``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from typer import Argument, Option

from monitor.cli.asking import tell
from monitor.cli.leaving import FOUND_PROBLEMS, USAGE, Refused, leave, say
from monitor.cli.moments import moment, short
from monitor.cli.options import ConfigFile, DataDir, Form, Output, ReasonText
from monitor.cli.printing import Column, write_rows, write_text
from monitor.cli.terminal import visible
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.config import Config
    from monitor.packs.archive import Pack
    from monitor.packs.manifest import Bounds
    from monitor.stores.sql import SqlStore

PackPath = Annotated[Path, Argument(metavar="PACK", help="The pack's file.", show_default=False)]
LEFT_OUT_NAMED_MAX: Final = 5
"""Files of a folder that are not packed which are named one by one."""

COLUMNS: Final[list[Column[Any]]] = [
    ("PACK", lambda row: f"{row['name']} {row['version']}"),
    ("STATE", lambda row: row["state"]),
    ("STAGE", lambda row: row["stage"]),
    ("SINCE (UTC)", lambda row: short(row["since"])),
    ("SIGNER", lambda row: row["signer"]),
    ("DIGEST", lambda row: row["digest"][:16]),
]


def make_signing_key(
    key: Annotated[Path, Argument(metavar="KEYFILE", help="Where the private key goes.", show_default=False)],
) -> None:
    """Make a key that signs packs. Prints its public half, which goes under packs.trusted_keys wherever packs are used."""
    from monitor.signing import KeyRefused, fingerprint, make_key

    try:
        made = make_key(key)
    except KeyRefused as error:
        raise Refused(str(error), USAGE) from None
    write_text(made.public)
    say(f"Fingerprint {fingerprint(made.public)}. Keep {key} to yourself; whoever has it can sign packs.")


def pack_folder(
    folder: Annotated[
        Path, Argument(metavar="FOLDER", help="Holds rules/, with twins, and playbooks/.", show_default=False)
    ],
    key: Annotated[Path, Option("--key", metavar="KEYFILE", help="The private key that signs.", show_default=False)],
    version: Annotated[
        int, Option("--version", min=1, metavar="N", help="Higher than that of every earlier pack.", show_default=False)
    ],
    out: Annotated[
        Path, Option("--output-file", "-O", "-o", metavar="FILE", help="Where the pack goes.", show_default=False)
    ],
    name: Annotated[str, Option("--name", metavar="NAME", help="The same for all versions.")] = "rules",
    findings_max: Annotated[
        int | None,
        Option("--findings-max", min=0, metavar="N", help="More findings in --in-events: the pack is taken back."),
    ] = None,
    findings_min: Annotated[
        int, Option("--findings-min", min=0, metavar="N", help="Fewer findings in --in-events: the same.")
    ] = 0,
    in_events: Annotated[
        int, Option("--in-events", min=100, metavar="N", help="Events over which findings are counted.")
    ] = 100_000,
    created: Annotated[
        int | None,
        Option("--created", parser=moment, metavar="TIME", help="Written into the pack. Default: now."),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Make a signed pack of a folder of rules, twins and playbooks. Their twins are run: a pack that fails is not made."""
    from monitor.cli.opening import configuration
    from monitor.content.in_force import rule_settings
    from monitor.durable import write_file
    from monitor.packs.building import left_out, packed_folder
    from monitor.packs.manifest import Bounds, PackRefused
    from monitor.signing import KeyRefused, read_key

    if findings_max is None and findings_min:
        raise typer.BadParameter("goes with --findings-max", param_hint="--findings-min")
    bounds: Bounds | None = None
    if findings_max is not None:
        bounds = Bounds(findings_min=findings_min, findings_max=findings_max, events=in_events)
    try:
        data = packed_folder(
            folder,
            read_key(key),
            name=name,
            version=version,
            created=created or now_us(),
            bounds=bounds,
            settings=rule_settings(configuration(config)),
        )
    except KeyRefused as error:
        raise Refused(str(error), USAGE) from None
    except PackRefused as error:
        for line in str(error).splitlines():
            write_text(visible(line))
        say("No pack was made.")
        leave(FOUND_PROBLEMS)
    write_file(out, data, "pack", mode=0o644)
    say(f"Pack {name} {version} written to {out}: {len(data):,} bytes.")
    if others := left_out(folder):
        named = ", ".join(visible(other) for other in others[:LEFT_OUT_NAMED_MAX])
        more = f" and {len(others) - LEFT_OUT_NAMED_MAX:,} more" if len(others) > LEFT_OUT_NAMED_MAX else ""
        say(f"Not in it, for a pack holds rules/ and playbooks/ only: {named}{more}.")


def verify_pack(pack: PackPath, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Say whether a pack could be activated here: its signature, its files, its version, its twins. Exits 1 if not."""
    from monitor.cli.opening import configuration

    loaded = configuration(config, data_dir)
    opened = _verified(pack, loaded)
    with _packs(loaded) as store:
        _check_version(opened, store)
    manifest = opened.manifest
    write_text(
        f"Pack {opened.label}, signed by {manifest.signer}, made {short(manifest.created)} UTC: "
        f"{counted(len(manifest.files), 'file')}; it can be activated."
    )


def activate_pack(
    pack: PackPath,
    reason: ReasonText,
    stage: Annotated[
        str,
        Option("--stage", metavar="shadow|canary|live", help="How far it comes; again later, to bring it further."),
    ] = "live",
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Put a pack in force: the running daemon takes it up within seconds. Exits 1 when it is refused; all stays then.

    shadow: what its rules find is recorded, nothing follows. canary: it counts for a share of apps. live: it is in force.
    """
    from monitor.audit import AuditEntry
    from monitor.cli.filters import word
    from monitor.cli.opening import actor, record
    from monitor.content.pack_changing import ACTIVATE
    from monitor.packs.shelf import Stage
    from monitor.stores.record import PackRow, PackState

    wanted = Stage(word(stage, Stage, "--stage"))
    with record(config, data_dir, make=True) as opened:
        found = _verified(pack, opened.config)
        _check_version(found, opened.store)
        manifest = found.manifest
        row = PackRow(
            digest=found.digest,
            name=manifest.name,
            version=manifest.version,
            signer=manifest.signer,
            state=PackState.OFFERED,
            stage="",
            since=now_us(),
        )
        entry = AuditEntry(time=now_us(), actor=actor(), action="pack.offer", subject=found.label, reason=reason)
        opened.store.add_pack(row, pack.read_bytes(), entry)
        _ask_or_do(opened, ACTIVATE, f"{found.digest} {wanted}", reason)


def roll_pack_back(reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Go one step back: a pack that is tried goes; else that in force makes room for the one before it."""
    from monitor.cli.opening import record
    from monitor.content.pack_changing import ROLLBACK

    with record(config, data_dir) as opened:
        _ask_or_do(opened, ROLLBACK, "packs", reason)


def list_packs(output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """List packs: which is in force, which is tried, and which were before."""
    import msgspec

    from monitor.cli.opening import record

    with record(config, data_dir) as opened:
        rows = [msgspec.to_builtins(row) for row in opened.store.packs()]
    write_rows(output, rows, COLUMNS, none="No pack was ever taken up; the program's own rules are in force.")


def _verified(path: Path, config: Config) -> Pack:
    """The pack of a file, if a trusted key signed it and all in it could be loaded; leaves with 1 otherwise."""
    from monitor.content.in_force import rule_settings
    from monitor.packs.archive import PACK_BYTES_MAX, opened
    from monitor.packs.building import problems_in
    from monitor.packs.manifest import PackRefused
    from monitor.packs.unpacking import unpacked

    with path.open("rb") as file:
        data = file.read(PACK_BYTES_MAX + 1)
    try:
        pack = opened(data, config.packs.trusted_keys)
    except PackRefused as error:
        _say_refused(f"{path}: {error}")
    with tempfile.TemporaryDirectory() as folder:
        problems = problems_in(unpacked(pack, Path(folder)), rule_settings(config))
    if problems:
        _say_refused(*problems)
    return pack


def _check_version(pack: Pack, store: SqlStore | None) -> None:
    """Leave with 1 where a pack may not follow those that are there."""
    from monitor.packs.manifest import PackRefused
    from monitor.packs.shelf import Shelf

    shelf = Shelf(store.packs() if store is not None else ())
    try:
        shelf.check_admissible(pack.manifest.name, pack.manifest.version, pack.digest)
    except PackRefused as error:
        _say_refused(f"pack {pack.label}: {error}")


def _say_refused(*problems: str) -> NoReturn:
    for problem in problems:
        write_text(visible(problem))
    say("Refused: what was in force before stays in force.")
    leave(FOUND_PROBLEMS)


def _ask_or_do(opened: Opened, kind: str, subject: str, reason: str) -> None:
    """Have the running daemon do it; where none runs, change the record, which counts from the next start on."""
    from monitor.cli.opening import actor, is_attended
    from monitor.content.pack_changing import change_of
    from monitor.packs.manifest import PackRefused
    from monitor.packs.shelf import Shelf

    if is_attended(opened):
        tell(opened, kind, subject, reason)
        return
    now = now_us()
    try:
        changed, entry = change_of(Shelf(opened.store.packs()), kind, subject, actor(), reason, now)
    except PackRefused as error:
        _say_refused(str(error))
    opened.store.change_packs(changed, entry)
    write_text(f"{entry.after}; no daemon runs, so it counts from the next start on")


@contextmanager
def _packs(config: Config) -> Iterator[SqlStore | None]:
    """The record, where there is one; else there are no packs yet."""
    from monitor.recorded import may_have_record, open_record

    if not may_have_record(config):
        yield None
        return
    store = open_record(config, read_only=True)
    try:
        yield store
    finally:
        store.close()
