"""How features move while models are asked: told as a metric, and noted in the record beside each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.telemetry import Telemetry, upkeep

if TYPE_CHECKING:
    from detectors.learned.detector import LearnedDetector
    from monitor.stores.sql import SqlStore


def note_drift(learned: LearnedDetector | None, store: SqlStore, telemetry: Telemetry) -> None:
    """Tell and note what the day that ended last has shown; before a model's first there is nothing to tell of it, nor of one that is
    no longer in force.
    """
    drift = learned.drift if learned is not None else {}
    in_force = learned.model.digest if learned is not None and learned.model is not None else ""
    telemetry.emit(upkeep.ModelDrift(features=drift.get(in_force, {})))
    for digest, moved in drift.items():
        if not moved:
            continue
        known = next((row.story.drift for row in store.models() if row.digest == digest), moved)
        if known != moved:
            store.note_drift(digest, moved)
