"""Memory aside from all other: what is asked of the system for one large body alone goes back as soon as nobody has it.

Among everything else, large bodies leave holes into which the next ones do not fit, and every thread keeps what it once needed.
"""

from __future__ import annotations

import mmap
from typing import Final

ASIDE_BYTES: Final = 1 << 20
"""What is larger is worth memory of its own."""

Body = bytes | memoryview


class Aside:
    """Takes blocks one behind the other, so many bytes at most; pages that nothing is written to cost nothing."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._whole = mmap.mmap(-1, max(bytes_max, 1))

    def add(self, block: Body) -> bool:
        """Whether there was room for it; else nothing was added."""
        if self._whole.tell() + len(block) > self._bytes_max:
            return False
        self._whole.write(block)
        return True

    def content(self) -> memoryview:
        """What was added until now."""
        return memoryview(self._whole)[: self._whole.tell()]
