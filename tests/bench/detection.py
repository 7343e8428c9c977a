"""What statistics and models find of labelled misbehaviour, how soon, and how many false alarms they raise: whole platforms over days, several seeds.

    python tests/bench/detection.py                                  the seeds for developing
    python tests/bench/detection.py --seeds testing --write docs/detection.md

Each platform is watched from its first day on; nothing is learned beforehand. A model is trained on the days before the misbehaviour, and
asked from then on, as an installation does it. The seeds for testing are pinned and are not to be looked at
while anything is tuned. A run takes some minutes a seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parent / "platform"))

from pinned import seeds
from score import Alarm, Report, Run, score
from traffic import Platform

from detectors.event import LATE, MICROSECONDS, TIME, WATERMARK, Batch
from detectors.finding import Sighting
from detectors.learned.detector import LearnedDetector
from detectors.learned.gathering import Gatherer
from detectors.learned.model import Model
from detectors.learned.telling import TellingConfig
from detectors.learned.training import NotEnough, Reservoir, attempt
from detectors.statistical.detector import StatisticalDetector
from monitor.registry import Registry, parse_registry

LATENESS_US = 2 * MICROSECONDS
BEGIN, END = "<!-- detection: begin -->", "<!-- detection: end -->"


def batches(platform: Platform, needed: frozenset[str]) -> Iterator[Batch]:
    """The platform's events as the detector gets them, an hour a batch, with the registry's columns."""
    records, problems = parse_registry(platform.registry(), platform.start)
    assert not problems, problems
    registry = Registry(records)
    reached = 0
    for frame in platform.frames():
        if not frame.height:
            continue
        times = frame[TIME].to_numpy()
        marks = np.maximum(np.maximum.accumulate(times) - LATENESS_US, reached)
        reached = int(marks[-1])
        whole = frame.with_columns(pl.Series(WATERMARK, marks), pl.lit(value=False).alias(LATE))
        yield Batch(registry.join(whole, needed), reached)


class Learning:
    """Models alone: what an installation learns from the first days, and says afterwards."""

    def __init__(self, until: int) -> None:
        self._until = until
        self._reservoir = Reservoir()
        self._gatherer = Gatherer(self._reservoir.take)
        self._asked: LearnedDetector | None = None
        self.needs = self._gatherer.needs

    def observe(self, batch: Batch) -> list[Sighting]:
        if self._asked is not None:
            return self._asked.observe(batch)
        self._gatherer.observe(batch)
        if batch.watermark >= self._until:
            self._asked = LearnedDetector(self._trained())
        return []

    def _trained(self) -> Model | None:
        """None where there is too little to learn from, or the model is refused: then none is asked, as in an installation."""
        try:
            came = attempt(self._reservoir.gathered(), TellingConfig().bound)
        except NotEnough as error:
            print(f"no model: {error}", file=sys.stderr)
            return None
        if came.refused:
            print(f"no model: {came.refused}", file=sys.stderr)
            return None
        return came.model


class Both:
    """Statistics, and models beside them."""

    def __init__(self, until: int) -> None:
        self._parts = (StatisticalDetector(), Learning(until))
        self.needs = self._parts[0].needs | self._parts[1].needs

    def observe(self, batch: Batch) -> list[Sighting]:
        return [one for part in self._parts for one in part.observe(batch)]


DETECTORS = {"both": Both, "statistics": lambda _until: StatisticalDetector(), "models": Learning}


class Watched(msgspec.Struct, frozen=True):
    """One platform, watched: what came of it, what it cost, and its findings."""

    run: Run
    events: int
    us_an_event: float
    findings: list[dict[str, Any]]


def outcome(seed: int, apps: int, who: str, keep: Path | None) -> Watched:
    """What comes of a platform; taken from the folder, if it is kept there."""
    file = keep / f"{who}-{apps}-{seed}.json" if keep is not None else None
    if file is not None and file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Watched)
    came = watched(seed, apps, who)
    if file is not None:
        part = file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(came))
        part.rename(file)
    return came


def watched(seed: int, apps: int, who: str) -> Watched:
    """Have one platform watched."""
    platform = Platform(seed, apps=apps)
    detector = DETECTORS[who](platform.quiet_end)
    found: dict[str, Alarm] = {}
    told: dict[str, dict[str, object]] = {}
    events, spent = 0, 0.0
    for batch in batches(platform, detector.needs):
        events += batch.frame.height
        begun = time.process_time()
        seen = detector.observe(batch)
        spent += time.process_time() - begun
        for sighting in seen:
            finding = sighting.finding
            if finding.id not in found:
                alarm = Alarm(finding.entity.scope.value, finding.entity.value, finding.time, finding.rule.id)
                found[finding.id] = alarm
                told[finding.id] = msgspec.to_builtins(finding) | {"seed": seed}
    run = Run(platform.labels, list(found.values()), apps, platform.quiet_end, platform.end)
    return Watched(run, events, spent / max(events, 1) * 1e6, list(told.values()))


def report(
    seed_list: list[int],
    apps: int,
    findings: Path | None,
    who: str = "both",
    jobs: int = 1,
    keep: Path | None = None,
) -> Report:
    """All platforms, so many of them at a time."""
    runs, every = [], []
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as workers:
        given = (seed_list, repeat(apps), repeat(who), repeat(keep))
        for seed, came in zip(seed_list, workers.map(outcome, *given), strict=True):
            runs.append(came.run)
            every += came.findings
            told = f"{came.events:,} events, {came.us_an_event:.2f} µs each, {len(came.run.alarms)} findings"
            print(f"seed {seed}: {told}", file=sys.stderr)
    if findings is not None:
        findings.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in every))
    return score(runs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", default="developing", help='"developing", "testing", or numbers with commas')
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--detectors", choices=sorted(DETECTORS), default="both", help="who watches")
    parser.add_argument("--jobs", type=int, default=1, help="platforms that are watched at a time")
    parser.add_argument(
        "--keep",
        type=Path,
        help="keep what came of each platform in this folder, and go on from there: of one state of the code",
    )
    parser.add_argument("--findings", type=Path, help="write every finding here, one JSON object a line")
    parser.add_argument("--write", type=Path, help="put the table into this page, between its marks")
    given = parser.parse_args()
    if given.write is not None and not (given.write.is_file() and BEGIN in given.write.read_text()):
        parser.error(f"--write: {given.write} is no page with the mark {BEGIN}")  # now, and not once all seeds were run
    chosen = seeds(given.seeds) if given.seeds.isalpha() else [int(one) for one in given.seeds.split(",")]
    table = report(chosen, given.apps, given.findings, given.detectors, given.jobs, given.keep).markdown()
    print(table)
    if given.write is not None:
        page = given.write.read_text()
        head, rest = page.split(BEGIN)
        tail = rest.split(END)[1]
        given.write.write_text(f"{head}{BEGIN}\n{table}\n{END}{tail}")


if __name__ == "__main__":
    main()
