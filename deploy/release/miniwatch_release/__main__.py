"""``python -m miniwatch_release``, in a clone: make the release that the checked-out tag names."""

from __future__ import annotations

import sys
from pathlib import Path

from miniwatch_release.building import Unequal, build
from miniwatch_release.ready import problems, version

HERE = Path(__file__).parents[3]


def main(root: Path) -> int:
    """Refuse, with all that is in the way, or leave the files in ``dist/VERSION``."""
    found = problems(root)
    if found:
        sys.stderr.write("".join(f"release: {problem}\n" for problem in found))
        return 1
    into = root / "dist" / version(root)
    try:
        made = build(root, into)
    except (Unequal, FileExistsError) as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    sys.stdout.write("".join(f"{path.relative_to(root)}\n" for path in made))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(HERE))
