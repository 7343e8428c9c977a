"""Tells what a committed turn has brought: log lines and metrics, after it is on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from detectors.detector import Detector, HoldsBack
from detectors.event import ARRIVAL, DUPLICATE, FUTURE, LATE, MICROSECONDS, PARTITION
from detectors.finding import Finding
from monitor.decoders import DeadLetter, lines_of
from monitor.intake import Piece
from monitor.intake.timeline import BEGINNING
from monitor.stores import Turn
from monitor.stream.own_refusals import IS_REFUSAL
from monitor.telemetry import Telemetry, happenings, upkeep
from monitor.telemetry.metrics import EVENT_LATENCY
from playbooks.decision import Decision, DecisionState
from playbooks.incident import Incident


@dataclass(frozen=True, slots=True)
class Done:
    """A turn that is committed, and what it was made of: its events in `frame`, its new findings in `fresh`."""

    turn: Turn
    pieces: Sequence[Piece]
    frame: pl.DataFrame
    fresh: Sequence[Finding]
    detectors: Sequence[Detector]
    stages_s: dict[str, float]
    watermark: int
    lag_bytes: Mapping[str, int | None]


class TurnTeller:
    """Tells of turns, one after the other. `now` is the present in microseconds; None where the run lives on the stream's own clock."""

    def __init__(self, telemetry: Telemetry, now: Callable[[], int | None] = lambda: None) -> None:
        self._telemetry = telemetry
        self._now = now
        self.leaves = False  # what is found is left to be answered by another process
        self._forgotten: dict[str, int] = {}
        self._held_back: dict[str, int] = {}

    def tell(self, done: Done) -> None:
        """All of it, each of its own kind."""
        latencies, latency_s = _latencies(done.frame[ARRIVAL].to_numpy(), self._now())
        self._telemetry.emit(
            happenings.TurnCommitted(
                turn=done.turn.number, stages_s=done.stages_s, latencies=latencies, latency_s=latency_s
            )
        )
        for piece in done.pieces:
            self._tell_piece(done, piece)
        self._tell_labels(done.frame)
        for finding in done.fresh:
            self.tell_finding(finding)
        self.tell_answers(done.turn)
        self.tell_bounds(done.detectors)

    def begin(self, detectors: Sequence[Detector]) -> None:
        """Go on from what detectors remember: it was told by who watched before."""
        for detector in detectors:
            self._telemetry.emit(happenings.DetectorKnown(detector=detector.name))
            self._forgotten[detector.name] = detector.forgotten
            if isinstance(detector, HoldsBack):
                self._held_back[detector.name] = detector.held_back

    def tell_bounds(self, detectors: Sequence[Detector]) -> None:
        """What detectors have given up, and not told, since this was asked last."""
        emit = self._telemetry.emit
        for detector in detectors:
            if detector.name not in self._forgotten:  # it came with other rules, or another model
                emit(happenings.DetectorKnown(detector=detector.name))
            forgotten = detector.forgotten - self._forgotten.get(detector.name, 0)
            if forgotten:
                emit(happenings.DetectorForgot(detector=detector.name, things=forgotten))
            self._forgotten[detector.name] = detector.forgotten
            if isinstance(detector, HoldsBack):
                held_back = detector.held_back - self._held_back.get(detector.name, 0)
                if held_back > 0:  # another model in force begins with none
                    emit(happenings.FindingsHeldBack(detector=detector.name, findings=held_back))
                self._held_back[detector.name] = detector.held_back

    def tell_finding(self, finding: Finding) -> None:
        """What was found."""
        said: dict[str, Any] = {
            "finding": finding.id,
            "rule": finding.rule.id,
            "kind": finding.kind,
            "severity": finding.severity,
            "scope": finding.entity.scope,
            "value": finding.entity.value,
            "title": finding.title,
            "shadow": finding.shadow,
        }
        self._telemetry.emit(happenings.FindingLeft(**said) if self.leaves else happenings.FindingMade(**said))

    def tell_answers(self, turn: Turn) -> None:
        """What was decided about what was found."""
        emit = self._telemetry.emit
        for word in turn.considered:
            emit(happenings.FindingConsidered(finding=word.finding, reason=word.reason))
        for incident in _opened(turn):
            emit(
                happenings.IncidentOpened(
                    incident=incident.id,
                    severity=incident.severity,
                    scope=incident.entity.scope,
                    value=incident.entity.value,
                    title=incident.title,
                )
            )
        for decision in turn.decisions:
            self._tell_decision(decision)
        for standing in turn.standings:
            emit(upkeep.RuleShadowed(rule=standing.rule or "", reason=standing.reason))

    def _tell_piece(self, done: Done, piece: Piece) -> None:
        source = piece.progress.partition
        self._telemetry.emit(
            happenings.LinesTaken(
                turn=done.turn.number,
                source=source,
                received=piece.lines,
                processed=piece.frame.height,
                bytes=piece.bytes,
                watermark=done.watermark if done.watermark > BEGINNING else None,
                lag_bytes=done.lag_bytes.get(source),
            )
        )
        letters: dict[str, list[DeadLetter]] = {}
        for letter in piece.letters:
            letters.setdefault(letter.reason, []).append(letter)
        for reason, alike in letters.items():
            self._telemetry.emit(
                happenings.DeadLettered(source=source, reason=reason, lines=lines_of(alike), position=alike[0].position)
            )

    def _tell_labels(self, frame: pl.DataFrame) -> None:
        """How many events of each source came late, claimed a time far ahead, or were seen before."""
        labels = pl.col(LATE, FUTURE, DUPLICATE).sum()
        labelled = frame.group_by(PARTITION, maintain_order=True).agg(labels, refused=IS_REFUSAL.sum())
        for source, late, future, duplicate, refused in labelled.iter_rows():
            if refused:
                self._telemetry.emit(happenings.OwnRefusals(source=source, events=refused))
            if late:
                self._telemetry.emit(happenings.LateEvents(source=source, events=late))
            if future:
                self._telemetry.emit(happenings.FutureEvents(source=source, events=future))
            if duplicate:
                self._telemetry.emit(happenings.DuplicateEvents(source=source, events=duplicate))

    def _tell_decision(self, decision: Decision) -> None:
        self._telemetry.emit(
            happenings.DecisionMade(
                decision=decision.id,
                type=decision.type,
                tier=decision.tier,
                mode=decision.mode,
                state=decision.state,
                reason=decision.reason,
                scope=decision.scope,
                value=decision.value,
                rule=decision.rule,
            )
        )
        if decision.state in (DecisionState.HELD, DecisionState.AWAITING_APPROVAL):
            self._telemetry.emit(
                happenings.Held(
                    decision=decision.id, type=decision.type, reason=decision.reason, explanation=decision.explanation
                )
            )


def _opened(turn: Turn) -> list[Incident]:
    """Incidents all of whose findings are of this turn."""
    counted = Counter(word.incident for word in turn.considered)
    return [incident for incident in turn.incidents if incident.findings == counted[incident.id]]


def _latencies(arrived: np.ndarray[Any, Any], now: int | None) -> tuple[tuple[int, ...], float]:
    """How many events took how long until now, by the buckets of their metric, and the sum in seconds; nothing without a present."""
    if now is None or not len(arrived):
        return (), 0.0
    seconds = np.maximum((now - arrived) / MICROSECONDS, 0.0)
    buckets = np.searchsorted(EVENT_LATENCY.buckets, seconds)
    counts = np.bincount(buckets, minlength=len(EVENT_LATENCY.buckets) + 1)
    return tuple(map(int, counts)), float(seconds.sum())
