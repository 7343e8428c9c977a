"""Playbook files: those that come with the program and those in the operator's folders."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from playbooks.ladder import Playbook
from playbooks.playbook import parse_playbooks
from playbooks.reading import Problem

PLAYBOOK_BYTES_MAX: Final = 1 << 18
SUFFIXES: Final = (".yaml", ".yml")


class LoadedPlaybooks(msgspec.Struct, frozen=True):
    """The playbooks that may speak, in the order in which they are asked, and what is wrong with the other files."""

    playbooks: tuple[Playbook, ...] = ()
    problems: tuple[Problem, ...] = ()


def builtin_playbooks() -> Path:
    """The folder of the playbooks that come with the program."""
    return Path(str(resources.files("playbooks"))) / "library"


def load_playbooks(folders: Sequence[Path]) -> LoadedPlaybooks:
    """All ``*.yaml`` and ``*.yml`` below some folders; a file that cannot be read costs itself only."""
    sources, problems = _read(folders)
    playbooks, found = parse_playbooks(sources)
    return LoadedPlaybooks(playbooks, (*problems, *found))


def files_of(folders: Sequence[Path]) -> dict[str, Path]:
    """The file of each playbook, by its name: of two with one name the first, for the second is refused."""
    sources, _ = _read(folders)
    return {
        playbook.name: Path(path) for path, text in reversed(sources) for playbook in parse_playbooks([(path, text)])[0]
    }


def _read(folders: Sequence[Path]) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Path and text of every file, and why others cannot be read."""
    sources: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES):
        try:
            if path.stat().st_size > PLAYBOOK_BYTES_MAX:
                raise OSError(f"larger than {PLAYBOOK_BYTES_MAX} bytes")  # noqa: TRY301 - told like the others
            sources.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            advice = "Correct it, or take it out of the folder."
            problems.append(Problem(str(path), 1, str(error), "a readable file of UTF-8 text", advice))
    return sources, problems
