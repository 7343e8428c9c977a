"""Log lines: for people on a terminal, JSON everywhere else; UTC, on one line each, and without secrets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

import msgspec
import structlog
from pydantic import SecretStr

from monitor.telemetry.happening import LEVELS, Happening, Level
from monitor.telemetry.upkeep import LibraryWarned

VALUE_CHARACTERS_MAX: Final = 2000
"""Longest text of one field of a line; more is cut, with its length told."""

LineWriter = Callable[[Level, str, dict[str, object]], None]
"""Writes one line of a level, a name and fields."""

_SECRET_NAME = re.compile(
    r"secret|token|passw|authorization|cookie|credential|private_?key|api_?key|session_?key", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def line_writer(level: Level, log_format: str, stream: TextIO) -> LineWriter:
    """A writer of lines at or above a level, in the given format or the one that suits the stream."""
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), sort_keys=False)
        if console
        else structlog.processors.JSONRenderer(serializer=_json)
    )
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_secrets,
        _in_bounds,
        _in_order,
        renderer,
    ]
    logger = structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=False,
    )

    def write(level: Level, name: str, fields: dict[str, object]) -> None:
        logger.log(LEVELS[level], name, **fields)

    return write


def without_secrets(_logger: object, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """A processor: what is called a secret, or is one by type, is never written."""
    return {key: _hidden(key, value) for key, value in line.items()}


def _hidden(name: str, value: object) -> object:
    if isinstance(value, SecretStr) or (_SECRET_NAME.search(name) and value not in (None, "")):
        return "<secret>"
    if isinstance(value, Mapping):
        return {str(key): _hidden(str(key), inner) for key, inner in value.items()}
    return value


def _in_bounds(_logger: object, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """A processor: no text of an app's making can forge a line, drive a terminal or fill the disk."""
    return {key: _plain(value) if isinstance(value, str) else value for key, value in line.items()}


def _in_order(_logger: object, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """A processor: when, how bad and what come first, so that lines can be read down the page."""
    first = ("timestamp", "level", "event")
    return {key: line[key] for key in first} | {key: value for key, value in line.items() if key not in first}


def _plain(text: str) -> str:
    if len(text) > VALUE_CHARACTERS_MAX:
        text = f"{text[:VALUE_CHARACTERS_MAX]}… ({len(text)} characters)"
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def _json(value: object, **_options: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


class _Adopted(logging.Handler):
    """Turns the records of the standard library's logging into happenings."""

    def __init__(self, emit: Callable[[Happening], None]) -> None:
        super().__init__(logging.WARNING)
        self._emit = emit

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self._emit(LibraryWarned(library=record.name, message=record.getMessage(), error=repr(cause) if cause else ""))


def adopt_library_lines(emit: Callable[[Happening], None]) -> None:
    """Replace the handlers of the standard library's root logger by one that makes happenings of warnings."""
    root = logging.getLogger()
    root.handlers[:] = [_Adopted(emit)]
    root.setLevel(logging.WARNING)
