"""Packages become a root that programs find their libraries, certificates and users in, with nothing in it that nobody reads."""

import shutil
import subprocess

import pytest
from lacking import lacking
from miniwatch_image import debian

if shutil.which("dpkg-deb") is None:
    lacking("dpkg-deb is not there", whole_file=True)

FIRST = {
    "lib/x86_64-linux-gnu/libfirst.so.1": "library",
    "usr/share/doc/first/copyright": "licence",
    "usr/share/doc/first/changelog.gz": "changes",
    "usr/share/doc/first/examples/one": "example",
    "usr/share/man/man1/first.1": "manual",
    "usr/share/ca-certificates/mozilla/C.crt": "third\n",
    "usr/share/ca-certificates/mozilla/B.crt": "second\n",
    "usr/share/ca-certificates/mozilla/A.crt": "first\n",
}
SECOND = {"usr/lib/x86_64-linux-gnu/libsecond.so.1": "library", "usr/bin/second": "program"}


def package(folder, name, files, links=()):
    made = folder / name
    for path, text in files.items():
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).write_text(text)
    for path, target in links:
        (made / path).parent.mkdir(parents=True, exist_ok=True)
        (made / path).symlink_to(target)
    (made / "DEBIAN").mkdir()
    (made / "DEBIAN" / "control").write_text(
        f"Package: {name}\nSource: both (2.0)\nVersion: 1:1.0-1\nArchitecture: all\nMaintainer: x\nDescription: short\n long: lines\n"
    )
    script = made / "DEBIAN" / "postinst"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    file = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", made, file], check=True, capture_output=True)
    return file


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    files = [
        package(folder, "first", FIRST),
        package(folder, "second", SECOND, [("usr/share/doc/second", "first")]),
    ]
    root = tmp_path_factory.mktemp("root")
    return root, debian.unpack(files, root)


def test_what_was_unpacked_is_told(unpacked):
    _, packages = unpacked
    assert [(one.name, one.version, one.source) for one in packages] == [
        ("first", "1:1.0-1", "both (2.0)"),
        ("second", "1:1.0-1", "both (2.0)"),
    ]


def test_both_folders_of_libraries_are_one(unpacked):
    root, _ = unpacked
    for place in ("lib", "usr/lib"):
        found = {path.name for path in (root / place / "x86_64-linux-gnu").iterdir()}
        assert found == {"libfirst.so.1", "libsecond.so.1"}
    assert (root / "lib").is_symlink()


def test_licences_stay_and_what_nobody_reads_goes(unpacked):
    root, _ = unpacked
    kept = {path.relative_to(root).as_posix() for path in (root / "usr/share").rglob("*")}
    assert {path for path in kept if "/doc" in path or "/man" in path} == {
        "usr/share/doc",
        "usr/share/doc/first",
        "usr/share/doc/first/copyright",
        "usr/share/doc/second",
    }
    assert (root / "usr/share/doc/second/copyright").read_text() == "licence"


def test_certificates_that_are_trusted_are_one_file(unpacked):
    root, _ = unpacked
    assert (root / debian.CERTIFICATES).read_text() == "first\nsecond\nthird\n"


def test_who_looks_for_faults_finds_what_is_there(unpacked):
    root, packages = unpacked
    status = root / "var/lib/dpkg/status.d"
    assert {path.name for path in status.iterdir()} == {"first", "second"}
    assert "Version: 1:1.0-1\n" in (status / "first").read_text()
    assert packages[0].control == (status / "first").read_text()


def test_the_user_is_there_and_has_a_home(unpacked):
    root, _ = unpacked
    user = next(line for line in (root / "etc/passwd").read_text().splitlines() if line.startswith("miniwatch:"))
    assert user.split(":")[2:6] == ["10464", "10464", "Miniwatch", "/var/lib/miniwatch"]
    assert (root / user.split(":")[5][1:]).is_dir()


def test_without_apt_it_is_said_what_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="on a machine with Debian"):
        debian.fetch(tmp_path)
