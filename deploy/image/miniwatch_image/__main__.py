"""``python -m miniwatch_image``: make the image of a wheel that was built."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from miniwatch_image import debian, layers, layout, program, sbom, sources

ROOT = Path(__file__).parents[3]

FROM = "SOURCE_DATE_EPOCH"
"""The environment says with it which time all files are of, as others that build the same again do."""

MADE_FROM = "made-from"
"""The file that says of which sources the image beside it is."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Make it, and say where it is."""
    given = _parser().parse_args(arguments)
    given.into.mkdir(parents=True, exist_ok=True)
    time = int(os.environ.get(FROM) or "0")
    made_from = sources.digest(ROOT)
    with tempfile.TemporaryDirectory(dir=given.into, prefix="making-") as work:
        made = _make(Path(work), given.wheel, given.kernel, time)
        _forget(given.into)
        for new in made.iterdir():
            new.rename(given.into / new.name)
    (given.into / MADE_FROM).write_text(made_from)
    archive, document = (next(given.into.glob(f"{layout.NAME}-*{end}")) for end in (".oci.tar", ".cdx.json"))
    index = json.loads((given.into / "layout" / "index.json").read_text())
    sys.stdout.write(
        f"{archive}: {archive.stat().st_size / 2**20:.0f} MiB\n"
        f"{document}: what it is made of\n"
        f"{index['manifests'][0]['digest']}\n"
    )


def _forget(into: Path) -> None:
    """Remove an image that was made before."""
    (into / MADE_FROM).unlink(missing_ok=True)
    for old in into.glob(f"{layout.NAME}-*"):
        old.unlink()
    shutil.rmtree(into / "layout", ignore_errors=True)


def _make(work: Path, wheel: Path, kernel: Path | None, time: int) -> Path:
    version = wheel.name.split("-")[1]
    base, dependencies, ours, made = (work / name for name in ("base", "dependencies", "ours", "made"))
    blobs = made / "layout" / "blobs" / "sha256"
    for folder in (base, dependencies, ours, blobs):
        folder.mkdir(parents=True)
    _say("Debian: fetching and unpacking")
    packages = debian.unpack(debian.fetch(work / "apt"), base)
    _say("Dependencies: installing")
    program.install(base, dependencies, "--require-hashes", "--requirement", ROOT / "requirements" / "run.txt")
    _say("Miniwatch: installing")
    program.environment(base, ours)
    program.install(base, ours, wheel, *([kernel] if kernel else []))
    release = _release(base)
    components = [*sbom.of_debian(packages, release)]
    components += [one for tree in (dependencies, ours) for one in sbom.of_python(tree / program.packages(base))]
    components += sbom.of_rust(ROOT / "native" / "Cargo.lock") if kernel else []
    document = sbom.written(layout.NAME, version, components, time)
    (ours / program.PLACE / "share").mkdir()
    for file in (ours / program.PLACE / "share" / "sbom.cdx.json", made / f"{layout.NAME}-{version}.cdx.json"):
        file.write_text(document)
    _say("Compiling to byte code")
    program.compile_all(base, base, [f"usr/lib/python{program.version(base)}"])
    for tree in (dependencies, ours):
        program.compile_all(base, tree, [program.packages(base)])
    _say("Packing")
    owned = {debian.HOME: layers.Owned(debian.USER, 0o750), "tmp": layers.Owned(0, 0o1777)}
    packed = [
        layers.written(
            base, blobs, f"Python of Debian {release}, what it is linked with, certificates, time zones", time, owned
        ),
        layers.written(dependencies, blobs, "Dependencies, as requirements/run.txt locks them", time),
        layers.written(ours, blobs, f"{layout.NAME} {version}", time),
    ]
    described = layout.Described(
        version=version,
        architecture=next(one.architecture for one in packages if one.name == "libc6"),
        time=time,
        title="Miniwatch",
        licence="Apache-2.0",
    )
    layout.write(made / "layout", described, packed)
    layout.archive(made / "layout", made / f"{layout.NAME}-{version}-{described.architecture}.oci.tar", time)
    return made


def _release(base: Path) -> str:
    lines = (base / "etc" / "os-release").read_text().splitlines()
    return next(line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_ID="))


def _say(what: str) -> None:
    sys.stderr.write(f"{what} ...\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("miniwatch_image", description="Make the container image of a wheel.")
    parser.add_argument("wheel", type=Path, help="the program, as `make wheel` builds it")
    parser.add_argument("--kernel", type=Path, help="the native kernel, as `make native` builds it")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "image", help="the folder for what is made")
    return parser


if __name__ == "__main__":
    main()
