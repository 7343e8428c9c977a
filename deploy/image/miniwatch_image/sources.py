"""What an image is made from, as one digest: one that was made from other files is not that of today's."""

from __future__ import annotations

import hashlib
from pathlib import Path

MADE_FROM = (
    "monitor",
    "detectors",
    "playbooks",
    "native/src",
    "deploy/image",
    "pyproject.toml",
    "requirements/run.txt",
)


def digest(root: Path) -> str:
    """Of all files, by name and content."""
    found = hashlib.sha256()
    for name in MADE_FROM:
        start = root / name
        for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(f"{path.relative_to(root).as_posix()}\0{path.stat().st_size}\0".encode())
                found.update(path.read_bytes())
    return found.hexdigest()
