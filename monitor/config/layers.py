"""The layers a configuration is made of, one over the other: the file, the environment, the command line.

What comes out is plain data for validation, and for every key where its value came from.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args, get_origin

from pydantic import SecretStr

from monitor.config.credentials import FOLDER, credentials_in
from monitor.config.credentials import PREFIX as CREDENTIALS
from monitor.config.lines import KeyPath, read_toml
from monitor.config.problems import (
    SECRET,
    Problem,
    dotted,
    field_at,
    holds_secret,
    names_file,
    shown,
    table_at,
    unknown_key,
)

PREFIX: Final = "MINIWATCH_"
NOT_KEYS: Final = frozenset({"MINIWATCH_CONFIG", "MINIWATCH_NATIVE"})
"""Variables of ours that name no key."""

FILE_BYTES_MAX: Final = 256 * 1024
SECRET_BYTES_MAX: Final = 64 * 1024

_KUBERNETES = re.compile(
    r"MINIWATCH_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes sets in every pod beside a Service named miniwatch…: not meant for us."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from; `line` puts problems in the order of the file."""

    kind: Literal["default", "file", "environment", "flag"]
    place: str
    line: int = 0


@dataclass
class Layers:
    """Values as read so far, their origins, and what was wrong on the way."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: list[tuple[Origin, Problem]] = field(default_factory=list)
    whole: bool = True  # false when part of the file could not be read, so that absences prove nothing

    def origin(self, path: KeyPath) -> Origin:
        """Where a key, or the nearest table around it, was written."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return Origin("default", "default")

    def place(self, path: KeyPath) -> str:
        return f"{self.origin(path).place} {dotted(path)}"

    def refuse(self, origin: Origin, problem: Problem) -> None:
        self.problems.append((origin, problem))

    def read_file(self, path: Path) -> None:
        """The lowest layer: the TOML file."""
        whole_file = Origin("file", str(path))
        try:
            with path.open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            problem = Problem(f"{path}:{line}", "bytes that are not UTF-8", "UTF-8 text", "save the file as UTF-8")
        except OSError as error:
            problem = Problem(str(path), _unread(error), "a file that can be read", "correct the path")
        else:
            if len(content) <= FILE_BYTES_MAX:
                self._take_text(path, text)
                return
            problem = Problem(str(path), "a very large file", f"at most {FILE_BYTES_MAX} bytes", "is it the right file")
        self.whole = False
        self.refuse(whole_file, problem)

    def _take_text(self, path: Path, text: str) -> None:
        self.values, lines, broken = read_toml(text)
        self.origins = {key: Origin("file", f"{path}:{line}", line) for key, line in lines.items()}
        self.whole = not broken
        written = text.split("\n")
        for line, what in broken:
            place = f"{path}:{line}"
            key = written[line - 1].partition("=")[0].strip()  # never the value: it may be a secret
            found = f"{what[:1].lower()}{what[1:]} ({key[:40]})"
            problem = Problem(place, found, "valid TOML", "write key = value, with quotes around text")
            self.refuse(Origin("file", place, line), problem)

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """The middle layer: ``MINIWATCH_TABLE__KEY``, and systemd's state directory as a default."""
        state = environ.get("STATE_DIRECTORY", "").split(":")[0]
        if state and "data_dir" not in self.values:
            self._put(("data_dir",), state, Origin("environment", "environment STATE_DIRECTORY"))
        for name in sorted(environ):
            if name.startswith(PREFIX) and name not in NOT_KEYS and not _KUBERNETES.fullmatch(name):
                origin = Origin("environment", f"environment {name}")
                path = self._path(name.removeprefix(PREFIX).lower().split("__"))
                value = _parsed(path, environ[name])
                if isinstance(value, str) and _is_list_of_text(path):
                    self.refuse(origin, _no_list(name, value))
                elif field_at(path) is None or not self._put(path, value, origin):
                    self.refuse(origin, unknown_key(origin.place, path))

    def read_credentials(self, environ: Mapping[str, str]) -> None:
        """What a supervisor has handed over as files: over what the configuration file says of it, under what variables say."""
        try:
            given = credentials_in(environ)
        except OSError as error:
            variable = f"environment {FOLDER}"
            found = f"{environ[FOLDER]}: {_unread(error)}"
            remedy = "have whoever starts this hand over what can be read"
            problem = Problem(variable, found, "a folder of credentials that can be read", remedy)
            self.refuse(Origin("environment", variable), problem)
            return
        for name, file in given.items():
            origin = Origin("environment", f"credential {name}")
            path = self._path(name.removeprefix(CREDENTIALS).split("."))
            declared = field_at(path)
            if self.origin(path).kind in {"environment", "flag"}:
                continue
            is_known = declared is not None and (holds_secret(declared) or names_file(declared))
            value = _secret_in(file, origin.place) if holds_secret(declared) else str(file)
            if isinstance(value, Problem):
                self.refuse(origin, value)
            elif not (is_known and self._put(path, value, origin)) and name.startswith(CREDENTIALS):
                self.refuse(origin, unknown_key(origin.place, path))

    def read_overrides(self, overrides: Mapping[str, object]) -> None:
        """The highest layer: flags, as dotted keys. Lists of tables are replaced whole."""
        for key, value in overrides.items():
            self._put(tuple(key.split(".")), value, Origin("flag", "command line"))

    def _path(self, parts: list[str]) -> KeyPath:
        """Items of lists of tables are named by number, or by their `name` where they have one."""
        path: KeyPath = ()
        inside: object = self.values
        for part in parts:
            step: str | int = part
            if isinstance(inside, list):
                names = [_variable_name(item) for item in inside]
                number = names.index(part) if part in names else -1
                step = int(part) if part.isdecimal() and len(part) < 4 else number
            path = (*path, step)
            inside = _child(inside, step)
        return path

    def _put(self, path: KeyPath, value: object, origin: Origin) -> bool:
        inside: object = self.values
        for number, step in enumerate(path[:-1]):
            child = _child(inside, step)
            if child is None and isinstance(inside, dict) and table_at(path[: number + 1]) is not None:
                child = inside[step] = {}
            inside = child
        if not isinstance(inside, dict):
            return False
        inside[path[-1]] = value
        self.origins = {key: known for key, known in self.origins.items() if key[: len(path)] != path}
        self.origins[path] = origin
        return True

    def refuse_written_secrets(self) -> None:
        """No secret stands in the configuration file: it is copied, shown and kept in version control."""
        for path, table in _secrets_of(self.values):
            if path[-1] in table:
                del table[str(path[-1])]
                remedy = f"put it into a file of its own and name that in {path[-1]}_file"
                self.refuse(self.origin(path), Problem(self.place(path), SECRET, "no secret in this file", remedy))

    def read_secrets(self) -> None:
        """Read each secret that is not in the environment from the file that is named for it."""
        for path, table in _secrets_of(self.values):
            name, file_path = str(path[-1]), (*path[:-1], f"{path[-1]}_file")
            file = table.get(f"{name}_file")
            if name in table or not isinstance(file, str) or not file:
                continue
            found = _secret_in(Path(file), self.place(file_path))
            if isinstance(found, Problem):
                self.refuse(self.origin(file_path), found)
            else:
                table[name] = found
                self.origins[path] = self.origin(file_path)


def _secret_in(path: Path, place: str) -> str | Problem:
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            content = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        return Problem(place, f"{path}: {_unread(error)}", "a file that can be read", "create it or correct the path")
    if mode & 0o007:
        found = f"{path}, open to everyone (mode {mode & 0o777:03o})"
        return Problem(place, found, "a file that only its owner and group can read", f"run chmod 640 {path}")
    try:
        secret = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(content) > SECRET_BYTES_MAX:
        return Problem(place, f"no usable secret in {path}", "one line of text", "write the secret into it")
    return secret


def _parsed(path: KeyPath, text: str) -> object:
    """A variable's text as the key's kind of value: text stays text, the rest is read as TOML."""
    declared = field_at(path)
    kind = None if declared is None else declared.annotation
    if kind in (str, Path) or get_origin(kind) is Literal or SecretStr in (kind, *get_args(kind)):
        return text
    try:
        read = tomllib.loads(f"v = {text.strip()}")
    except tomllib.TOMLDecodeError:
        return text
    return read["v"] if len(read) == 1 else text


def _is_list_of_text(path: KeyPath) -> bool:
    """Whether the key at this place, not an item of it, is a list of texts or paths."""
    declared = None if isinstance(path[-1], int) else field_at(path)
    if declared is None or get_origin(declared.annotation) is not tuple:
        return False
    item = get_args(declared.annotation)[0]
    return (get_args(item) or (item,))[0] in (str, Path)


def _no_list(name: str, text: str) -> Problem:
    """A variable that should hold a list and does not, with the spelling of the list that may be meant."""
    meant = [part.strip(" \"'") for part in text.strip(" []").split(",")]
    remedy = f"write {name}='{json.dumps(meant, ensure_ascii=False)}'"
    return Problem(f"environment {name}", shown(text), "a list", remedy)


def _child(inside: object, step: str | int) -> object:
    if isinstance(inside, list) and isinstance(step, int):
        return inside[step] if 0 <= step < len(inside) else None
    return inside.get(step) if isinstance(inside, dict) else None


def _variable_name(item: object) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    return re.sub(r"\W", "_", name).lower() if isinstance(name, str) else ""


def _secrets_of(values: dict[str, object]) -> list[tuple[KeyPath, dict[str, object]]]:
    """The place of every secret that the tables now there may have, and its table."""
    found = []
    for path, table in _tables_of(values):
        keys = table_at(path)
        names = keys.model_fields if keys is not None else ()
        found += [((*path, name), table) for name in names if holds_secret(field_at((*path, name)))]
    return found


def _tables_of(values: object, path: KeyPath = ()) -> list[tuple[KeyPath, dict[str, object]]]:
    if isinstance(values, list):
        return [found for number, item in enumerate(values) for found in _tables_of(item, (*path, number))]
    if not isinstance(values, dict):
        return []
    return [(path, values), *(found for key, item in values.items() for found in _tables_of(item, (*path, key)))]


def _unread(error: OSError) -> str:
    """Why a file was not read, as the end of a sentence."""
    return "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
