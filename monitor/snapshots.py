"""Detectors' memory on disk: a folder a snapshot, whole or absent, so that a restart need not replay everything.

`snapshots/000000000123/` is the memory after turn 123: Arrow files and a `manifest.json` with the hash of each. A
snapshot that is not exactly what was written is refused, and the one before it is taken.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
import polars as pl

from detectors.detector import State
from monitor.durable import boundary, make_folder, publish, sync_folder
from monitor.refusal import refusals_told

FORMAT: Final = 8
"""Rises when the files change in a way that older versions cannot read."""

KEPT: Final = 2
"""Snapshots on disk: the newest, and one to fall back to."""

MANIFEST: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024

_NAME: Final = re.compile(r"\d{12}")


class FrameFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One frame of a snapshot: whose (a detector's name; "" for what is not a detector's), which, and in what file."""

    owner: str
    name: str
    file: str
    bytes: int
    sha256: str


class SnapshotRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a snapshot's manifest says."""

    format: int
    turn: int
    owners: tuple[str, ...]  # detectors, those without any frame included
    frames: tuple[FrameFile, ...]
    hashing: str = ""  # as `hashing` tells it; earlier formats do not

    @property
    def bytes(self) -> int:
        return sum(frame.bytes for frame in self.frames)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The memory as it stood after a turn."""

    turn: int
    states: Mapping[str, State]
    extra: State


class Refused(msgspec.Struct, frozen=True):
    """A snapshot that was not taken, and why."""

    path: Path
    reason: str


def hashing() -> str:
    """How values are hashed here, as 16 hexadecimal digits.

    Detectors remember hashes instead of names, and Polars makes no promise that they stay the same in its next version: by other
    hashes everything would be new.
    """
    values = [
        pl.Series(["", "wx0123456789abcdef", "a text that is longer than those before it"]),
        pl.Series([0, 1, 2**63 - 1]),
    ]
    parts = [*values, values[1].cast(pl.UInt64), pl.Series(["", None], dtype=pl.String)]
    told = b"".join(part.hash().to_numpy().astype("<u8").tobytes() for part in parts)
    return hashlib.sha256(told).hexdigest()[:16]


class _Unfit(ValueError):
    """Why a snapshot cannot be taken."""


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest and the hash of its own text."""

    manifest: msgspec.Raw
    sha256: str


class Memory(Protocol):
    """Where the memory of a stream is kept between runs (`SnapshotFolder`)."""

    def save(self, turn: int, states: Mapping[str, State], extra: State | None = None) -> SnapshotRow: ...
    def load(self, turn_max: int | None = None) -> tuple[Snapshot | None, tuple[Refused, ...]]: ...


class SnapshotFolder:
    """The snapshots of one daemon. `save` and `load` are not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        with refusals_told(folder):
            make_folder(folder)

    def save(self, turn: int, states: Mapping[str, State], extra: State | None = None) -> SnapshotRow:
        """Write the memory after a committed turn, then delete all but the newest `KEPT` snapshots.

        Raises `StoreError` when the disk refuses: the earlier snapshots are untouched then.
        """
        final = self.folder / f"{turn:012d}"
        with refusals_told(final):
            if final.exists():
                try:
                    return _manifest(final, verify=True)  # the memory after a turn is always the same
                except _Unfit:
                    shutil.rmtree(final)
            part = final.with_name(final.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(mode=0o700)
            row = _write(part, turn, {**states, "": extra or {}})
            publish(part, final, "snapshot")
            self._prune()
        return row

    def load(self, turn_max: int | None = None) -> tuple[Snapshot | None, tuple[Refused, ...]]:
        """The newest sound snapshot that is not of a later turn than `turn_max`, and those refused on the way to it.

        Those of later turns are deleted: the record was put back to an older one, and will have other turns by their numbers.
        """
        refused = []
        for path in self._newest_first():
            if turn_max is not None and int(path.name) > turn_max:
                refused.append(Refused(path, f"of turn {int(path.name)}, but the record ends with turn {turn_max}"))
                shutil.rmtree(path, ignore_errors=True)
                continue
            snapshot, more = loaded(path)
            refused += more
            if snapshot is not None:
                return snapshot, tuple(refused)
        return None, tuple(refused)

    def newest(self, turn_max: int | None = None) -> Path | None:
        """The folder of the newest snapshot that is not later than `turn_max`; it may still turn out to be refused."""
        fit = (path for path in self._newest_first() if turn_max is None or int(path.name) <= turn_max)
        return next(fit, None)

    def _newest_first(self) -> Iterator[Path]:
        yield from sorted((path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)

    def _prune(self) -> None:
        for path in [*[*self._newest_first()][KEPT:], *self.folder.glob("*.part")]:
            shutil.rmtree(path, ignore_errors=True)  # what stays is deleted after the next snapshot


def loaded(path: Path) -> tuple[Snapshot | None, tuple[Refused, ...]]:
    """The snapshot in a folder, or why it was refused."""
    try:
        return _read(path), ()
    except _Unfit as error:
        return None, (Refused(path, str(error)),)
    except OSError as error:
        return None, (Refused(path, error.strerror or str(error)),)


def _write(folder: Path, turn: int, owners: Mapping[str, State]) -> SnapshotRow:
    """Write every frame and the manifest, each fsynced."""
    frames: list[FrameFile] = []
    for owner, state in owners.items():
        for name, frame in state.items():
            file = f"{len(frames):04d}.arrow"
            size, digest = _write_frame(folder / file, frame)
            frames.append(FrameFile(owner=owner, name=name, file=file, bytes=size, sha256=digest))
    named = tuple(filter(None, owners))
    row = SnapshotRow(format=FORMAT, hashing=hashing(), turn=turn, owners=named, frames=tuple(frames))
    text = msgspec.json.encode(row)
    envelope = _Envelope(msgspec.Raw(text), hashlib.sha256(text).hexdigest())
    _write_file(folder / MANIFEST, lambda path: path.write_bytes(msgspec.json.encode(envelope)))
    sync_folder(folder)
    return row


def _write_frame(path: Path, frame: pl.DataFrame) -> tuple[int, str]:
    _write_file(path, lambda path: frame.write_ipc(path, compression="lz4"))
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _write_file(path: Path, fill: Callable[[Path], object]) -> None:
    boundary("write:snapshot")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    fill(path)
    with path.open("rb+") as file:
        boundary("fsync:snapshot")
        os.fsync(file.fileno())


def _manifest(folder: Path, *, verify: bool) -> SnapshotRow:
    """A snapshot's manifest, and with `verify` the assurance that all its files are as they were written."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise _Unfit(f"{MANIFEST} is larger than any we write")
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        if hashlib.sha256(envelope.manifest).hexdigest() != envelope.sha256:
            raise _Unfit(f"{MANIFEST} was altered")
        row = msgspec.json.decode(envelope.manifest, type=SnapshotRow)
    except FileNotFoundError:
        raise _Unfit(f"it has no {MANIFEST}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _Unfit(f"{MANIFEST} is damaged or foreign ({error})") from error
    if row.format != FORMAT:
        raise _Unfit(f"of format {row.format}; this version reads format {FORMAT}")
    if row.hashing != hashing():
        raise _Unfit(f"it has hashes ({row.hashing}) that this version of Polars computes otherwise ({hashing()})")
    if row.turn != int(folder.name):
        raise _Unfit(f"{MANIFEST} is of turn {row.turn}")
    if verify:
        for frame in row.frames:
            _verify(folder / Path(frame.file).name, frame)
    return row


def _verify(path: Path, frame: FrameFile) -> None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise _Unfit(f"{frame.file} is missing") from None
    if digest != frame.sha256:
        raise _Unfit(f"{frame.file} is damaged: it has {path.stat().st_size} of {frame.bytes} bytes, or others")


def _read(folder: Path) -> Snapshot:
    row = _manifest(folder, verify=True)
    states: dict[str, dict[str, pl.DataFrame]] = {owner: {} for owner in (*row.owners, "")}
    for frame in row.frames:
        try:
            states[frame.owner][frame.name] = pl.read_ipc((folder / Path(frame.file).name).read_bytes())
        except (pl.exceptions.PolarsError, KeyError) as error:
            raise _Unfit(f"{frame.file} cannot be read ({error})") from error
    extra = states.pop("")
    return Snapshot(turn=row.turn, states=states, extra=extra)
