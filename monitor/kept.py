"""What an installation keeps in its data folder, opened by its daemon and by commands beside it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from monitor.config import Config
from monitor.door import PeopleHash
from monitor.own_keys import people_of, refuse_other_keys
from monitor.recall import KEPT
from monitor.recorded import open_record
from monitor.sealing import Seal, key_at
from monitor.stores import LetterBounds
from monitor.stores.archive import Archive
from monitor.stores.deciding import Tell, nothing
from monitor.stores.folders import ArchiveFolder
from monitor.stores.places import Places
from monitor.stores.sql import SqlStore
from monitor.stores.sqlite import sqlite_store


@dataclass(frozen=True, slots=True)
class Kept:
    """What an installation keeps: its record, its archive and its keys. Commands open it beside a running daemon."""

    places: Places
    seal: Seal
    store: SqlStore
    archive: Archive

    @staticmethod
    def of(config: Config, tell: Tell = nothing, *, findings_leave: bool = True) -> Kept:
        """Open or make all that a configuration says; raises `StoreError` or `SealError`.

        Without `findings_leave` no topic is told of what turns find.
        """
        places = Places(config.data_dir)
        store = open_record(config, tell=tell, findings_leave=findings_leave)
        return Kept(places, Seal(key_at(places.seal_key)), store, Archive(places.archive, KEPT))

    @staticmethod
    def open(
        data_dir: Path,
        letter_bounds: LetterBounds = LetterBounds(),  # noqa: B008 - frozen
        tell: Tell = nothing,
    ) -> Kept:
        """Open or make everything below a data folder, with its record in SQLite; raises `StoreError` or `SealError`.

        Whoever may change decisions gives `tell`, as `tell_of` makes it.
        """
        places = Places(data_dir)
        seal = Seal(key_at(places.seal_key))
        store = sqlite_store(places.database, seal=seal, letter_bounds=letter_bounds, tell=tell)
        return Kept(places, seal, store, Archive(places.archive, KEPT))

    def refuse_other_keys(self, config: Config) -> None:
        """See that this process has the keys of all others on the record; raises `SealError`.

        Else the same person would have several hashes, and what one has sealed another could not open.
        """
        refuse_other_keys(config, self.store)

    def note_folder(self, now: int) -> None:
        """Have the record know where this archive folder is, and that what it has of files from before folders had names lies here."""
        name, host, path = self.archive.name, socket.gethostname(), str(self.archive.folder.absolute())
        known = next((one for one in self.store.folders() if one.name == name), None)
        claimed = [one.path for one in self.store.unclaimed() if (self.archive.folder / one.path).is_file()]
        if known is None or (known.host, known.path) != (host, path) or claimed:
            self.store.put_folder(ArchiveFolder(name=name, host=host, path=path, time=now), claimed)

    def people(self, config: Config) -> PeopleHash:
        """The keyed hash for people: the configured key, or the installation's own; raises `SealError` where it is not the record's."""
        return people_of(config, self.store)
