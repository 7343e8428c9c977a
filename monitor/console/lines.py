"""Lines that are made of a body, one behind the other."""

from __future__ import annotations

from typing import Final

from monitor.console.access import Refused
from monitor.spool.aside import ASIDE_BYTES, Aside, Body

_RUN_BYTES: Final = 256 << 10
_LINE_BYTES: Final = 64  # what one takes of memory beside what is in it


class Outgrown(Refused):
    """More bytes of lines than may be made of a body."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(413, f"more than {bytes_max} bytes of events; send it in parts")


class MadeLines:
    """Takes lines, so many bytes at most, and puts `end` behind each; many are put aside."""

    def __init__(self, bytes_max: int, end: bytes = b"") -> None:
        self._bytes_max = bytes_max
        self._end = end
        self._run: list[Body] = []
        self._run_bytes = 0
        self._run_bytes_max = ASIDE_BYTES  # few are joined where they are: new pages cost more than that
        self._aside: Aside | None = None

    def add(self, line: Body) -> None:
        """One more. Raises `Outgrown`."""
        self._run.append(line)
        self._run_bytes += len(line) + _LINE_BYTES
        if self._run_bytes > self._run_bytes_max:
            self._put_aside()

    def content(self) -> Body:
        """All of them. Raises `Outgrown`."""
        if self._aside is not None:
            self._put_aside()
            return self._aside.content()
        whole = self._joined()
        if len(whole) > self._bytes_max:
            raise Outgrown(self._bytes_max)
        return whole

    def _put_aside(self) -> None:
        if self._aside is None:
            self._aside = Aside(self._bytes_max)
            self._run_bytes_max = _RUN_BYTES
        last = self._run.pop() if self._run and len(self._run[-1]) > _RUN_BYTES else None
        blocks = (self._joined(),) if last is None else (self._joined(), last, self._end)
        if not all(self._aside.add(block) for block in blocks):
            raise Outgrown(self._bytes_max)
        self._run.clear()
        self._run_bytes = 0

    def _joined(self) -> bytes:
        """The last ones, each with its end."""
        return self._end.join((*self._run, b"")) if self._run else b""
