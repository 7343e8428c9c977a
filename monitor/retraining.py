"""Models trained by the clock: in a process of its own that stands back behind the daemon, which goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from monitor.config import Config
from monitor.models.loading import NO_MODELS, LoadedModels
from monitor.models.shelf import ModelShelf
from monitor.moments import DAY_US
from monitor.schedule import Schedule
from monitor.stores.sql import SqlStore
from monitor.telemetry import Telemetry, upkeep

TRAIN_S_MAX: Final = 6 * 3600.0
"""A training that takes longer is given up."""

OWED_S: Final = 600.0
"""How often it is asked whether the model in force can be asked at all."""

LOOK_S: Final = 0.5
STOP_S_MAX: Final = 5.0
SAID_CHARACTERS_MAX: Final = 1_000
EARLY_US: Final = DAY_US // 2
"""A training is as old as it says, to half a day: it ends some time after its hour."""


class Retraining:
    """Has a model trained every so many days, by the command that people use."""

    def __init__(
        self,
        command: Sequence[str],
        config: Config,
        store: SqlStore,
        telemetry: Telemetry,
        clock: Callable[[], int],
        leads: Callable[[], bool],
        asked: Callable[[], LoadedModels] = lambda: NO_MODELS,
    ) -> None:
        """`asked` says which models are asked, and what is wrong with those that are not."""
        self._command = command
        self._keys = config.models
        self._store = store
        self._telemetry = telemetry
        self._clock = clock
        self._leads = leads
        self._asked = asked
        self._owed = ""  # the model that could not be asked when one was trained in its place
        self._stopping = threading.Event()
        self._one_at_a_time = threading.Lock()

    def enter(self, schedule: Schedule) -> None:
        if self._keys.enabled and self._keys.train_every_days:
            schedule.daily("train a model", self._keys.train_hour_utc, self.look)
            schedule.every("train a model that is owed", OWED_S, self.look_for_owed, may_take_long=True)

    def look(self) -> None:
        """Train one if it is due, and wait for the end of it."""
        if self._leads() and self.is_due():
            self._train()

    def look_for_owed(self) -> None:
        """Train one at once where that in force cannot be asked, as after an update of the libraries that made it; once for each."""
        owed = self.owed() if self._leads() else ""
        if owed and owed != self._owed:
            self._owed = owed
            self._train()

    def owed(self) -> str:
        """The digest of the model in force, if it cannot be asked; empty where one is tried instead, or was trained within a day."""
        asked, shelf = self._asked(), ModelShelf(self._store.models())
        if shelf.active is None or not asked.problems or asked.tried is not None:
            return ""
        if any(row.created > max(shelf.active.created, self._clock() - DAY_US) for row in shelf.rows):
            return ""
        is_asked = asked.active is not None and asked.active.digest == shelf.active.digest
        return "" if is_asked else shelf.active.digest

    def _train(self) -> None:
        if not self._one_at_a_time.acquire(blocking=False):
            return
        try:
            self._run()
        finally:
            self._one_at_a_time.release()

    def _run(self) -> None:
        with subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            said, code = self._end_of(process)
        words = said.strip()[-SAID_CHARACTERS_MAX:]
        self._telemetry.emit(upkeep.TrainingFailed(code=code, said=words) if code else upkeep.ModelTrained(said=words))

    def is_due(self) -> bool:
        """Whether the last model was trained so many days ago; the first one is due at once."""
        newest = max((row.created for row in self._store.models()), default=0)
        return self._clock() - newest >= self._keys.train_every_days * DAY_US - EARLY_US

    def stop(self) -> None:
        """End a training that is under way."""
        self._stopping.set()

    def _end_of(self, process: subprocess.Popen[str]) -> tuple[str, int]:
        waited = 0.0
        while True:
            try:
                said, _ = process.communicate(timeout=LOOK_S)
            except subprocess.TimeoutExpired:
                waited += LOOK_S
                if self._stopping.is_set() or waited > TRAIN_S_MAX:
                    _ended(process)
            else:
                return said, process.returncode


def _ended(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()


def training_command(config: Path | None, data_dir: Path | None) -> list[str]:
    """The command that trains a model of what a daemon with these options has."""
    options = [*(["--config", str(config)] if config else []), *(["--data-dir", str(data_dir)] if data_dir else [])]
    return [
        sys.executable,
        "-c",
        "from monitor.cli import main; main()",
        "model",
        "train",
        "--scheduled",
        *options,
    ]
