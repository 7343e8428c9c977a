"""A pack as one file: a ZIP that anyone can look into, and that is trusted for nothing but its bytes.

It holds `manifest.json`, `manifest.sig` (the signature of the former) and the files that the manifest names, in their order and not
compressed. The same content gives the same bytes, and other bytes are no pack, wherever the first bit differs. Reading bounds
everything before it is read; the signature is checked before anything of the manifest is believed, and every file against it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.packs.manifest import FILES_MAX, Manifest, PackFile, PackRefused, decoded, encoded
from monitor.signing import SIGNATURE_BYTES, KeyRefused, SigningKey, fingerprint, is_signed

PACK_BYTES_MAX: Final = 128 << 20
"""Size of a pack."""

MANIFEST_BYTES_MAX: Final = 32 << 20

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_PLAIN: Final = 0o100600 << 16


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack whose signature and files have been verified."""

    manifest: Manifest
    files: Mapping[str, bytes]
    digest: str  # SHA-256 of the manifest: two packs with one digest are one pack

    @property
    def label(self) -> str:
        """How people call it."""
        return f"{self.manifest.name} {self.manifest.version}"


def sealed(manifest: Manifest, files: Mapping[str, bytes], key: SigningKey) -> bytes:
    """The bytes of a signed pack."""
    text = encoded(manifest)
    return _written(text, key.sign(text), files)


def _written(text: bytes, signature: bytes, files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        whole = {MANIFEST: text, SIGNATURE: signature, **{name: files[name] for name in sorted(files)}}
        for name, content in whole.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, _PLAIN
            archive.writestr(entry, content)
    return out.getvalue()


def described(files: Mapping[str, bytes]) -> dict[str, PackFile]:
    """What a manifest says of files."""
    return {
        name: PackFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    }


def opened(data: bytes, trusted: Sequence[str]) -> Pack:
    """The pack that these bytes are; raises `PackRefused` unless one of the trusted public keys has signed all of it."""
    if len(data) > PACK_BYTES_MAX:
        raise PackRefused(f"it has {len(data)} bytes; a pack has at most {PACK_BYTES_MAX}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _entries(archive)
            text = _read(archive, entries.pop(MANIFEST, None), MANIFEST, MANIFEST_BYTES_MAX)
            signature = _read(archive, entries.pop(SIGNATURE, None), SIGNATURE, SIGNATURE_BYTES)
            _check_signature(text, signature, trusted)
            manifest = decoded(text)
            if unlike := sorted(entries.keys() ^ manifest.files.keys()):
                raise PackRefused(f"its files are not those that were signed: {', '.join(unlike[:5])}")
            files = {name: _file(archive, entries[name], name, said) for name, said in manifest.files.items()}
            if _written(text, signature, files) != data:
                raise PackRefused("it holds what no pack holds, or was altered")
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        raise PackRefused(f"it cannot be read: {error or type(error).__name__}") from None
    return Pack(manifest, files, hashlib.sha256(text).hexdigest())


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The entries by name: plain files, each once."""
    listed = archive.infolist()
    if len(listed) > FILES_MAX + 2:
        raise PackRefused(f"it has {len(listed)} entries; a pack has at most {FILES_MAX} files")
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in listed:
        if entry.filename in found:
            raise PackRefused(f"it has the file {entry.filename[:200]!r} twice")
        if entry.external_attr != _PLAIN or entry.flag_bits & 1 or entry.compress_type != zipfile.ZIP_STORED:
            raise PackRefused(f"its entry {entry.filename[:200]!r} is no plain file, as all files of a pack are")
        found[entry.filename] = entry
    return found


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo | None, name: str, bytes_max: int) -> bytes:
    """One file, never more of it than its bound, whatever the archive says of its size."""
    if entry is None:
        raise PackRefused(f"it has no {name}: it is no pack")
    with archive.open(entry) as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise PackRefused(f"its {name} is larger than {bytes_max} bytes")
    return content


def _file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, said: PackFile) -> bytes:
    content = _read(archive, entry, name, said.bytes)
    if len(content) != said.bytes or hashlib.sha256(content).hexdigest() != said.sha256:
        raise PackRefused(f"its file {name} is not what was signed")
    return content


def _check_signature(text: bytes, signature: bytes, trusted: Sequence[str]) -> None:
    if not trusted:
        raise PackRefused(
            "no key is trusted: name the signer's public key under packs.trusted_keys; a running daemon takes that up when it is started anew"
        )
    try:
        if any(is_signed(text, signature, key) for key in trusted):
            return
        known = ", ".join(fingerprint(key) for key in trusted)
    except KeyRefused as error:
        raise PackRefused(f"packs.trusted_keys: {error}") from None
    raise PackRefused(f"none of the trusted keys ({known}) has signed it, or it was altered since")
