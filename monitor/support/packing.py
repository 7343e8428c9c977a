"""One file of all parts, small enough for a report, with nothing in it of who packed it."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from monitor.refusal import refusals_told

PART_BYTES_MAX: Final = 2 << 20
"""Of a part that is larger the rest is left out, and said to be."""

CUT: Final = b"\n... the rest is left out: this part is too large\n"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the report: its name, what it holds, and its bytes."""

    name: str
    holds: str
    content: bytes


def bounded(content: bytes) -> bytes:
    """No more than a part may have."""
    return content if len(content) <= PART_BYTES_MAX else content[: PART_BYTES_MAX - len(CUT)] + CUT


def pack(parts: Sequence[Part], target: Path, folder: str, now_s: int) -> int:
    """Write the parts as a gzipped tar that only its owner can read; how large it is. A file that is there already is replaced.

    Raises `StoreError` where the disk refuses.
    """
    with refusals_told(target):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as file,
            gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=now_s) as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for part in parts:
                content = bounded(part.content)
                member = tarfile.TarInfo(f"{folder}/{part.name}")  # of nobody
                member.size, member.mode, member.mtime = len(content), 0o600, now_s
                tar.addfile(member, io.BytesIO(content))
        return target.stat().st_size
