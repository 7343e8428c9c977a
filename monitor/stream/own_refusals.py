"""Events that are effects of our own enforcement: our gateway's refusals. They are archived and counted, and no detector sees them.

A refusal that a detector saw would be a finding, the finding a longer or higher act, and the act more refusals. Ours are known by
``event.dataset: miniprogram.gateway`` with ``event.action: refuse``; a gateway that refuses on its own account says otherwise.
"""

from __future__ import annotations

from typing import Final

import polars as pl

DATASET: Final = "miniprogram.gateway"
ACTION: Final = "refuse"

IS_REFUSAL: Final = ((pl.col("event.dataset") == DATASET) & (pl.col("event.action") == ACTION)).fill_null(value=False)


def without_refusals(frame: pl.DataFrame) -> pl.DataFrame:
    """The events that are not our own refusals; whole frames are not copied."""
    refused = frame.select(refused=IS_REFUSAL)["refused"]
    return frame.filter(~refused) if refused.any() else frame
