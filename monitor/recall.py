"""Archived events with further columns, decoded from their lines again."""

from __future__ import annotations

from functools import cache
from typing import Final

import polars as pl

from detectors import kernel
from detectors.event import DTYPES, INDEX, INTERNAL, LINE, POSITION, kind_of
from monitor.containment import FaultWatch, TooManyFaults, contained
from monitor.decoders import Decoded
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import PeopleHash
from monitor.native import NativeNdjson
from monitor.sources import RawBatch

KEPT: Final = ("redaction.kinds", "auth.code", "auth.token", "miniprogram.api", "url.domain", "error.code")
"""Columns of the archive beside the index fields: what the door found, and what people filter by most."""


_NOBODY: Final = bytes(32)
"""A key for no one: people in the archive are hashes already."""


def recalled(frame: pl.DataFrame, fields: frozenset[str]) -> pl.DataFrame:
    """Archived events with these fields; one whose line no longer decodes keeps what is held of it."""
    held = {*INDEX, *KEPT, *INTERNAL}
    decoded = read_again(frame, fields)
    added = [decoded[name] for name in decoded.columns if name not in held]
    return frame.select(name for name in frame.columns if name in held).with_columns(added)


def read_again(frame: pl.DataFrame, fields: frozenset[str]) -> pl.DataFrame:
    """The fields of archived lines, a row a line, with what else the decoder gives; of one that no longer decodes none."""
    decoded = _decoded(frame, fields)
    if decoded.height == frame.height:
        return decoded
    ends = frame.select(position=(pl.col(LINE).str.len_bytes().cast(pl.Int64) + 1).cum_sum())
    starts = ends.select(pl.col("position").shift(1, fill_value=0).alias(POSITION))
    return starts.join(decoded, on=POSITION, how="left", maintain_order="left")


def _decoded(frame: pl.DataFrame, fields: frozenset[str]) -> pl.DataFrame:
    """The lines that decode: those that bring out a fault of ours do not, and of a frame with very many of them none does."""
    data = ("\n".join(frame[LINE]) + "\n").encode() if frame.height else b""
    raw = RawBatch("archive", "ndjson", data, 0, len(data))
    decode = _decoding().admit if kernel.available() else NdjsonDecoder().decode
    try:
        return contained(lambda part: decode(part, fields), raw, FaultWatch(), 0).frame
    except TooManyFaults:
        return pl.DataFrame(schema={name: DTYPES[kind_of(name)] for name in sorted(fields)} | {POSITION: pl.Int64()})


class _Decoding(NativeNdjson):
    """The kernel without the door: what has been through it is not to be redacted again, which would change it."""

    def __init__(self) -> None:
        super().__init__(PeopleHash(_NOBODY), hashed=True)

    def _by_python(self, raw: RawBatch, fields: frozenset[str]) -> Decoded:
        return self._decoder.decode(raw, fields)

    def _without_secrets(self, frame: pl.DataFrame, read: object, raw: RawBatch, fields: frozenset[str]) -> Decoded:  # noqa: ARG002 - there are none
        return Decoded(frame, [])


@cache
def _decoding() -> _Decoding:
    """Made once: it keeps readers ready for the sets of fields that it has been asked for."""
    return _Decoding()
