"""A verified pack as a folder, from which its rules are loaded like any others. The files are compared with the pack every time."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from monitor.durable import make_folder, publish, sync_folder
from monitor.packs.archive import Pack


def unpacked(pack: Pack, packs: Path) -> Path:
    """The folder of a pack below `packs`, holding exactly its files; raises `OSError` when it cannot be written."""
    folder = folder_of(packs, pack.digest)
    if not _holds(folder, pack):
        shutil.rmtree(folder, ignore_errors=True)
        _write(folder, pack)
    return folder


def tidy(packs: Path, digests: Collection[str]) -> None:
    """Delete the folders of other packs than these; what cannot be deleted now is next time."""
    kept = {folder_of(packs, digest).name for digest in digests}
    for folder in packs.iterdir() if packs.is_dir() else ():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def folder_of(packs: Path, digest: str) -> Path:
    """Where a pack is unpacked."""
    return packs / digest[:32]


def _holds(folder: Path, pack: Pack) -> bool:
    if not folder.is_dir():
        return False
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return found == pack.files.keys() and all(
        not (folder / name).is_symlink() and (folder / name).read_bytes() == content
        for name, content in pack.files.items()
    )


def _write(folder: Path, pack: Pack) -> None:
    make_folder(folder.parent)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for name, content in pack.files.items():
        path = part / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)  # not fsynced: what a power cut leaves of it is noticed, and written again
    sync_folder(part)
    publish(part, folder, "pack")
