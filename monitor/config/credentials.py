"""Secrets that a supervisor hands over as files: systemd's credentials (``LoadCredential=``).

A credential named as a key of the configuration is its value: ``store.password``, ``webhooks.oncall.secret``; of a key that names a file, such as
``http.tls_key``, it is that file. Those that were loaded from a folder as ``secrets`` have ``secrets_`` before that, by systemd's own rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = "CREDENTIALS_DIRECTORY"
PREFIX: Final = "secrets_"
CREDENTIALS_MAX: Final = 1000


def credentials_in(environ: Mapping[str, str]) -> dict[str, Path]:
    """Each credential by its name. Raises `OSError` where they cannot be listed."""
    folder = environ.get(FOLDER, "")
    found = sorted(Path(folder).iterdir())[:CREDENTIALS_MAX] if folder else []
    return {file.name: file for file in found if file.is_file()}
