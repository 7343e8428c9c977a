"""A folder of rules, twins and playbooks becomes a pack: only if all of it could be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from monitor.packs.archive import described, sealed
from monitor.packs.manifest import (
    ALL_BYTES_MAX,
    FILE_BYTES_MAX,
    FILES_MAX,
    FORMAT,
    Bounds,
    Manifest,
    PackRefused,
    is_safe,
)
from monitor.playbook_files import load_playbooks
from monitor.rules import PLAIN, RuleFolder, RuleSettings, load_rules
from monitor.signing import SigningKey, fingerprint

RULES: Final = "rules"
PLAYBOOKS: Final = "playbooks"
SUFFIXES: Final = {RULES: (".yml", ".yaml", ".jsonl"), PLAYBOOKS: (".yaml", ".yml")}


def problems_in(folder: Path, settings: RuleSettings = PLAIN) -> list[str]:
    """Why the rules and playbooks of a folder laid out as a pack is could not be loaded; their twins are run."""
    found: list[str] = []
    if (folder / RULES).is_dir():
        loaded = load_rules([RuleFolder(folder / RULES)], settings=settings)
        found += map(str, loaded.problems)
    if (folder / PLAYBOOKS).is_dir():
        found += map(str, load_playbooks([folder / PLAYBOOKS]).problems)
    return found


def packed_folder(
    folder: Path,
    key: SigningKey,
    *,
    name: str,
    version: int,
    created: int,
    bounds: Bounds | None = None,
    settings: RuleSettings = PLAIN,
) -> bytes:
    """The signed pack of a folder that holds `rules/`, `playbooks/` or both; raises `PackRefused` with what is wrong.

    The same files, key and words give the same bytes.
    """
    if not any((folder / part).is_dir() for part in SUFFIXES):
        raise PackRefused(f"{folder} has neither a folder {RULES}/ nor a folder {PLAYBOOKS}/; put your files there")
    if problems := problems_in(folder, settings):
        raise PackRefused("\n".join(problems))
    files = dict(_files(folder))
    if not files:
        raise PackRefused(f"{folder} has no rules and no playbooks")
    manifest = Manifest(
        format=FORMAT,
        name=name,
        version=version,
        created=created,
        bounds=bounds,
        signer=fingerprint(key.public),
        files=described(files),
    )
    return sealed(manifest, files, key)


def left_out(folder: Path) -> list[str]:
    """The files of the folder that no pack takes, by their names there; what is hidden is not spoken of."""
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        taken = path.suffix in SUFFIXES.get(name.split("/", 1)[0], ())
        if path.is_file() and not taken and not any(step.startswith(".") for step in name.split("/")):
            names.append(name)
    return names


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files that belong into the pack, by their names there. What is hidden is left alone; links are not followed."""
    spent = 0
    count = 0
    for part, suffixes in SUFFIXES.items():
        for path in sorted((folder / part).rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.suffix not in suffixes or any(step.startswith(".") for step in name.split("/")):
                continue
            if path.is_symlink() or not path.is_file():
                raise PackRefused(f"{path} is a link or no file; a pack holds plain files only")
            if not is_safe(name):
                raise PackRefused(f"{path}: the name cannot stand in a pack")
            size = path.stat().st_size
            spent, count = spent + size, count + 1
            if size > FILE_BYTES_MAX or spent > ALL_BYTES_MAX or count > FILES_MAX:
                raise PackRefused(
                    f"{path} is too much: a pack has at most {FILES_MAX} files of {FILE_BYTES_MAX >> 20} MiB, "
                    f"{ALL_BYTES_MAX >> 20} MiB in all"
                )
            yield name, path.read_bytes()
