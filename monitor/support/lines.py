"""The end of the daemon's log, as far as strangers may see it: what happened, with its numbers."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from monitor.support.parts import channel, source
from monitor.support.veil import LEFT_OUT, Veil
from monitor.telemetry import feedback, happenings, oncall, searching, standing, upkeep
from monitor.telemetry.happening import LEVELS, Happening

LINES_MAX: Final = 2_000
BYTES_READ_MAX: Final = 4 << 20
"""Of a log, so much of its end is read."""

INTEGER_MAX: Final = 1 << 53
STAMP: Final = re.compile(r"20[2-9]\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d(\.\d{1,9})?(Z|\+00:00)?", re.ASCII)

_NAMED: Final = {"source": source, "partition": source, "channel": channel}
"""Fields that name what has an alias."""

_MODULES: Final = (feedback, happenings, oncall, searching, standing, upkeep)
"""Where happenings are defined: loaded, so that all of them are known."""


def known_fields() -> dict[str, frozenset[str]]:
    """The fields of every happening that the program can tell, by its name."""
    assert _MODULES  # noqa: S101 - see there
    return {kind.name(): frozenset(kind.__struct_fields__) for kind in Happening.__subclasses__()}


def last_lines(log: IO[bytes]) -> list[str]:
    """The last lines of a log; of a file no more than its end is read."""
    if log.seekable():
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - BYTES_READ_MAX))
        text = log.read(BYTES_READ_MAX)
        lines = text.split(b"\n")[1 if size > BYTES_READ_MAX else 0 :]
    else:
        lines = list(deque(_bounded(log), maxlen=LINES_MAX))
    return [line.decode(errors="replace").rstrip("\r\n") for line in lines if line.strip()][-LINES_MAX:]


def _bounded(log: IO[bytes]) -> Iterator[bytes]:
    while line := log.readline(BYTES_READ_MAX // LINES_MAX):
        yield line


def log_of_process(process: int) -> Path | None:
    """The file to which a process writes its log, where it is one that can be read."""
    link = Path(f"/proc/{process}/fd/2")
    try:
        path = link.resolve(strict=True)
        return path if path.is_file() and os.access(path, os.R_OK) else None
    except OSError:
        return None


def lines_told(lines: Iterable[str], veil: Veil) -> str:
    """These lines, each as far as it may be seen."""
    known = known_fields()
    return "".join(f"{_line(line, known, veil)}\n" for line in lines)


def _line(line: str, known: Mapping[str, frozenset[str]], veil: Veil) -> str:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return veil.text(line)
    event = said.get("event") if isinstance(said, dict) else None
    if not isinstance(event, str) or event not in known:
        return veil.text(line)
    told: dict[str, Any] = {"event": event}
    if isinstance(said.get("timestamp"), str) and STAMP.fullmatch(said["timestamp"]):
        told["timestamp"] = said["timestamp"]
    if isinstance(said.get("level"), str) and said["level"] in LEVELS:
        told["level"] = said["level"]
    for name in sorted(known[event] & said.keys()):
        told[name] = _value(name, said[name], veil)
    left = len(said) - len(told)
    return json.dumps({**told, **({"left_out": left} if left > 0 else {})}, ensure_ascii=False)


def _value(name: str, value: object, veil: Veil) -> object:
    if isinstance(value, bool | float) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < INTEGER_MAX else LEFT_OUT
    if isinstance(value, str):
        return _NAMED[name](value, veil) if name in _NAMED else veil.text(value)
    return f"<{len(value)}>" if isinstance(value, list | dict) else LEFT_OUT
