"""How features move while models are asked: told as a metric, and noted in the record beside each model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.telemetry import Telemetry, upkeep

if TYPE_CHECKING:
    from detectors.learned.detector import LearnedDetector
    from monitor.stores.sql import SqlStore


def note_drift(learned: LearnedDetector | None, store: SqlStore, telemetry: Telemetry) -> None:
    """Tell and note what the day that ended last has shown; before the first there is nothing to tell."""
    if learned is None:
        return
    for digest, moved in learned.drift.items():
        if not moved:
            continue
        if learned.model is not None and digest == learned.model.digest:
            telemetry.emit(upkeep.ModelDrift(features=moved))
        known = next((row.story.drift for row in store.models() if row.digest == digest), moved)
        if known != moved:
            store.note_drift(digest, moved)
