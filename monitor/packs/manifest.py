"""What a pack says of itself: the part of it that is signed."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

FORMAT: Final = 1
"""Rises when packs change in a way that older versions cannot read."""

FILES_MAX: Final = 100_000
"""Files in one pack."""

FILE_BYTES_MAX: Final = 16 << 20
"""Size of one file of a pack."""

ALL_BYTES_MAX: Final = 64 << 20
"""Size of all files of a pack together."""

NAME: Final = re.compile(r"(?:rules|playbooks)(?:/[^/\\\x00-\x1f\x7f]{1,200}){1,10}")
"""How files of a pack are named: below one of two folders, never outside."""

Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class PackFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a pack."""

    bytes: Annotated[int, msgspec.Meta(ge=0, le=FILE_BYTES_MAX)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many findings of a pack's new rules are foreseen in every `events` events; outside, the pack is taken back."""

    findings_min: Count = 0
    findings_max: Count
    events: Annotated[int, msgspec.Meta(ge=100, le=10**9)]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pack's name, version and files. Of one name, a higher version is newer. `created` is microseconds since 1970 UTC."""

    format: int
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    version: Annotated[int, msgspec.Meta(ge=1, le=10**15)]
    created: Annotated[int, msgspec.Meta(ge=0)]
    bounds: Bounds | None = None
    signer: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
    files: Annotated[dict[str, PackFile], msgspec.Meta(min_length=1, max_length=FILES_MAX)]


class PackRefused(Exception):
    """A pack cannot be trusted or used; the text says why."""


def encoded(manifest: Manifest) -> bytes:
    """The one text of a manifest: what is signed, and what its digest is of."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)


def decoded(text: bytes) -> Manifest:
    """The manifest that a text is; raises `PackRefused` for any other text than `encoded` gives."""
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PackRefused(f"its manifest cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise PackRefused(f"it has format {manifest.format}; this version reads format {FORMAT}")
    for name in manifest.files:
        if not is_safe(name):
            raise PackRefused(f"it names the file {name[:200]!r}; files stand below rules/ or playbooks/")
    if sum(file.bytes for file in manifest.files.values()) > ALL_BYTES_MAX:
        raise PackRefused(f"its files have more than {ALL_BYTES_MAX >> 20} MiB together")
    if encoded(manifest) != text:
        raise PackRefused("its manifest is not written the way that manifests are")
    return manifest


def is_safe(name: str) -> bool:
    """Whether a file of this name stands where a pack's files may stand."""
    return NAME.fullmatch(name) is not None and not {".", ".."} & set(name.split("/"))
