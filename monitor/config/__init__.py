"""The configuration of the daemon: one file, overridden by the environment and the command line, checked as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import PrivateAttr, SecretStr, ValidationError

from monitor.config.keys import AllKeys
from monitor.config.layers import Layers, Origin
from monitor.config.lines import KeyPath
from monitor.config.outlined import outlined
from monitor.config.problems import SECRET, ConfigError, Problem, dotted, from_pydantic, shown
from monitor.config.values import Keys

__all__ = ["Config", "ConfigError", "Problem", "Setting", "load_config", "sound_part"]


ROUNDS_MAX: Final = 10
"""Times that what is wrong is left out of a configuration: one mistake may hide another."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value and where it came from: "default", "config.toml:12", "environment NAME" or "command line"."""

    key: str
    value: str
    origin: str


class Config(AllKeys):
    """The effective configuration. It never changes while the daemon runs, and prints no secret."""

    _layers: Layers = PrivateAttr(default_factory=Layers)

    def describe(self) -> list[Setting]:
        """Every key with its effective value and origin, in the order of ``config.toml``."""
        return [
            Setting(dotted(path), _printed(path, value), self._layers.origin(path).place)
            for path, value in _leaves(self)
        ]

    def outline(self) -> list[Setting]:
        """The same for strangers: numbers, switches and words that the program knows; of all else, that it was given and what kind of thing it is."""
        return [Setting(dotted(path), outlined(path, value), self._origin_kind(path)) for path, value in _leaves(self)]

    def _origin_kind(self, path: KeyPath) -> str:
        """Where a value came from, without the name of a file or variable."""
        origin = self._layers.origin(path)
        return f"{origin.kind}, line {origin.line}" if origin.line else origin.kind


def load_config(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> Config:
    """The configuration of a file (or of none), the environment and flags given as dotted keys.

    Raises `ConfigError` with everything that is wrong, in the order of the file.
    """
    layers = Layers()
    if path is not None:
        layers.read_file(path)
        layers.refuse_written_secrets()
    layers.read_environment(environ)
    layers.read_credentials(environ)
    layers.read_overrides(overrides or {})
    layers.read_secrets()
    config = _validated(layers)
    if layers.problems or config is None:
        order = {"file": 0, "environment": 1, "flag": 2, "default": 3}
        layers.problems.sort(key=lambda found: (order[found[0].kind], found[0].line))
        raise ConfigError(problem for _, problem in layers.problems)
    config._layers = layers  # noqa: SLF001 - our own class, from its own constructor
    return config


def sound_part(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Config | None:
    """A configuration that has mistakes, without them: what is wrong is left at its default. None where that is not enough.

    For looking at the rest of it, never for running.
    """
    layers = Layers()
    if path is not None:
        layers.read_file(path)
    layers.read_environment(environ)
    layers.read_credentials(environ)
    layers.read_overrides(overrides or {})
    layers.read_secrets()
    for _ in range(ROUNDS_MAX):
        try:
            return Config.model_validate_json(json.dumps(layers.values, default=str), strict=True)
        except ValidationError as refused:
            wrong = {tuple(error["loc"]) for error in refused.errors(include_url=False)}
            if not _leave_out(layers.values, wrong):
                return None
    return None


def _leave_out(values: dict[str, object], wrong: Iterable[KeyPath]) -> bool:
    """Take wrong keys out, and items of lists as wholes, the last of a list first; whether anything was there."""
    paths = {
        path[: next((place for place, step in enumerate(path) if isinstance(step, int)), len(path)) + 1]
        for path in wrong
    }
    order = sorted(paths, key=lambda path: [(isinstance(step, int), step) for step in path], reverse=True)
    return sum(_taken_out(values, path) for path in order) > 0


def _taken_out(inside: object, path: KeyPath) -> bool:
    step, rest = path[0], path[1:]
    if isinstance(inside, list) and isinstance(step, int) and step < len(inside):
        del inside[step]
        return True
    if not isinstance(inside, dict) or step not in inside:
        return False
    if not rest or not _taken_out(inside[step], rest):
        del inside[step]
    return True


def _validated(layers: Layers) -> Config | None:
    """JSON is the form in which lists may stand for tuples and texts for paths while all else stays strict."""
    try:
        return Config.model_validate_json(json.dumps(layers.values, default=str), strict=True)
    except ValidationError as refused:
        for error in refused.errors(include_url=False):
            if error["type"] == "missing" and not layers.whole:
                continue
            origin: Origin = layers.origin(error["loc"])
            layers.refuse(origin, from_pydantic(error, layers.place(error["loc"])))
        return None


def _leaves(table: Keys, path: KeyPath = ()) -> Iterator[tuple[KeyPath, object]]:
    for name in type(table).model_fields:
        value = getattr(table, name)
        here = (*path, name)
        if isinstance(value, Keys):
            yield from _leaves(value, here)
        elif isinstance(value, tuple) and value and isinstance(value[0], Keys):
            for number, item in enumerate(value):
                yield from _leaves(item, (*here, number))
        else:
            yield here, value


def _printed(path: KeyPath, value: object) -> str:
    if isinstance(value, SecretStr):
        return SECRET
    if path[-1] == "url" and isinstance(value, str):  # many receivers' paths are secrets themselves
        return _without_path(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return "" if value is None else shown(value)


def _without_path(url: str) -> str:
    parts = urlsplit(url)
    rest = f"/{SECRET}" if parts.path.strip("/") or parts.query else parts.path
    return f"{parts.scheme}://{parts.netloc}{rest}"
