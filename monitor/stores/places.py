"""Where everything lies in the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

DATABASE: Final = "miniwatch.db"
ARCHIVE: Final = "archive"
SNAPSHOTS: Final = "snapshots"
KEYS: Final = "keys"
SEAL_KEY: Final = "seal.key"
PEOPLE_KEY: Final = "people.key"
RULE_CACHE: Final = "cache"
PACKS: Final = "packs"
LOCK: Final = "run.lock"
RESPOND_LOCK: Final = "respond.lock"
SPOOL: Final = "spool"
DAMAGE: Final = "record.damaged"
ADMIN_TOKEN: Final = "admin.token"  # noqa: S105 - a file's name


class Places:
    """The parts of one data directory. Naming them makes nothing."""

    def __init__(self, root: Path) -> None:
        self.root: Final = root
        self.database: Final = root / DATABASE
        self.archive: Final = root / ARCHIVE
        self.snapshots: Final = root / SNAPSHOTS
        self.keys: Final = root / KEYS
        self.seal_key: Final = root / KEYS / SEAL_KEY
        self.people_key: Final = root / KEYS / PEOPLE_KEY
        self.rule_cache: Final = root / RULE_CACHE
        self.packs: Final = root / PACKS
        self.spool: Final = root / SPOOL
        self.damage: Final = root / DAMAGE
        self.admin_token: Final = root / ADMIN_TOKEN
        self.lock: Final = root / LOCK
        self.respond_lock: Final = root / RESPOND_LOCK


def record_bytes(database: Path) -> int:
    """Size of a SQLite file, with what is written and not yet in the file itself; 0 where there is none."""
    return sum(path.stat().st_size for path in (database, database.with_name(f"{database.name}-wal")) if path.is_file())
