"""Signatures with ed25519: who signed something is known by a public key, and nobody else can have signed it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from monitor.durable import sync_folder

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class KeyRefused(Exception):
    """A file or text is no key that can be used; the text says why and what to do."""


class SigningKey:
    """A private key. It never leaves its file but to sign."""

    def __init__(self, secret: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public: Final = self._key.public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def make_key(path: Path) -> SigningKey:
    """A new key in a new file that its owner alone may read; raises `KeyRefused` where there is a file already."""
    secret = os.urandom(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyRefused(f"{path} is there already; a key is never written over") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return SigningKey(secret)


def read_key(path: Path) -> SigningKey:
    """The key of a file; raises `KeyRefused` when it holds none, or when others may read it."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyRefused(f"{path} can be read by others than its owner; take that away (chmod 600) and make a new key")
    return SigningKey(_bytes_of(path.read_text(encoding="ascii", errors="replace"), KEY_BYTES, str(path)))


def is_signed(message: bytes, signature: bytes, public: str) -> bool:
    """Whether the owner of a public key has signed this; raises `KeyRefused` when the key is none."""
    key = Ed25519PublicKey.from_public_bytes(_bytes_of(public, KEY_BYTES, "the public key"))
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def fingerprint(public: str) -> str:
    """What people compare: the first 16 hexadecimal digits of the key's SHA-256."""
    return hashlib.sha256(_bytes_of(public, KEY_BYTES, "the public key")).hexdigest()[:16]


def _bytes_of(text: str, length: int, what: str) -> bytes:
    try:
        found = bytes.fromhex(text.strip())
    except ValueError:
        found = b""
    if len(found) != length:
        raise KeyRefused(
            f"{what} is no key: expected {2 * length} hexadecimal digits, found {len(text.strip())} characters"
        )
    return found
