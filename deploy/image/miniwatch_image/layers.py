"""Layers: the same files make the same bytes, whoever packs them, wherever, whenever."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import msgspec

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_GZIP = 16 + zlib.MAX_WBITS
"""A window as large as may be, and gzip's frame around it, with no name and no time in it."""

LEVEL = 6


class Owned(msgspec.Struct, frozen=True):
    """What a path is, other than a file of root as it lies there."""

    user: int
    mode: int


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer that was written."""

    digest: str
    """Of the packed bytes."""
    unpacked: str
    """Digest of the bytes before they were packed."""
    size: int
    said: str
    """What it holds, for people."""


def written(tree: Path, into: Path, said: str, time: int, owned: Mapping[str, Owned] | None = None) -> Layer:
    """Pack a tree into a blob that is named by its digest."""
    file = into / "being-written"
    with file.open("wb") as raw:
        packed = _Packed(raw)
        with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(tree.rglob("*"), key=lambda path: path.relative_to(tree).parts):
                _add(archive, path, path.relative_to(tree).as_posix(), time, owned or {})
        packed.end()
    file.rename(into / packed.digest.hexdigest())
    return Layer(
        digest=f"sha256:{packed.digest.hexdigest()}",
        unpacked=f"sha256:{packed.unpacked.hexdigest()}",
        size=packed.size,
        said=said,
    )


def _add(archive: tarfile.TarFile, path: Path, name: str, time: int, owned: Mapping[str, Owned]) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = time
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        archive.addfile(entry)
    elif stat.S_ISDIR(found.st_mode):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        if name in owned:
            entry.uid = entry.gid = owned[name].user
            entry.mode = owned[name].mode
        archive.addfile(entry)
    elif stat.S_ISREG(found.st_mode):
        # Nothing is written by anybody, or run as somebody else than who starts it.
        entry.mode = 0o755 if found.st_mode & 0o100 else 0o644
        entry.size = found.st_size
        with path.open("rb") as content:
            archive.addfile(entry, content)
    else:
        raise SystemExit(f"{path} is neither file nor folder nor link: no package should have such a thing.")


class _Packed(io.RawIOBase):
    """Packs what is written to it, and counts and digests both."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._packing = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        self.digest, self.unpacked = hashlib.sha256(), hashlib.sha256()
        self.size = 0

    def write(self, content: object) -> int:
        given = bytes(content)  # type: ignore[call-overload]
        self.unpacked.update(given)
        self._out(self._packing.compress(given))
        return len(given)

    def end(self) -> None:
        """Write what is left."""
        self._out(self._packing.flush())

    def _out(self, packed: bytes) -> None:
        self.digest.update(packed)
        self.size += len(packed)
        self._raw.write(packed)
