"""What stands after ``--source``: an address of a source becomes the source."""

from __future__ import annotations

import difflib
import glob
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import parse_qsl, unquote

from monitor.sources import Source, SourceError
from monitor.sources.file import FileSource
from monitor.sources.lines import LINE_BYTES_MAX
from monitor.sources.rotation import is_rotated
from monitor.sources.stdin import StdinSource

FORMATS: Final = ("ndjson", "combined")
SCHEMES: Final = ("file", "stdin")
"""Those that `parse_source` reads; an address of Kafka is read by `monitor.sources.kafka.address`."""

_PARAMETERS: Final = {"file": ("follow", "format"), "stdin": ("format",)}
_SYNTAX: Final = "file:PATH[?follow][&format=combined], PATH also a pattern like logs/*.ndjson, or stdin:"


def parse_source(
    uri: str,
    *,
    run: str,
    format: str = "ndjson",  # noqa: A002 - the word of the configuration
    line_bytes_max: int = LINE_BYTES_MAX,
    stdin: BinaryIO | None = None,
) -> list[Source]:
    """The source of an address, or the several of a pattern, sorted by name.

    `run` names this run of the program, for inputs that cannot be read again; `format` holds where the address names
    none. Raises `SourceError` that says what is wrong and what would be right. A ``?`` in a file's name is written
    ``%3F``.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme not in SCHEMES:
        raise _wrong(uri, f"unknown scheme {scheme!r}" if colon else f"no scheme; did you mean file:{uri}")
    place, _, query = rest.partition("?")
    given = _parameters(uri, scheme, query)
    chosen = given.get("format", format)
    if chosen not in FORMATS:
        raise _wrong(uri, f"unknown format {chosen!r}{meant(chosen, FORMATS)}; allowed are {', '.join(FORMATS)}")
    if scheme == "stdin":
        if place not in {"", "-"}:
            raise _wrong(uri, f"nothing may stand after stdin:, found {place!r}")
        stream = stdin if stdin is not None else sys.stdin.buffer
        return [StdinSource(stream, run=run, format=chosen, line_bytes_max=line_bytes_max)]
    follow = given.get("follow", "false") == "true"
    paths = _paths(uri, _local(uri, place), follow=follow)
    return [FileSource(path, follow=follow, format=chosen, line_bytes_max=line_bytes_max) for path in paths]


def parameters(uri: str, query: str, allowed: Collection[str], syntax: str) -> dict[str, str]:
    """What stands after the ``?`` of an address; raises `SourceError` for what is not allowed or stands twice."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in allowed:
            told = f"unknown parameter {name!r}{meant(name, allowed)}; allowed are {', '.join(allowed)}"
            raise wrong(uri, told, syntax)
        if name in found:
            raise wrong(uri, f"parameter {name!r} stands twice", syntax)
        found[name] = value
    return found


def _parameters(uri: str, scheme: str, query: str) -> dict[str, str]:
    given = parameters(uri, query, _PARAMETERS[scheme], _SYNTAX)
    if "follow" in given:
        given["follow"] = given["follow"] or "true"
        if given["follow"] not in {"true", "false"}:
            raise _wrong(uri, f"follow is true or false, not {given['follow']!r}")
    return given


def _local(uri: str, place: str) -> str:
    """The path of a file address: relative, absolute, or after an empty host."""
    if place.startswith("//"):
        if not place.startswith("///"):
            raise _wrong(uri, f"a file is on this machine; write file:{place[2:]} or file:/{place[2:]}")
        place = place[2:]
    if not place:
        raise _wrong(uri, "no path")
    return unquote(place)


def _paths(uri: str, path: str, *, follow: bool) -> list[str]:
    """The files meant. A name that exists is meant literally, even with brackets in it."""
    if os.path.lexists(path):
        if Path(path).is_dir():
            raise _wrong(uri, f"{path} is a directory; name a file, or several as {path.rstrip('/')}/*.ndjson")
        return [path]
    if not glob.has_magic(path):
        if follow:
            return [path]
        raise _wrong(uri, f"there is no file {Path(path).absolute()}; check the path, or add ?follow to wait for it")
    found = sorted(name for name in glob.glob(path, recursive=True) if not Path(name).is_dir())  # noqa: PTH207 - names
    if not found:
        raise _wrong(uri, f"no file matches {path}")
    if follow:  # rotated files are read as part of the one that they were
        found = [name for name in found if not any(_was(name, other) for other in found)]
    return found


def _was(name: str, other: str) -> bool:
    return Path(name).parent == Path(other).parent and is_rotated(Path(name).name, Path(other).name)


def meant(found: str, allowed: Collection[str]) -> str:
    """A question after what is near one of what is allowed."""
    near = difflib.get_close_matches(found, allowed, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def wrong(uri: str, what: str, syntax: str) -> SourceError:
    """What is wrong with an address, and how one is written."""
    return SourceError(f"source {uri!r}: {what}. A source is {syntax}", retryable=False)


def _wrong(uri: str, what: str) -> SourceError:
    return wrong(uri, what, f"{_SYNTAX}, or kafka://HOST:PORT/TOPIC")
