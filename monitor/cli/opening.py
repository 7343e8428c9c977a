"""What commands work on: the configuration, and the record of a data folder, opened beside a running daemon."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from monitor.cli.leaving import USAGE, Refused

if TYPE_CHECKING:
    from monitor.config import Config
    from monitor.door import PeopleHash
    from monitor.listing.named import NotOne
    from monitor.stores import Segment, Standing
    from monitor.stores.archive import Archive
    from monitor.stores.elasticsearch.reading import SearchReader
    from monitor.stores.places import Places
    from monitor.stores.sql import SqlStore

Row = TypeVar("Row")

CONFIG_FILE: Final = Path("config.toml")


def configuration(path: Path | None, data_dir: Path | None = None, more: Mapping[str, object] | None = None) -> Config:
    """The effective configuration; raises `ConfigError` with everything that is wrong with it."""
    from monitor.config import load_config

    overrides: dict[str, object] = dict(more or {})
    if data_dir is not None:
        overrides["data_dir"] = str(data_dir)
    return load_config(config_file(path), os.environ, overrides)


def sound_configuration(path: Path | None, data_dir: Path | None = None) -> Config | None:
    """What of a configuration with mistakes can be looked at; None where nothing can."""
    from monitor.config import sound_part

    return sound_part(config_file(path), os.environ, {"data_dir": str(data_dir)} if data_dir is not None else {})


def config_file(path: Path | None) -> Path | None:
    """The file that was named, or the one in the working directory if there is one."""
    return path if path is not None else (CONFIG_FILE if CONFIG_FILE.is_file() else None)


@dataclass(frozen=True, slots=True)
class Opened:
    """A data folder's record, and what else of it commands need."""

    config: Config
    places: Places
    store: SqlStore

    def archive(self) -> Archive:
        """The events; imported when first asked for."""
        from monitor.recall import KEPT
        from monitor.stores.archive import Archive

        return Archive(self.places.archive, KEPT)

    def archived(self) -> list[Segment]:
        """The archive's files on this disk; that there are others is told."""
        from monitor.cli.leaving import say

        segments = self.store.segments()
        here = self.archive().here(segments)
        if elsewhere := sum(one.rows for one in segments) - sum(one.rows for one in here):
            more = "; `--from elasticsearch` has all" if self.config.elasticsearch.urls else ""
            say(f"miniwatch: passed over: {elsewhere:,} events in archive folders of other disks{more}")
        return here

    def search(self) -> SearchReader | None:
        """Where lists are read from; None: from archive and record."""
        from monitor.searching import reader_of

        return reader_of(self.config, self.store)

    def people(self) -> PeopleHash:
        """The keyed hash for people; raises `SealError` where it is not the one by which those of the record are hashed."""
        from monitor.own_keys import people_of

        return people_of(self.config, self.store)

    def windows(self, now: int) -> list[Standing]:
        """Windows of maintenance that the configuration has, those that are over left out."""
        from monitor.rulings import laid_down_windows

        return laid_down_windows(self.config, now)

    def id_of(self, what: str, beginning: str) -> str:
        """The whole id of a finding, incident, decision or dead letter; refused when there is none or there are several."""
        from monitor.listing.named import NotOne, id_of

        try:
            return id_of(self, what, beginning)
        except NotOne as error:
            raise refused_id(error) from None

    def value_of(self, scope: str | None, value: str | None) -> str | None:
        """An entity's name as it is kept: people given by their own id are looked up by its hash."""
        from monitor.listing.named import value_of

        return value_of(self, scope, value)


@contextmanager
def record(
    path: Path | None,
    data_dir: Path | None,
    *,
    make: bool = False,
    look: bool = False,
    more: Mapping[str, object] | None = None,
) -> Iterator[Opened]:
    """Open the record: only to look at with `look`, or where nothing can be written. Only with `make` is one made where there is none yet.

    `more` are keys of the configuration that options give.
    """
    from monitor.clock import now_us
    from monitor.enforcers.telling import tell_of
    from monitor.recorded import may_have_record, open_record
    from monitor.stores.places import Places

    config = configuration(path, data_dir, more)
    places = Places(config.data_dir)
    if config.data_dir.is_file():
        raise Refused(f"{config.data_dir} is a file; a folder is expected")
    if not make and not may_have_record(config):
        raise Refused(
            f"there is nothing in {config.data_dir.absolute()} yet. Begin with `miniwatch run --source file:EVENTS.ndjson "
            "--until-end`, or name another folder with --data-dir"
        )
    read_only = look or (not make and not config.store.url and not os.access(config.data_dir, os.W_OK))
    store = open_record(config, read_only=read_only, tell=tell_of(config, now_us))
    try:
        yield Opened(config, places, store)
    finally:
        store.close()


def process_of(data_dir: Path) -> int | None:
    """The process that holds the data folder, where it is one of this machine that can be seen."""
    return next(iter(_locks(data_dir).values()), None)


def is_running(data_dir: Path) -> bool:
    """Whether a daemon that does all holds the data folder; asked without touching its lock."""
    return "WRITE" in _locks(data_dir)


def is_used(data_dir: Path) -> bool:
    """Whether any process of ours works in the data folder."""
    return bool(_locks(data_dir))


def is_attended(opened: Opened) -> bool:
    """Whether somebody does what commands ask for: a daemon on this data folder, or whoever answers on a record that several share."""
    from monitor.clock import now_us
    from monitor.partitions.answering import LEASE

    return is_running(opened.config.data_dir) or opened.store.held(LEASE, now_us()) is not None


def _locks(data_dir: Path) -> dict[str, int]:
    """How the data folder is held: to write, by who has it alone, to read, by those who share it; each with a process."""
    from monitor.stores.places import Places

    try:
        inode = Places(data_dir).lock.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    held = (line.split() for line in lines if f":{inode} " in line and "FLOCK" in line)
    return {
        words[3]: int(words[4]) for words in held if words[1] == "FLOCK"
    }  # those that wait for one have an arrow before


def there(row: Row | None) -> Row:
    """A row of the record whose id was found there a moment ago."""
    assert row is not None  # noqa: S101 - nothing deletes rows that fast
    return row


def whole_id(found: list[str], what: str, prefix: str) -> str:
    """The one id that begins like that; refused when there is none or there are several."""
    from monitor.listing.named import NotOne
    from monitor.listing.named import whole_id as named

    try:
        return named(found, what, prefix)
    except NotOne as error:
        raise refused_id(error) from None


LISTED_IN: Final = {
    "rule with findings": "findings",
    "dead letter": "deadletters",
    "exemption": "allowlists",
    "window": "maintenance",
}
"""Where people see what there is of something, where that is not its plural."""


def refused_id(error: NotOne) -> Refused:
    """An id that is none, told with the command that shows what there is."""
    listing = LISTED_IN.get(error.what, f"{error.what}s")
    return Refused(str(error) if error.found else f"{error}; `miniwatch {listing} list` shows what there is", USAGE)


def actor() -> str:
    """Who is asking, as the audit names them: the user whom the system knows, whatever the environment says.

    Only who is root can say otherwise, and as root also do without us.
    """
    number = os.getuid()
    if number == 0 and (behind := os.environ.get("SUDO_USER")):
        return f"operator:{behind}"
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"uid {number}"
    return f"operator:{name}"
