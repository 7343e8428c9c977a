"""What ``miniwatch doctor`` sees of models: whether the one in force can be asked, how old it is, and what became of those after it."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, Final

import msgspec

from monitor.cli.moments import MICROSECONDS, span
from monitor.cli.signs import Sign
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.models.shelf import ModelShelf
    from monitor.stores.models import ModelRow

DAY_US: Final = 86_400 * MICROSECONDS

LATE_DAYS: Final = 2
"""So many days after its time a training is missing: it may have failed once."""

REFUSED_MIN: Final = 3
"""So many models refused one after the other are no chance."""

CATEGORY_APPS_MIN: Final = 34
"""Apps of a category in the registry from which on it may have a forest of its own: three fifths are learned from, and it takes twenty."""

NAMED_MAX: Final = 5

TRAIN: Final = "miniwatch model train, or miniwatch model rollback"


class _Listed(msgspec.Struct, frozen=True):
    """Of a line of the registry what is looked at."""

    category: str | None = None


def signs_of_models(opened: Opened) -> Iterator[Sign]:
    """How the models of an installation stand; nothing where they are switched off, or there were never any."""
    from monitor.models.shelf import ModelShelf

    shelf = ModelShelf(opened.store.models())
    if not opened.config.models.enabled or not shelf.rows:
        return
    yield from _usable(opened, shelf)
    yield from _age(opened, shelf)
    yield from _refused(shelf)


def _usable(opened: Opened, shelf: ModelShelf) -> Iterator[Sign]:
    """Whether what is in force, and what is tried, can be opened here and is what the record says."""
    from monitor.models.opening import OpenedModels, UnusableModel
    from monitor.models.shelf import label

    models = OpenedModels(opened.store.content)
    for row, state in ((shelf.active, "is in force"), (shelf.candidate, "is tried")):
        if row is None:
            continue
        try:
            models(row.digest)
        except UnusableModel as error:
            yield Sign("models", "problem", f"{label(row)} {state} and cannot be asked: {error}", TRAIN)
        else:
            since = f"{label(row)} {state}, {span(row.created, now_us())} old"
            yield Sign("models", "ok", f"{since}{_categories(opened, row)}")
    if shelf.active is None and shelf.candidate is None:
        yield Sign("models", "ok", "none is in force or tried")


def _categories(opened: Opened, row: ModelRow) -> str:
    """Which categories have no forest of their own though they have the apps for it, as a clause."""
    now = {one.app_id: msgspec.json.decode(one.document, type=_Listed).category for one in opened.store.apps()}
    known = Counter(name for name in now.values() if name is not None)
    without = sorted(
        name for name, apps in known.items() if apps >= CATEGORY_APPS_MIN and name not in row.story.experts
    )
    if not without:
        return ""
    more = f" and {len(without) - NAMED_MAX} more" if len(without) > NAMED_MAX else ""
    return f"; without a forest of their own: {', '.join(without[:NAMED_MAX])}{more}"


def _age(opened: Opened, shelf: ModelShelf) -> Iterator[Sign]:
    """Whether one was trained by the clock as often as that is asked for."""
    every = opened.config.models.train_every_days
    age = now_us() - max(row.created for row in shelf.rows)
    if every and age > (every + LATE_DAYS) * DAY_US:
        found = f"the last was trained {span(0, age)} ago, and one is to be every {counted(every, 'day')}"
        yield Sign("models", "warning", found, "look for training_failed in the log; miniwatch model train says why")


def _refused(shelf: ModelShelf) -> Iterator[Sign]:
    """Whether training after training gives a model that is refused."""
    from monitor.stores.models import ModelState

    newest = sorted(shelf.rows, key=lambda row: -row.number)
    refused = list(takewhile(lambda row: row.state is ModelState.REFUSED, newest))
    if len(refused) >= REFUSED_MIN:
        found = f"the last {len(refused)} that were trained were refused, the newest since {refused[0].story.refused}"
        yield Sign(
            "models", "warning", found, "miniwatch model evaluate: the world may have changed; miniwatch findings mark"
        )
