"""The optional kernel: a package of its own (`native/`, in Rust) that does some things of ours several times faster.

Without it, or with ``MINIWATCH_NATIVE=0`` in the environment, everything is the same and slower.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import StrEnum
from importlib import import_module, resources
from typing import Any, Final

module: Any = None
"""The kernel, whether it may be used or not; None where it is not installed."""

with suppress(ImportError):
    module = import_module("miniwatch_native")

SOURCES: Final = resources.files("detectors").joinpath("kernel.sha256").read_text().strip()
"""The digest of the sources that a kernel must be built of: one of others may take lines for something else."""


class Standing(StrEnum):
    """Whether the kernel is used; if not, why."""

    USED = "used"
    OFF = "turned off by MINIWATCH_NATIVE"
    ABSENT = "not installed"
    FOREIGN = "built of other sources, therefore not used"


def standing() -> Standing:
    """As it is now: the environment may have changed."""
    if module is None:
        return Standing.ABSENT
    if getattr(module, "SOURCES", None) != SOURCES:
        return Standing.FOREIGN
    return Standing.OFF if os.environ.get("MINIWATCH_NATIVE") == "0" else Standing.USED


def available() -> bool:
    """Whether the kernel is used."""
    return standing() is Standing.USED
