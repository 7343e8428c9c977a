"""The program and what it stands on, in an environment that is made without being run, and the byte code of all of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PLACE = "opt/miniwatch"

STARTED_BY = f"""#!/{PLACE}/bin/python
import sys

from monitor.cli import main

sys.exit(main())
"""

LEFT_OUT = (
    "bin",
    "**/tests",
    "**/__pycache__",
    "pyarrow/include",
    "pyarrow/**/*.pxd",
    "*/direct_url.json",
    "*/uv_cache.json",
)
"""Other programs of the dependencies, what tests and builds against them, and where they lay when they were installed."""


def version(root: Path) -> str:
    """Which Python the image has, as in 3.11."""
    return re.sub("^python", "", (root / "usr/bin/python3").readlink().name)


def packages(root: Path) -> str:
    """Where packages are, in the image."""
    return f"{PLACE}/lib/python{version(root)}/site-packages"


def environment(root: Path, into: Path) -> None:
    """An environment that is Debian's Python, with nothing in it but a way to start the program."""
    place = into / PLACE
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to("/usr/bin/python3")
    (place / "bin" / "miniwatch").write_text(STARTED_BY)
    (place / "bin" / "miniwatch").chmod(0o755)
    (place / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version(root)}\n"
    )


def install(root: Path, into: Path, *wanted: object) -> None:
    """Put packages into a tree: a lock with hashes, or files that were built here."""
    target = into / packages(root)
    uv = str(Path(sys.executable).with_name("uv"))
    words = [uv, "pip", "install", "--quiet", "--target", str(target), "--python-version", version(root)]
    options = ["--link-mode", "copy", "--no-deps", "--only-binary", ":all:", *map(str, wanted)]
    subprocess.run([*words, *options], check=True)
    for pattern in LEFT_OUT:
        for path in sorted(target.glob(pattern), reverse=True):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def compile_all(root: Path, tree: Path, folders: Sequence[str]) -> None:
    """Byte code beside all sources of a tree, by the image's own Python, which need not be one that this machine has.

    It stays valid whatever time files are said to have been written; else every start would compile all anew, for nothing can be written there.
    """
    (loader,) = [*root.glob("usr/lib64/ld-linux-*.so.*"), *root.glob("usr/lib/ld-linux-*.so.*")]
    libraries = [str(path) for path in root.glob("usr/lib/*-linux-gnu*")]
    python = [str(loader), "--library-path", ":".join(libraries), str(root / "usr/bin" / f"python{version(root)}")]
    options = ["-s", str(tree), "-p", "/", "--invalidation-mode", "unchecked-hash", "-q"]
    # It writes nothing of its own beside (-B): that would hold for the time of the sources that are here.
    surroundings = {"PATH": os.environ["PATH"], "PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0"}
    words = [*python, "-S", "-B", "-m", "compileall", *options, *(str(tree / folder) for folder in folders)]
    subprocess.run(words, check=True, env=surroundings)
