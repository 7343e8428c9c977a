"""``python -m monitor.rules``: run the twins of the rules that come with the program, and note which content passed."""

from __future__ import annotations

import json
import sys

from monitor.rules import MANIFEST, TWINS, builtin_folder, run_builtin_twins


def main() -> int:
    """Run the twins of the rules in this source tree and write down what passed."""
    folder = builtin_folder()
    manifest, failures = run_builtin_twins(folder.path, folder.path.parents[1] / TWINS)
    for failure in failures:
        sys.stderr.write(f"{failure}\n")
    (folder.path / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(manifest)} rule files passed their twins, {len(failures)} problems\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
