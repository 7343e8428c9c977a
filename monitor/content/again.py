"""A run gone through again: the same rules and playbooks come into force at the same positions as the control log of another
data folder says, whatever is configured now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from monitor.content.control_log import PLAYBOOKS, Answering
from monitor.content.in_force import InForce
from monitor.models.loading import NO_MODELS, LoadedModels
from monitor.models.opening import OpenedModels
from monitor.playbook_files import LoadedPlaybooks
from monitor.rules import LoadedRules
from monitor.rules.lineup import RULES, ForeignContent, Lineup, Models, models_in
from monitor.sealing import Seal, key_at
from monitor.stores import Controlled, Store
from monitor.stores.places import Places
from monitor.stores.sql import SqlStore
from monitor.stores.sqlite import sqlite_store


class CannotRepeat(ValueError):
    """A run cannot be gone through again; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where something came into force, and the digests of all that was in force from there on."""

    positions: Mapping[str, int]
    rules: str
    playbooks: str


@dataclass(frozen=True, slots=True)
class Again:
    """What comes into force where; the first from the beginning on."""

    points: Sequence[Point]
    contents: Mapping[str, bytes]
    window_events_max: int
    models: Models

    def lineup(self, place: int) -> Lineup:
        """The rules of a point, compiled."""
        try:
            return Lineup.made_of(self.contents[self.points[place].rules], self.window_events_max, self.models)
        except ForeignContent as error:
            raise CannotRepeat(f"what was in force cannot be made again: {error}") from error

    def in_force(self, place: int, lineup: Lineup) -> InForce:
        """The same as the daemon has it."""
        try:
            answering = Answering.made_of(self.contents[self.points[place].playbooks])
        except ForeignContent as error:
            raise CannotRepeat(f"what was in force cannot be made again: {error}") from error
        learned = lineup.learned
        models = LoadedModels(learned.model, learned.tried) if learned is not None else NO_MODELS
        playbooks = LoadedPlaybooks(answering.playbooks)
        return InForce(LoadedRules(lineup.rules), playbooks, lineup.trial, answering.trial, models)

    def check_sources(self, partitions: Collection[str]) -> None:
        """Raise `CannotRepeat` unless these are all the sources that were read by then."""
        absent = sorted({name for point in self.points for name in point.positions} - set(partitions))
        if absent:
            raise CannotRepeat(f"the control log tells of {absent[0]}, which is not among the sources of this run")

    def gone_by(self, store: Store) -> int:
        """The last point that a record has come to already; raises `CannotRepeat` when it has gone another way."""
        own = points_of(store)
        if own != list(self.points[: len(own)]):
            raise CannotRepeat("this data folder has gone by other rules or positions; begin with an empty one")
        return max(len(own) - 1, 0)


@contextmanager
def _opened(data_dir: Path) -> Iterator[SqlStore]:
    places = Places(data_dir)
    if not places.database.is_file():
        raise CannotRepeat(f"{data_dir.absolute()} has no record")
    store = sqlite_store(places.database, seal=Seal(key_at(places.seal_key)), read_only=True)
    try:
        yield store
    finally:
        store.close()


def again(data_dir: Path, window_events_max: int) -> Again:
    """What the control log of a data folder says; raises `CannotRepeat` where it does not say all, from the beginning on."""
    with _opened(data_dir) as store:
        points = points_of(store)
        contents = {digest: store.content(digest) for one in points for digest in (one.rules, one.playbooks)}
    if not points:
        raise CannotRepeat(f"{data_dir.absolute()} has no control log: nothing was read there yet")
    forgotten = [name for name, position in points[0].positions.items() if position]
    if forgotten or "" in (points[0].rules, points[0].playbooks):
        raise CannotRepeat("what was in force at the beginning is forgotten: there were too many changes since")
    lost = [digest for digest, content in contents.items() if content is None]
    if lost:
        raise CannotRepeat(f"the record has lost what was in force: {lost[0][:16]}")
    found = {digest: content for digest, content in contents.items() if content is not None}
    models = OpenedModels(partial(_model_file, data_dir))
    for digest in sorted(frozenset[str]().union(*(models_in(found[one.rules]) for one in points))):
        try:  # before anything is read: of models that are neither in force nor tried, few files are kept
            models(digest)
        except ForeignContent as error:
            raise CannotRepeat(
                f"model {digest[:16]}, which was asked then, cannot be asked any more: {error}"
            ) from error
    return Again(points, found, window_events_max, models)


def _model_file(data_dir: Path, digest: str) -> bytes | None:
    with _opened(data_dir) as store:
        return store.content(digest)


def points_of(store: Store) -> list[Point]:
    """Where a record says that something else came into force than was before."""
    controls = sorted([*store.controls(RULES), *store.controls(PLAYBOOKS)], key=lambda one: one.turn)
    points: list[Point] = []
    turn = 0
    for one in controls:
        before = points[-1] if points else Point(one.positions, "", "")
        after = _with(before, one)
        if one.turn == turn:
            points[-1] = after
        elif (after.rules, after.playbooks) != (before.rules, before.playbooks):
            points.append(after)
            turn = one.turn
    return points


def _with(before: Point, one: Controlled) -> Point:
    rules = one.digest if one.subject == RULES else before.rules
    playbooks = one.digest if one.subject == PLAYBOOKS else before.playbooks
    return Point(one.positions, rules, playbooks)
