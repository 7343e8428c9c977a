"""A process that watches a stream: what it does, and what libraries and the allocators are told before anything heavy is loaded."""

from __future__ import annotations

import ctypes
import os
import socket
from enum import StrEnum
from typing import Final

_DEFAULTS: Final = {
    # One core a process: a second thread costs a tenth more processor time for little; partitions are for more cores.
    "POLARS_MAX_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Polars' allocator keeps what a turn gave back for the next; asking the system anew took a fifth of all time.
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:10000,muzzy_decay_ms:10000",
}

KEPT_BYTES_MAX: Final = 1 << 28
"""So much free memory at its end the C library keeps for the next turn; a block of more goes back at once."""

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)
_MMAP_THRESHOLD: Final = -3


class Role(StrEnum):
    """What one process does: all of it; detect what partitions hold; answer what was detected; or only show it to people and programs."""

    ALL = "all"
    DETECT = "detect"
    RESPOND = "respond"
    API = "api"


def holder_name() -> str:
    """The name of this process among all that share the record."""
    return f"{socket.gethostname()}:{os.getpid()}"


def prepare() -> None:
    """To be called before Polars and NumPy are imported. What the environment says already stays."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # of the GNU C library; others have none, and need none
    # An older library takes no such threshold for single blocks; setting the other alone would make things worse.
    if mallopt is not None and mallopt(_MMAP_THRESHOLD, KEPT_BYTES_MAX):
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES_MAX)


def give_back() -> None:
    """Give back to the system what the C library keeps; for after what takes much memory and comes seldom."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
