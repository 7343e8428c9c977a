"""The scripts as one table with a step a row, so that sessions are laid out by index and never step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from monitor.simulate.scripts import SCRIPTS, Step

if TYPE_CHECKING:
    from monitor.simulate.letters import Integers


@dataclass(frozen=True)
class StepTable:
    """All steps of all scripts, and where each script begins."""

    frame: pl.DataFrame
    begins: Integers
    lengths: Integers
    gaps_ms: npt.NDArray[np.float64]
    chances: npt.NDArray[np.float64]
    agreed: npt.NDArray[np.bool_]  # only for people who agreed to the privacy guideline
    refused: npt.NDArray[np.bool_]
    names: tuple[str, ...]

    def script(self, name: str) -> int:
        return self.names.index(name)


def _halves(name: str, text: str | None) -> dict[str, str | None]:
    """A template before and after its ``#``; without one there is no tail."""
    if text is None:
        return {f"{name}_head": None, f"{name}_tail": None}
    head, hole, tail = text.partition("#")
    return {f"{name}_head": head, f"{name}_tail": tail if hole else None}


def _row(page: str, step: Step) -> dict[str, object]:
    path, _, query = (step.path or "").partition("?")
    return {
        "dataset": f"miniprogram.{step.dataset}",
        "action": step.action,
        "api": step.action if step.api else None,
        "page": page,
        "phase": step.phase,
        "handler": step.handler,
        **_halves("args", step.args),
        **_halves("path", path or None),
        **_halves("query", query or None),
        **_halves("message", step.message),
        "host": step.host,
        "method": step.method,
        "scope": step.scope,
        "level": step.level,
        "pay": step.pay,
        "tap": step.tap,
        "code": step.code,
        "resources": step.resources,
        "hidden": step.hidden,
        "gateway": step.dataset == "gateway",
        "server": step.dataset in ("gateway", "platform") or step.pay in ("notify", "query", "fulfil"),
        "called": step.api or step.dataset == "gateway",
    }


def step_table() -> StepTable:
    """The scripts, laid out."""
    rows = [(page, step) for page, steps in SCRIPTS.values() for step in steps]
    lengths = np.array([len(steps) for _, steps in SCRIPTS.values()], dtype=np.int64)
    return StepTable(
        frame=pl.DataFrame([_row(page, step) for page, step in rows], infer_schema_length=None),
        begins=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
        lengths=lengths,
        gaps_ms=np.array([float(step.gap_ms) for _, step in rows]),
        chances=np.array([step.chance for _, step in rows]),
        agreed=np.array([step.audience == "agreed" for _, step in rows]),
        refused=np.array([step.audience == "refused" for _, step in rows]),
        names=tuple(SCRIPTS),
    )
