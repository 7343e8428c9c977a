"""Which apps are whose: from the lines of ``miniwatch apps list -o ndjson``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

BYTES_MAX = 256 * 1024 * 1024
"""A larger file is not read."""


class Developers:
    """The apps of each developer, read again when the file has changed. Without a file there are none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._apps: dict[str, list[str]] = {}

    @property
    def apps(self) -> Mapping[str, list[str]]:
        """The apps by developer, as they were when one last looked."""
        return self._apps

    def look(self) -> bool:
        """Whether there is something new. Raises `OSError` and `ValueError`; then all stays as it was."""
        if self._path is None:
            return False
        stat = self._path.stat()
        seen = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if seen == self._seen:
            return False
        self._seen = seen
        if stat.st_size > BYTES_MAX:
            raise ValueError(f"{self._path} is larger than {BYTES_MAX:,} bytes")
        self._apps = _read(self._path)
        return True


def _read(path: Path) -> dict[str, list[str]]:
    apps: dict[str, list[str]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                said = json.loads(line)
                app, developer = said.get("app_id"), said.get("developer_id")
                if isinstance(app, str) and isinstance(developer, str):
                    apps.setdefault(developer, []).append(app)
    return apps
