"""Rules in their compiled form, and twins that passed, kept on disk so that neither is worked out again at every start.

What is kept stands under the hash of all that shaped it: the text of every rule file, placeholders and pipelines, the engine's own source and the
versions of the libraries under it. It is sealed with the installation's key in the context of that hash, so that a file
which is damaged, foreign or misplaced is noticed; it is told, and made anew. Without a disk to write to, nothing is kept.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Final

import msgspec

from detectors.sigma import Reading, Rule, RuleSet, parse_rules
from monitor.durable import make_folder, write_file
from monitor.rules.twins import twin_digests
from monitor.sealing import Seal, SealError, key_at
from monitor.stores.places import Places

SETS_MAX: Final = 4
"""Compiled sets that are kept; the oldest goes first."""

FILE_BYTES_MAX: Final = 256 << 20
"""A larger file is none of ours."""

VERDICTS_MAX: Final = 100_000
"""Twins whose passing is remembered."""

TWINS: Final = "twins.sealed"

TRIES: Final = "tries"
"""Folder inside the cache for rules that are tried, so that those push out nothing that the daemon will ask for."""

_LIBRARIES: Final = ("msgspec", "numpy", "polars", "pyarrow", "pysigma", "pyyaml")
_SOURCES: Final = ("detectors", "monitor/decoders", "monitor/registry.py", "monitor/rules/twins.py")
_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")

PLAIN: Final = Reading()
"""No placeholders and no pipelines."""

Told = Callable[[Path, str], None]
"""Is told of a file of the cache that could not be used or written, and why."""


@cache
def engine_digest() -> str:
    """SHA-256 of all that turns a rule's text into verdicts: our own source, and the versions of what it stands on."""
    digest = hashlib.sha256(sys.version.encode())
    for name in _LIBRARIES:
        digest.update(f"\n{name} {metadata.version(name)}".encode())
    for name in _SOURCES:
        package, _, rest = name.partition("/")
        place = Path(str(resources.files(package))) / rest
        files = [place] if place.is_file() else sorted([*place.rglob("*.py"), *place.glob("*.json")])
        for file in files:
            content = file.read_bytes()
            digest.update(f"\n{file.relative_to(place.parent).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def encoded(value: object) -> bytes:
    """Compiled rules, and what holds them, as bytes: the same rules give the same bytes, in any process."""
    return _ENCODER.encode(value)


class TwinVerdicts:
    """Twins that passed, by the hash of the rules and the events that they passed with. What failed is run again."""

    def __init__(
        self, passed: frozenset[bytes] = frozenset(), keep: Callable[[frozenset[bytes]], object] = lambda _now: None
    ) -> None:
        self._before = passed
        self._now: set[bytes] = set()
        self._keep = keep

    def has_passed(self, key: bytes) -> bool:
        """Whether a twin is known to pass."""
        if key in self._before:
            self._now.add(key)
        return key in self._now

    def passes(self, key: bytes) -> None:
        self._now.add(key)

    def save(self) -> None:
        """Keep what was added; what nobody asked for since it was kept goes only when there is too much of it."""
        if self._now <= self._before:
            return
        whole = self._now | self._before
        self._keep(frozenset(whole if len(whole) <= VERDICTS_MAX else self._now))


def twin_key(rules: Sequence[Rule], own: frozenset[str], folder: Path) -> bytes:
    """The hash of all that a twin's verdict depends on; raises `OSError` when its files cannot be read."""
    said = (engine_digest(), placeless(rules), own, twin_digests(folder))
    return hashlib.sha256(_ENCODER.encode(said)).digest()


def placeless(rules: Sequence[Rule]) -> list[Rule]:
    """Rules without the places that they come from, which make no difference to what they do."""
    return [msgspec.structs.replace(rule, path="", line=0) for rule in rules]


class RuleCache:
    """The cache of one installation. It never makes a rule load that would not load without it."""

    def __init__(self, folder: Path, seal: Seal, told: Told) -> None:
        self._folder = folder
        self._seal = seal
        self._told = told

    def parse(self, sources: Sequence[tuple[str, str]], reading: Reading = PLAIN) -> RuleSet:
        """What `parse_rules` says of these files, from the cache if it was said before."""
        context = "rules:" + _set_digest(sources, reading)
        path = self._folder / f"{context.removeprefix('rules:')[:32]}.sealed"
        kept = self._opened(path, context)
        if kept is not None:
            try:
                return msgspec.msgpack.decode(kept, type=RuleSet)
            except msgspec.MsgspecError as error:
                self._told(path, f"is not what was written ({error})")
        parsed = parse_rules(sources, reading)
        try:
            self._keep(path, _ENCODER.encode(parsed), context)
        except OverflowError as error:  # a number in a rule that the format has no room for
            self._told(path, f"cannot be written ({error})")
        self._prune()
        return parsed

    @property
    def tries(self) -> RuleCache:
        """The same for rules that are only tried."""
        return RuleCache(self._folder / TRIES, self._seal, self._told)

    def verdicts(self) -> TwinVerdicts:
        """Which twins have passed with which rules, as far as is known."""
        path = self._folder / TWINS
        kept = self._opened(path, TWINS)
        try:
            passed = msgspec.msgpack.decode(kept, type=frozenset[bytes]) if kept is not None else frozenset[bytes]()
        except msgspec.MsgspecError as error:
            self._told(path, f"is not what was written ({error})")
            passed = frozenset()
        return TwinVerdicts(passed, lambda now: self._keep(path, _ENCODER.encode(now), TWINS))

    def _opened(self, path: Path, context: str) -> bytes | None:
        """What was sealed in a file; None where there is none, or it is not ours in this context."""
        try:
            if path.stat().st_size > FILE_BYTES_MAX:
                raise SealError("larger than any that we write")  # noqa: TRY301 - told like the others
            return self._seal.open(path.read_bytes(), context)
        except FileNotFoundError:
            return None
        except (OSError, SealError) as error:
            self._told(path, str(error))
            return None

    def _keep(self, path: Path, content: bytes, context: str) -> None:
        try:
            make_folder(self._folder)
            write_file(path, self._seal.seal(content, context), "cache")
        except OSError as error:
            self._told(path, f"cannot be written: {error.strerror or error}")

    def _prune(self) -> None:
        """Drop all but the newest sets."""
        try:
            sets = [path for path in self._folder.glob("*.sealed") if path.name != TWINS]
            for path in sorted(sets, key=lambda path: path.stat().st_mtime_ns, reverse=True)[SETS_MAX:]:
                path.unlink()
        except OSError as error:
            self._told(self._folder, f"cannot be tidied: {error.strerror or error}")


def cache_beside(data_dir: Path) -> RuleCache | None:
    """The cache of an installation, for commands beside its daemon; None where there is no key, or none that may be read.

    It makes no installation, and what of the cache cannot be used or written is passed over: it costs time only.
    """
    places = Places(data_dir)
    if not places.seal_key.is_file():
        return None
    try:
        seal = Seal(key_at(places.seal_key))
    except (OSError, SealError):
        return None
    return RuleCache(places.rule_cache, seal, lambda _path, _why: None)


def _set_digest(sources: Sequence[tuple[str, str]], reading: Reading) -> str:
    """SHA-256 over the engine, how rules are read, and every file's name and text, in their order."""
    digest = hashlib.sha256(f"{engine_digest()} {reading.stamp}".encode())
    for path, text in sources:
        for part in (path, text):
            content = part.encode("utf-8", "surrogatepass")
            digest.update(f"\n{len(content)}\n".encode() + content)
    return digest.hexdigest()
