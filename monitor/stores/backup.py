"""A whole installation in one file, taken while the daemon runs, and put back into an empty directory.

The file is a zstd-compressed tar: `manifest.json` with the hash of every other member first, then a consistent copy of
the database, the archive files that this copy names, the newest snapshot that is not ahead of it, and the keys if
asked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import msgspec
import zstandard

from monitor.audit import AuditEntry, chain
from monitor.durable import publish, sync_folder
from monitor.refusal import refusals_told
from monitor.snapshots import SnapshotFolder
from monitor.stores import StoreError
from monitor.stores.folder_name import NAME_FILE
from monitor.stores.held_folder import only_one
from monitor.stores.places import ARCHIVE, DATABASE, KEYS, LOCK, SNAPSHOTS, Places

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 256 * 1024 * 1024
ATTEMPTS_MAX: Final = 5
"""Copies of the database begun again because the archive was joined or shortened meanwhile."""

STALE_S: Final = 86_400
"""Age of a working folder from which it is taken for one that a killed backup left."""

COMPRESSION_LEVEL: Final = 3
_AUDITED: Final = (
    "INSERT INTO audit (seq, time, actor, action, subject, reason, before, after, previous, hash) "
    "VALUES (:seq, :time, :actor, :action, :subject, :reason, :before, :after, :previous, :hash)"
)
_CUT_SHORT: Final = ("empty file", "unexpected end of data")
"""How Python's `tarfile` tells of an end that comes too soon: nothing of the first block is there, or not all of a later one."""

_STAGING: Final = ("backup.", ".part")
LOST_AND_FOUND: Final = "lost+found"
STANDARD_OUTPUT: Final = Path("standard output")
STANDARD_INPUT: Final = Path("standard input")
"""What a backup is called that has no file's name."""

Progress = Callable[[int, int], None]
"""Told how many bytes are done, and of how many."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup: its path in the data directory, size and hash."""

    path: str
    bytes: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds. Without `keys`, sealed values cannot be opened after a restore on another machine."""

    format: int = FORMAT
    created: int
    last_turn: int
    keys: bool
    members: tuple[Member, ...]

    @property
    def bytes(self) -> int:
        return sum(member.bytes for member in self.members)


class BackupBroken(StoreError):
    """A backup is cut short, altered, or not one of ours."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}", retryable=False)


class _FileGone(Exception):
    """An archive file that the database's copy names was deleted before it could be linked."""


def _silent(_done: int, _total: int) -> None:
    """Nobody listens."""


def backup(
    data_dir: Path,
    target: Path | IO[bytes],
    *,
    now: int,
    keys: bool = False,
    people_key: bool = True,
    progress: Progress = _silent,
) -> BackupManifest:
    """Write a backup of a data directory to `target`, a file that appears when it is whole, or what is written as it comes.

    The daemon may run. Without `people_key` that of the data directory is left out of the keys: it is not the one that is gone by. Raises
    `StoreError` when the disk refuses or there is no database.
    """
    places = Places(data_dir)
    if not places.database.is_file():
        raise StoreError(f"{data_dir} has no {DATABASE}: there is nothing to back up", retryable=False)
    _clear_stale(data_dir, now)
    with refusals_told(target if isinstance(target, Path) else STANDARD_OUTPUT), _staging(data_dir) as staging:
        last_turn = _stage(places, staging, keys=_keys_of(places, people_key=people_key) if keys else ())
        members = tuple(_member(staging, path) for path in _files(staging))
        manifest = BackupManifest(created=now, last_turn=last_turn, keys=keys, members=members)
        _pack(staging, manifest, target, progress)
    return manifest


def restore(
    source: Path | IO[bytes], data_dir: Path, *, now: int, actor: str = "system:restore", progress: Progress = _silent
) -> BackupManifest:
    """Put a backup, a file or what is read as it comes, back into a directory that is empty or not there yet; every byte is verified before it counts.

    What was decided after the backup is lost with it, and enforcers may know of it: the record says that they must begin anew.

    Raises `BackupBroken` when it is not whole, `StoreError` when the directory is not empty or the disk refuses; the
    directory is left as it was then. No daemon begins on it meanwhile, for its record would be replaced under its
    hands; where one works on it already, raises `AlreadyRunning`.
    """
    with refusals_told(data_dir):
        is_new = not data_dir.exists()
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with only_one(data_dir / LOCK) if (data_dir / LOCK).exists() else nullcontext():
            _check_empty(data_dir)  # of a folder that a daemon works on, "not empty" would be a poor account
        with only_one(data_dir / LOCK), _undone(data_dir, is_new=is_new), _staging(data_dir) as staging:
            _check_empty(data_dir, staging.name)  # a daemon may have begun and ended since
            named = source if isinstance(source, Path) else STANDARD_INPUT
            with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
                manifest = _unpack(named, file, staging, progress)
            _begin_anew(staging / DATABASE, _restored(named, manifest, actor, now))
            for entry in sorted(staging.iterdir(), key=lambda entry: entry.name == DATABASE):
                entry.rename(data_dir / entry.name)  # the database last: without it this is no installation yet
            sync_folder(data_dir)
    return manifest


@contextmanager
def _undone(data_dir: Path, *, is_new: bool) -> Iterator[None]:
    """Take the lock that is held away again where what happens here fails and nothing came of it, and a new folder with it."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            if all(entry.name in {LOCK, LOST_AND_FOUND} for entry in data_dir.iterdir()):
                (data_dir / LOCK).unlink(missing_ok=True)
                if is_new:
                    data_dir.rmdir()
        raise


def _check_empty(data_dir: Path, *but: str) -> None:
    """Raise `StoreError` where anything is kept already; a lock that nobody holds keeps nothing, nor does what a new disk comes with."""
    if any(entry.name not in {LOCK, LOST_AND_FOUND, *but} for entry in data_dir.iterdir()):
        raise StoreError(f"{data_dir} is not empty: restore into an empty directory", retryable=False)


def _restored(source: Path, manifest: BackupManifest, actor: str, now: int) -> AuditEntry:
    """What the audit has of a restore."""
    return AuditEntry(
        time=now,
        actor=actor,
        action="backup.restore",
        subject=source.name,
        reason="what came after the backup is lost; anchors made since do not hold any more",
        after=f"up to turn {manifest.last_turn}, as of {manifest.created}",
    )


def _begin_anew(database: Path, entry: AuditEntry) -> None:
    """Have all changes of decisions, those of before too, lie after any that the lost record may have had; the audit has the restore."""
    try:
        with closing(sqlite3.connect(database)) as connection, connection:
            last = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            for link in chain([entry], *(last or ())):
                row = {"seq": link.seq, **msgspec.structs.asdict(entry), "previous": link.previous, "hash": link.hash}
                connection.execute(_AUDITED, row)
            floor = max(entry.time, _last_change(connection))
            if "changed" in {row[1] for row in connection.execute("PRAGMA table_info(decisions)")}:
                connection.execute("UPDATE decisions SET changed = changed + ?", (floor,))
            values = {"decision_change": floor + _last_change(connection), "decision_floor": floor}
            for name, value in values.items():
                connection.execute(
                    "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    (name, str(value)),
                )
    except sqlite3.Error as error:
        raise StoreError(f"{database}: {error}", retryable=False) from error


def _last_change(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM meta WHERE key = 'decision_change'").fetchone()
    return int(row[0]) if row is not None else 0


@contextmanager
def _staging(beside: Path) -> Iterator[Path]:
    """A private folder on the same disk, so that large files can be linked instead of copied."""
    folder = Path(tempfile.mkdtemp(prefix=_STAGING[0], suffix=_STAGING[1], dir=beside))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_stale(data_dir: Path, now: int) -> None:
    """Delete what a killed backup left, so that its links hold no deleted file for ever."""
    for folder in data_dir.glob("*".join(_STAGING)):
        if folder.stat().st_mtime < now / 1_000_000 - STALE_S:
            shutil.rmtree(folder, ignore_errors=True)


def _keys_of(places: Places, *, people_key: bool) -> tuple[Path, ...]:
    return tuple(path for path in sorted(places.keys.glob("*.key")) if people_key or path != places.people_key)


def _stage(places: Places, staging: Path, *, keys: Sequence[Path]) -> int:
    """Collect everything that belongs together; gives the last turn it knows of."""
    for _ in range(ATTEMPTS_MAX):
        last_turn, segments = _copy_database(places.database, staging / DATABASE)
        try:
            for segment in segments:
                _link(places.archive / segment, staging / ARCHIVE / segment)
        except _FileGone:
            continue
        if (name := places.archive / NAME_FILE).is_file():
            _link(name, staging / ARCHIVE / NAME_FILE)
        _stage_snapshot(places, staging, last_turn)
        for path in keys:
            _link(path, staging / KEYS / path.name)
        return last_turn
    raise StoreError(
        f"{places.archive} has lost files that the database names, or changes faster than it can be copied; "
        "`miniwatch doctor` says which",
        retryable=True,
    )


def _copy_database(database: Path, copy: Path) -> tuple[int, list[str]]:
    """A consistent copy by SQLite's own means; gives its last turn and the archive files it names."""
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)  # in one go: a copy in steps begins anew at every commit of the daemon
            target.execute("PRAGMA journal_mode = DELETE")  # one file, no log beside it
            turn = target.execute("SELECT value FROM meta WHERE key = 'last_turn'").fetchone()
            segments = target.execute("SELECT path FROM segments ORDER BY path").fetchall()
    except sqlite3.Error as error:
        raise StoreError(f"{database} cannot be copied: {error}", retryable=False) from error
    return int(turn[0]) if turn else 0, [path for (path,) in segments]


def _stage_snapshot(places: Places, staging: Path, last_turn: int) -> None:
    """The newest snapshot of the copy's turns; none when it is deleted meanwhile, for recovery can do without."""
    if not places.snapshots.is_dir() or (newest := SnapshotFolder(places.snapshots).newest(last_turn)) is None:
        return
    staged = staging / SNAPSHOTS / newest.name
    try:
        for path in sorted(newest.iterdir()):
            _link(path, staged / path.name)
    except (_FileGone, FileNotFoundError):
        shutil.rmtree(staged, ignore_errors=True)


def _link(path: Path, to: Path) -> None:
    """The file under another name, so that it outlives its deletion; a copy where the disk has no links."""
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    try:
        os.link(path, to)
    except FileNotFoundError:
        raise _FileGone(path) from None
    except OSError:
        shutil.copyfile(path, to)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _member(staging: Path, path: Path) -> Member:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Member(path.relative_to(staging).as_posix(), path.stat().st_size, digest)


def _pack(staging: Path, manifest: BackupManifest, target: Path | IO[bytes], progress: Progress) -> None:
    (staging / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    if not isinstance(target, Path):
        _write(staging, manifest, target, progress)
        return
    part = target.with_name(target.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write(staging, manifest, file, progress)
            os.fsync(file.fileno())
        publish(part, target, "backup")
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write(staging: Path, manifest: BackupManifest, file: IO[bytes], progress: Progress) -> None:
    done, total = 0, manifest.bytes
    packer = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
    with (
        packer.stream_writer(file, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", dereference=True) as tar,
    ):
        for member in (Member(MANIFEST, 0, ""), *manifest.members):
            tar.add(staging / member.path, member.path, recursive=False, filter=_plain)
            done += member.bytes
            progress(done, total)
    file.flush()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Say nothing of who owned a file."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def _unpack(source: Path, file: IO[bytes], staging: Path, progress: Progress) -> BackupManifest:
    try:
        with (
            zstandard.ZstdDecompressor().stream_reader(file, closefd=False) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|") as tar,
        ):
            return _unpack_members(source, tar, staging, progress)
    except (tarfile.TarError, zstandard.ZstdError, msgspec.MsgspecError, EOFError) as error:
        why = "it is cut short" if str(error) in _CUT_SHORT else str(error)
        raise BackupBroken(source, f"not a whole backup ({why})") from error


def _unpack_members(source: Path, tar: tarfile.TarFile, staging: Path, progress: Progress) -> BackupManifest:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.size > MANIFEST_BYTES_MAX:
        raise BackupBroken(source, f"not a backup of ours: it does not begin with {MANIFEST}")
    manifest = msgspec.json.decode(_content(tar, first).read(), type=BackupManifest)
    if manifest.format != FORMAT:
        raise BackupBroken(source, f"of format {manifest.format}; this version reads format {FORMAT}")
    expected = {member.path: member for member in manifest.members}
    done = 0
    while (info := tar.next()) is not None:
        member = expected.pop(info.name, None)
        if member is None or not info.isreg() or info.size != member.bytes or not _is_inside(info.name):
            raise BackupBroken(source, f"{info.name} is not what its manifest says")
        _unpack_member(source, tar, info, member, staging)
        done += member.bytes
        progress(done, manifest.bytes)
    if expected:
        raise BackupBroken(source, f"{len(expected)} files are missing, {min(expected)} the first")
    return manifest


def _is_inside(name: str) -> bool:
    """Whether a member stays in the folder that it is unpacked into. (`tarfile.data_filter` came only with Python 3.11.4.)"""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _unpack_member(source: Path, tar: tarfile.TarFile, info: tarfile.TarInfo, member: Member, staging: Path) -> None:
    path = staging / info.name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    content = _content(tar, info)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := content.read(1024 * 1024):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != member.sha256:
        raise BackupBroken(source, f"{info.name} was altered")


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[Any]:
    content = tar.extractfile(info)
    if content is None:
        raise tarfile.ReadError(f"{info.name} is not a file")
    return content
