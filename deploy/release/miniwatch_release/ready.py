"""Whether a clone may be released as it is: the tag, the numbers and the changelog say the same, and nothing else lies about."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

_NUMBERED = {
    "monitor/__init__.py": r'(?m)^__version__ = "(.*)"$',
    "native/Cargo.toml": r'(?m)^version = "(.*)"$',
    "deploy/helm/miniwatch/Chart.yaml": r'(?m)^appVersion: "(.*)"$',
}
"""Files that say the version too, and where in them it stands."""

LICENCE = "Apache-2.0"


def version(root: Path) -> str:
    """The version that the project says to be."""
    return str(_project(root)["version"])


def problems(root: Path) -> list[str]:
    """All that is in the way of a release, each with what to do."""
    number = version(root)
    return [
        *_of_the_tree(root),
        *_of_the_tag(root, number),
        *numbers_apart(root),
        *_of_the_changelog(root, number),
        *licence(root),
    ]


def numbers_apart(root: Path) -> list[str]:
    """Files whose version is not the project's."""
    number, found = version(root), []
    for name, place in _NUMBERED.items():
        said = re.search(place, (root / name).read_text())
        if said is None or said.group(1) != number:
            found.append(
                f"{name} says {said.group(1) if said else 'no version'}, pyproject.toml {number}: write the same in both"
            )
    return found


def licence(root: Path) -> list[str]:
    """Whether the licence stands where it is looked for."""
    found = []
    if _project(root).get("license") != LICENCE:
        found.append(f'pyproject.toml does not say license = "{LICENCE}"')
    if "Apache License\n" not in (root / "LICENSE").read_text():
        found.append("LICENSE is not the text of the Apache License")
    return found


def _of_the_tree(root: Path) -> list[str]:
    left = _git(root, "status", "--porcelain").splitlines()
    return [f"the tree is not clean: commit, or put away, {', '.join(line[3:] for line in left[:5])}"] if left else []


def _of_the_tag(root: Path, number: str) -> list[str]:
    tags = _git(root, "tag", "--points-at", "HEAD").split()
    if f"v{number}" in tags:
        return []
    if not tags:
        return [f"no tag points at what is checked out: git tag -a v{number}"]
    return [
        f"the tag is {', '.join(tags)}, the version {number}: tag v{number}, or change the version in pyproject.toml"
    ]


def _of_the_changelog(root: Path, number: str) -> list[str]:
    sections = re.split(r"(?m)^## ", (root / "CHANGELOG.md").read_text())[1:]
    found = []
    ours = [one for one in sections if re.match(rf"\[{re.escape(number)}\] - \d{{4}}-\d\d-\d\d\n", one)]
    if not any(_entries(one) for one in ours):
        found.append(f"CHANGELOG.md says nothing of this version: write what changed under ## [{number}] - YYYY-MM-DD")
    if any(_entries(one) for one in sections if one.startswith("[Unreleased]")):
        found.append(
            f"CHANGELOG.md has changes under Unreleased: they are in this version, so move them to ## [{number}]"
        )
    return found


def _entries(section: str) -> list[str]:
    return re.findall(r"(?m)^- \S", section)


def _project(root: Path) -> dict[str, object]:
    project: dict[str, object] = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return project


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout
