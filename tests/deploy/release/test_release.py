"""A release is made from a clean tag that says what it is, comes out the same each time, and names all that it runs on."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
from lacking import lacking
from miniwatch_release import building
from miniwatch_release.__main__ import HERE, main
from miniwatch_release.bill import bill
from miniwatch_release.building import Unequal, build
from miniwatch_release.ready import licence, numbers_apart, problems, version

NUMBER = version(HERE)


class Clone:
    """A clone of what is here, committed, with a changelog as it is at a release."""

    def __init__(self, folder):
        self.folder = folder
        listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        for name in subprocess.run(listed, cwd=HERE, capture_output=True, text=True, check=True).stdout.split("\0"):
            if name and (HERE / name).is_file() and not name.startswith("tests/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(HERE / name, folder / name)
        self.git("init", "-q")
        self.commit(
            "CHANGELOG.md", f"# Changelog\n\n## [Unreleased]\n\n## [{NUMBER}] - 2026-12-01\n\n- The first version.\n"
        )

    def git(self, *words):
        who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
        return subprocess.run(["git", *who, *words], cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def commit(self, name, text):
        (self.folder / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", name)

    def changed(self, name, old, new):
        before = (self.folder / name).read_text()
        assert old in before
        self.commit(name, before.replace(old, new))


@pytest.fixture
def clone(tmp_path):
    if not (HERE / ".git").exists():
        lacking("this is no clone, and a release is made of one")
    return Clone(tmp_path / "clone")


@pytest.fixture
def tagged(clone):
    clone.git("tag", f"v{NUMBER}")
    return clone


def test_a_clean_tag_of_the_version_is_ready(tagged):
    assert problems(tagged.folder) == []


def test_what_is_not_committed_is_in_the_way(tagged):
    (tagged.folder / "left.txt").write_text("left")
    (problem,) = problems(tagged.folder)
    assert "left.txt" in problem


def test_without_a_tag_there_is_no_release(clone):
    (problem,) = problems(clone.folder)
    assert f"git tag -a v{NUMBER}" in problem


def test_a_tag_of_another_version_is_in_the_way(clone):
    clone.git("tag", "v9.9.9")
    (problem,) = problems(clone.folder)
    assert f"the tag is v9.9.9, the version {NUMBER}" in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("## [Unreleased]\n\n- It is better.\n", "says nothing of this version"),
        (f"## [{NUMBER}] - 2026-12-01\n\n", "says nothing of this version"),
        (f"## [{NUMBER}]\n\n- Without a day.\n", "says nothing of this version"),
        (f"## [Unreleased]\n\n- Left over.\n\n## [{NUMBER}] - 2026-12-01\n\n- New.\n", "under Unreleased"),
    ],
)
def test_a_changelog_that_does_not_tell_is_in_the_way(clone, text, told):
    clone.commit("CHANGELOG.md", text)
    clone.git("tag", f"v{NUMBER}")
    assert told in problems(clone.folder)[0]


def test_all_that_is_in_the_way_is_told_at_once_and_nothing_is_made(clone, capsys):
    clone.changed("deploy/helm/miniwatch/Chart.yaml", f'appVersion: "{NUMBER}"', 'appVersion: "0.0.9"')
    (clone.folder / "left.txt").write_text("left")
    assert main(clone.folder) == 1
    told = capsys.readouterr().err
    assert "Chart.yaml says 0.0.9" in told
    assert "left.txt" in told
    assert "no tag" in told
    assert not (clone.folder / "dist").exists()


def test_every_file_that_says_the_version_says_the_same():
    assert numbers_apart(HERE) == []


def test_the_licence_is_where_it_is_looked_for():
    assert licence(HERE) == []


def test_a_release_has_all_its_files_with_their_checksums(tagged):
    assert main(tagged.folder) == 0
    folder = tagged.folder / "dist" / NUMBER
    suffixes = ("-py3-none-any.whl", ".tar.gz", ".cdx.json", ".requirements.txt")
    assert len(list(folder.iterdir())) == len(suffixes) + 1
    assert {name.partition(NUMBER)[2] for name in (path.name for path in folder.glob("miniwatch*"))} == set(suffixes)
    summed = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert summed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("miniwatch*")}
    assert main(tagged.folder) == 1  # a release is made once
    shutil.rmtree(folder.parent)
    assert main(tagged.folder) == 0  # and comes out the same, whoever makes it
    again = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("miniwatch*")}
    assert again == summed


def test_builds_that_differ_are_not_released(tagged, monkeypatch):
    built = building._built
    monkeypatch.setattr(
        building, "_built", lambda tree, into, made: built(tree, into, made + (into.name == "two") * 86_400)
    )
    with pytest.raises(Unequal, match=r"differ in miniwatch-.*whl"):
        build(tagged.folder, tagged.folder / "dist" / NUMBER)
    assert list((tagged.folder / "dist").iterdir()) == []


def test_the_bill_has_everything_that_is_locked_and_who_asked_for_it():
    document = json.loads(bill(HERE, NUMBER, 0))
    lock = (HERE / "requirements" / "run.txt").read_text()
    locked = {f"{name}@{number}" for name, number in re.findall(r"(?m)^([\w.-]+?)(?:\[.*\])?==([^\s;]+)", lock)}
    components = {one["bom-ref"]: one for one in document["components"]}
    assert {ref.removeprefix("pkg:pypi/") for ref in components if ref.startswith("pkg:pypi/")} == locked
    hashes = {each["content"] for ref, one in components.items() if "pypi" in ref for each in one["hashes"]}
    assert hashes == set(re.findall("sha256:([0-9a-f]{64})", lock))
    asked = {one["ref"]: set(one["dependsOn"]) for one in document["dependencies"]}
    ours = f"pkg:pypi/miniwatch@{NUMBER}"
    assert asked.keys() == components.keys() | {ours}
    assert set().union(*asked.values()) <= components.keys()
    assert _reached(ours, asked) == {ref for ref in components if ref.startswith("pkg:pypi/")}


def _reached(begin, asked):
    """Everything that something stands on, near and far."""
    found, left = set(), [begin]
    while left:
        more = asked[left.pop()] - found
        found |= more
        left += more
    return found
