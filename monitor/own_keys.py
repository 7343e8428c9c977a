"""The keys of this process, held against those of the record: nobody has two hashes, and what is sealed can be opened again.

The record knows the fingerprint of each key since the first daemon on it began. A key is made only where nobody was hashed yet: a process that lacks
its key, as a command that sees none of the service's secrets, refuses, for with another one it would mean somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from monitor.config import Config
from monitor.door import PeopleHash
from monitor.sealing import SealError, key_at
from monitor.stores.anchored import KnownKeys
from monitor.stores.places import Places

PEOPLE: Final = "people"
SEAL: Final = "seal"
RENEW: Final = "miniwatch keys renew"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a key is not the record's, and what to do."""

    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; {self.remedy}"


class Record(Protocol):
    """What a record knows of keys."""

    def known_keys(self) -> KnownKeys: ...
    def fingerprint(self, name: str, fingerprint: str) -> str: ...


def people_of(config: Config, record: Record, *, notes: bool = True) -> PeopleHash:
    """The keyed hash for people; raises `SealError` where it is not the one by which those of the record are hashed.

    With `notes` a record that was not begun yet knows it from now on.
    """
    known = record.known_keys()
    if (trouble := people_trouble(config, known)) is not None:
        raise SealError(str(trouble))
    people = people_here(config)
    if notes and PEOPLE not in known.fingerprints and not known.is_begun:
        record.fingerprint(PEOPLE, people.fingerprint)
    return people


def people_here(config: Config) -> PeopleHash:
    """That of the key that is configured, else of the data folder's own, which is made where there is none."""
    if config.people.key is not None:
        return PeopleHash(bytes.fromhex(config.people.key.get_secret_value()))
    return PeopleHash(key_at(Places(config.data_dir).people_key))


def people_trouble(config: Config, known: KnownKeys) -> Trouble | None:
    """Why people cannot be hashed here, and what to do; None where they can."""
    path = Places(config.data_dir).people_key
    if config.people.key is None and not path.exists():
        if not known.fingerprints.get(PEOPLE) and not known.is_begun:
            return None
        return Trouble(
            f"people of this record are hashed with a key that is not here: people.key is not set, and {path} is not there",
            "give it to this process as the daemon has it (keys/ or people.key_file; under systemd a command gets it by "
            f"miniwatch-as-service), or put keys/ back from a backup made with --keys. Where it is lost, see {RENEW} --help",
        )
    ours = people_here(config).fingerprint
    if known.fingerprints.get(PEOPLE, ours) != ours:
        return _another(PEOPLE, "people.key" if config.people.key is not None else str(path))
    return None


def seal_trouble(config: Config, known: KnownKeys) -> Trouble | None:
    """Why what others have sealed cannot be opened here; None where it can."""
    ours = seal_here(config)
    if known.fingerprints.get(SEAL, ours) != ours:
        return _another(SEAL, str(Places(config.data_dir).seal_key))
    return None


def seal_here(config: Config) -> str:
    """The fingerprint of the data folder's seal key, which is made where there is none."""
    return PeopleHash(key_at(Places(config.data_dir).seal_key)).fingerprint


def refuse_other_keys(config: Config, record: Record) -> None:
    """See that this process has the keys of all who write the record, which knows them from now on; raises `SealError`."""
    people = people_of(config, record)
    for name, ours, where in (
        (PEOPLE, people.fingerprint, "people.key"),
        (SEAL, seal_here(config), str(Places(config.data_dir).seal_key)),
    ):
        if record.fingerprint(name, ours) != ours:
            raise SealError(str(_another(name, where)))


def _another(name: str, where: str) -> Trouble:
    return Trouble(
        f"the {name} key of this process ({where}) is another than that of those who have written the record so far",
        "copy keys/ from one of them into its data_dir, or give it the same people.key. "
        f"Where theirs is lost, see {RENEW} --help",
    )
