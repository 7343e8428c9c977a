"""Bytes that only this installation can read: AES-256-GCM under one key file."""

from __future__ import annotations

import hashlib
import mmap
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from monitor.durable import boundary, make_folder, sync_folder

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + 16
"""By how much what is sealed is longer than what it was: the format, the nonce and the tag."""

_SPARE_BYTES: Final = 16  # the cipher wants more room than it fills

_FORMAT: Final = b"\x01"  # first byte of everything sealed, so that another cipher can follow one day


class SealError(Exception):
    """A key file is not one, or sealed bytes were not sealed by this key in this context."""


def key_at(path: Path) -> bytes:
    """The 32 bytes of a key file (hexadecimal text); a new random key when there is no file yet.

    Of several processes that start at once, one makes the key and all read the same. Raises `SealError` when the file
    holds something else, `OSError` when it cannot be read or made.
    """
    if not path.exists():
        _make(path)
    text = path.read_text(encoding="ascii", errors="replace").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(
            f"{path} is not a key: expected {KEY_BYTES * 2} hexadecimal digits, found {len(text)} characters"
        )
    return key


def _make(path: Path) -> None:
    """Write the key beside its place and link it there: never half a key, never two."""
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    boundary("write:key")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            boundary("fsync:key")
            os.fsync(file.fileno())
        boundary("rename:key")
        try:
            os.link(part, path)
        except FileExistsError:
            return  # another process was first: its key is the key
        sync_folder(path.parent)
    finally:
        part.unlink()
    boundary("rename:key:done")


class Seal:
    """Seals and opens bytes under one key.

    `context` says what the bytes are and whose ("dead-letter:000000007-00001"): what was sealed in one context opens in
    no other, so that sealed values cannot be exchanged for one another. Nonces are random; one key is good for 2**32
    sealed values.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self.fingerprint: Final = hashlib.sha256(b"fingerprint:" + key).hexdigest()[:16]

    def seal(self, plain: bytes, context: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, context.encode())

    def seal_aside(self, parts: Iterable[bytes | memoryview], context: str) -> memoryview:
        """Parts sealed as one, where they are large: in memory of its own, which goes back as soon as nobody has it."""
        plain, nonce = tuple(parts), os.urandom(NONCE_BYTES)
        sealed = memoryview(mmap.mmap(-1, sum(map(len, plain)) + OVERHEAD_BYTES + _SPARE_BYTES))
        at = 1 + NONCE_BYTES
        sealed[:at] = _FORMAT + nonce
        encryptor = Cipher(AES(self._key), GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(context.encode())
        for part in plain:
            at += encryptor.update_into(part, sealed[at:])
        encryptor.finalize()
        sealed[at : at + len(encryptor.tag)] = encryptor.tag
        return sealed[: at + len(encryptor.tag)]

    def open(self, sealed: bytes, context: str) -> bytes:
        """The bytes again; `SealError` when they were changed, or sealed with another key or in another context."""
        nonce, cipher_text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if sealed[:1] != _FORMAT or len(nonce) != NONCE_BYTES:
            raise SealError(f"{context}: these bytes were not sealed by Miniwatch")
        try:
            return self._cipher.decrypt(nonce, cipher_text, context.encode())
        except InvalidTag:
            raise SealError(f"{context}: sealed with another key than {self.fingerprint}, or damaged") from None
