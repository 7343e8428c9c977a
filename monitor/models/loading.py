"""The models that an installation has in force, as far as they can be used here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.learned.model import Model
from monitor.models.opening import UnusableModel
from monitor.models.shelf import ModelShelf, label

if TYPE_CHECKING:
    from monitor.rules.lineup import Models
    from monitor.stores.models import ModelRow


class ModelProblem(msgspec.Struct, frozen=True):
    """A model that is not used, and why."""

    model: str
    message: str

    def __str__(self) -> str:
        return f"{self.model} is not used: {self.message}"


class LoadedModels(msgspec.Struct, frozen=True):
    """The model that is asked, the one that is tried, and what is wrong with others."""

    active: Model | None = None
    tried: Model | None = None
    problems: tuple[ModelProblem, ...] = ()


NO_MODELS = LoadedModels()


def load_models(shelf: ModelShelf, models: Models) -> LoadedModels:
    """Open what is in force and what is tried. Where the first cannot be used, the one that was in force before it is asked again."""
    problems: list[ModelProblem] = []
    active = tried = None
    if shelf.active is not None:
        active = _opened(shelf.active, models, problems)
        before = iter(shelf.before)
        while active is None and (row := next(before, None)) is not None:
            active = _opened(row, models, problems)
            if active is not None:
                first = problems[0]
                instead = f"{first.message}; {label(row)}, which was in force before it, is asked in its place"
                problems[0] = msgspec.structs.replace(first, message=instead)
    if shelf.candidate is not None:
        tried = _opened(shelf.candidate, models, problems)
    return LoadedModels(active, tried, tuple(problems))


def _opened(row: ModelRow, models: Models, problems: list[ModelProblem]) -> Model | None:
    try:
        return models(row.digest)
    except UnusableModel as error:
        problems.append(ModelProblem(label(row), str(error)))
        return None
