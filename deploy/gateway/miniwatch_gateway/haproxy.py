"""HAProxy's maps: in the running process, through its socket, and on disk, for the next start.

Names and values are made by `tables`: printable ASCII, no name with a space, every value ending with a brace or a name.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from miniwatch_gateway.tables import MAPS, Tables

PART_BYTES_MAX: Final = 8000
"""What is said to HAProxy at once: half of its buffer."""

ANSWER_BYTES_MAX: Final = 1_000_000
TIMEOUT_S: Final = 5.0
_PROMPT: Final = b"\n> "


class HaproxyError(Exception):
    """HAProxy is not there, or does not do what it is told."""


class MapFiles:
    """The folder with a file for each map, which HAProxy reads when it starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written: Tables = {}

    def place(self, name: str) -> str:
        """What HAProxy calls a map."""
        return str(self._folder / f"{name}.map")

    def write(self, tables: Tables) -> None:
        """Replace the files of those maps that have changed; whoever reads meanwhile finds the old one or the new one whole."""
        for name in MAPS:
            if self._written.get(name) != tables[name]:
                path = Path(self.place(name))
                fresh = path.with_suffix(".new")
                fresh.write_text("".join(f"{key} {value}\n" for key, value in tables[name].items()))
                fresh.chmod(0o644)
                fresh.replace(path)
                self._written[name] = dict(tables[name])

    def prepare(self) -> None:
        """Make what is missing, empty: HAProxy does not start without the files."""
        for name in MAPS:
            Path(self.place(name)).touch(0o644)


class Runtime:
    """The maps of the process that answers at a socket. What it has been told is remembered, so that only changes are said."""

    def __init__(self, address: Path, files: MapFiles) -> None:
        self._address = address
        self._files = files
        self._process = ""
        self._told: Tables = {}

    def apply(self, tables: Tables) -> None:
        """Make the maps what `tables` says; those of a process that has not been told anything yet are replaced whole.

        Raises `HaproxyError`; then nothing is remembered, and the next time all is said again.
        """
        told, self._told = self._told, {}
        try:
            with _Talk(self._address) as talk:
                process = _process(talk("show info"))
                for name in MAPS:
                    place = self._files.place(name)
                    if process != self._process or name not in told:
                        _replace(talk, place, tables[name])
                    else:
                        _change(talk, place, told[name], tables[name])
        except OSError as error:
            raise HaproxyError(f"{self._address}: {error}") from None
        self._process, self._told = process, {name: dict(tables[name]) for name in MAPS}


class _Talk:
    """One conversation: a command, and what is answered. Raises `HaproxyError` where that is a complaint."""

    def __init__(self, address: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_S)
        self._address = str(address)

    def __enter__(self) -> Self:
        try:
            self._socket.connect(self._address)
            self._send("prompt")
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def __call__(self, command: str) -> str:
        return self._send(command)

    def quiet(self, *commands: str) -> None:
        """Commands that are answered by nothing when they are done."""
        if answer := self._send(";".join(commands), len(commands)):
            raise HaproxyError(f"{commands[0].partition(chr(10))[0][:80]}: {answer[:200]}")

    def _send(self, command: str, prompts: int = 1) -> str:
        self._socket.sendall(command.encode("ascii") + b"\n")
        answer = b""
        while not answer.endswith(_PROMPT) or answer.count(_PROMPT) < prompts:
            part = self._socket.recv(65536)
            if not part:
                raise HaproxyError("the conversation was ended")
            answer += part
            if len(answer) > ANSWER_BYTES_MAX:
                raise HaproxyError("an answer has no end")
        return answer.replace(_PROMPT, b"").lstrip(b"\n+ ").rstrip(b"\n").decode("utf-8", "replace")


def _process(info: str) -> str:
    """What tells one process from the next."""
    found = re.search(r"(?m)^Pid: (\d+)$", info)
    since = re.search(r"(?m)^Start_time_sec: (\d+)$", info)
    if found is None:
        raise HaproxyError("it does not say which process it is")
    return found.group(1) + (f"/{since.group(1)}" if since else "")


def _replace(talk: _Talk, place: str, wanted: Mapping[str, str]) -> None:
    """All lines at once: requests see the old map or the new one."""
    version = re.fullmatch(r"New version created: (\d+)", talk(f"prepare map {place}"))
    if version is None:
        raise HaproxyError(f"no map {place} can be prepared")
    _add(talk, f"@{version.group(1)} {place}", wanted)
    talk.quiet(f"commit map @{version.group(1)} {place}")


def _change(talk: _Talk, place: str, before: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Only what differs: first what is new or stricter, then what has gone."""
    _add(talk, place, {key: value for key, value in wanted.items() if key not in before})
    changed = {key: value for key, value in wanted.items() if before.get(key, value) != value}
    _say(talk, (f"set map {place} {key} {_escaped(value)}" for key, value in changed.items()))
    _say(talk, (f"del map {place} {key}" for key in before if key not in wanted))


def _add(talk: _Talk, place: str, lines: Mapping[str, str]) -> None:
    for part in _parts((f"{key} {value}\n" for key, value in lines.items()), PART_BYTES_MAX):
        talk.quiet(f"add map {place} <<\n{''.join(part)}")


def _say(talk: _Talk, commands: Iterable[str]) -> None:
    for part in _parts(commands, PART_BYTES_MAX):
        talk.quiet(*part)


def _escaped(value: str) -> str:
    return re.sub(r"([\\ ;])", r"\\\1", value)


def _parts(texts: Iterable[str], size_max: int) -> Iterator[list[str]]:
    """Texts in order, as many together as fit."""
    part: list[str] = []
    size = 0
    for text in texts:
        if part and size + len(text) > size_max:
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text) + 1
    if part:
        yield part
