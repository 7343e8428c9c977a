"""What the image has of Debian: Python and the libraries that it and the dependencies are linked with, and nothing that installs or runs others.

Packages are chosen, fetched and verified by apt, from where this machine takes its own, and unpacked; their scripts, which would need a shell
and Perl, are not run. What those would have done is done in `_finish`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

WANTED = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "ca-certificates", "tzdata", "base-files")

INSTALLERS = {"debconf": "debconf-2.0", "dpkg": "", "mawk": "awk", "openssl": "", "perl-base": ""}
"""What packages ask for only because their scripts use it, and what that is a kind of. It is taken for installed, so it does not come."""

LEFT_OUT = (
    "etc/cron.*",
    "etc/kernel",
    "etc/update-motd.d",
    "usr/lib/*/gconv",  # tables of glibc's own conversions, for which Python has its own
    "usr/share/applications",
    "usr/share/binfmts",
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pixmaps",
)
"""What nobody reads in a container. Licences stay."""

MERGED = ("bin", "sbin", "lib", "lib64")
"""Folders that are one with those of the same name in usr; packages have files in both."""

USER = 10464
"""Who the process is: the number that the chart names too."""

HOME = "var/lib/miniwatch"

CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """What was unpacked."""

    name: str
    version: str
    architecture: str
    source: str
    control: str


def fetch(work: Path) -> list[Path]:
    """Packages that are wanted and what they ask for, from Debian alone where the machine has other sources beside.

    Raises `SystemExit` where this machine cannot.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not there: the image is made of Debian packages, on a machine with Debian.")
    for folder in ("lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "preferences").write_text(
        "Package: *\nPin: release o=Debian\nPin-Priority: 900\n\nPackage: *\nPin: release *\nPin-Priority: -1\n"
    )
    (work / "status").write_text("".join(_installed(name, kind) for name, kind in INSTALLERS.items()))
    options = {
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",  # who fetches is who asks: his folder may be out of another's reach
        "Dir::Cache": work / "cache",
        "Dir::Etc::preferences": work / "preferences",
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": work,
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
    }
    words = ["apt-get", "--quiet=2", "--yes", *(f"--option={name}={value}" for name, value in options.items())]
    for act in (["update"], ["install", "--download-only", *WANTED]):
        if subprocess.run([*words, *act], check=False, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(f"apt-get {act[0]} failed; why is above. The image takes its packages from Debian.")
    return list((work / "cache" / "archives").glob("*.deb"))


def unpack(files: Sequence[Path], root: Path) -> list[Package]:
    """Unpack packages into an empty folder, and make of it a root that they work in."""
    for folder in MERGED:
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    packages = [_unpacked(file, root) for file in sorted(files)]
    for pattern in LEFT_OUT:
        for path in sorted(root.glob(pattern)):
            shutil.rmtree(path)
    _only_licences(root / "usr/share/doc")
    _finish(root, packages)
    return packages


def _installed(name: str, kind: str) -> str:
    provides = f"Provides: {kind}\n" if kind else ""
    # A version above all, so that no demand of a later one brings it in.
    return f"Package: {name}\nStatus: install ok installed\nArchitecture: all\nMulti-Arch: foreign\nVersion: 99:0\n{provides}Description: -\n\n"


def _unpacked(file: Path, root: Path) -> Package:
    control = _said(["dpkg-deb", "--field", str(file)])
    fields = _fields(control)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(file)], stdout=subprocess.PIPE) as packed:
        words = ["tar", "--extract", "--preserve-permissions", "--no-same-owner", "--keep-directory-symlink"]
        subprocess.run([*words, "--directory", str(root)], stdin=packed.stdout, check=True)
    if packed.returncode:
        raise SystemExit(f"{file.name} cannot be unpacked.")
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        source=fields.get("Source", fields["Package"]),
        control=control,
    )


def _fields(control: str) -> Mapping[str, str]:
    return dict(line.split(": ", 1) for line in control.splitlines() if ": " in line and not line.startswith(" "))


def _said(words: Sequence[str]) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def _only_licences(documents: Path) -> None:
    for path in sorted(documents.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != "copyright" and path.parent != documents:  # a folder may be a link to that of another package
            path.unlink()


def _finish(root: Path, packages: Sequence[Package]) -> None:
    """What scripts of packages do where they are installed, as far as something asks for it; and who the process is."""
    trusted = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    (root / CERTIFICATES).parent.mkdir(parents=True, exist_ok=True)
    (root / CERTIFICATES).write_text("".join(file.read_text() for file in trusted))
    etc = root / "etc"
    (etc / "passwd").write_text(
        f"root:x:0:0:root:/root:/usr/sbin/nologin\nminiwatch:x:{USER}:{USER}:Miniwatch:/{HOME}:/usr/sbin/nologin\n"
    )
    (etc / "group").write_text(f"root:x:0:\nminiwatch:x:{USER}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    for folder in (HOME, "etc/miniwatch", "dev", "proc", "run", "sys", "tmp"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    # Where those who look for known faults in images find what is there.
    status = root / "var/lib/dpkg/status.d"
    status.mkdir(parents=True)
    for package in packages:
        (status / package.name).write_text(package.control)
