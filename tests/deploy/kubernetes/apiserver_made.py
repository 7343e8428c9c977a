"""A Kubernetes API server as it is run for tests: built once from its sources, with its database and the kinds of others that the chart has.

`python tests/deploy/kubernetes/apiserver_made.py` makes what is absent; that takes minutes, and tests only look whether it is there. Sources come
through Go's own proxy and are held against `server/go.sum` and the sums below; the database comes from Debian. What is made is kept in
`${XDG_CACHE_HOME:-~/.cache}/miniwatch-kubernetes`, one folder for each state of what is asked for here; it can be deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = Path(__file__).parent / "server"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "miniwatch-kubernetes"

BUILT = ("kube-apiserver", "kubectl")
DATABASE = "etcd"

CUSTOM = {
    ("github.com/kedacore/keda/v2", "v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps="): (
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
    ): (
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
}
"""Modules whose definitions of kinds are taken, with the sum of what they hold, and which."""


def version() -> str:
    """The version of Kubernetes that is built."""
    found = re.search(r"^require k8s\.io/kubernetes v(\S+)$", (SERVER / "go.mod").read_text(), re.MULTILINE)
    assert found, "server/go.mod names no version of k8s.io/kubernetes"
    return found.group(1)


def folder() -> Path:
    """Where what is asked for here is, or will be."""
    asked = hashlib.sha256(repr(sorted(CUSTOM.items())).encode())
    for file in sorted(SERVER.iterdir()):
        asked.update(file.read_bytes())
    return CACHE / f"{version()}-{asked.hexdigest()[:12]}"


def why_not() -> str:
    """Why the server cannot be run here; empty where it can."""
    return "" if folder().is_dir() else f"no Kubernetes {version()} was built here; `make k8s` builds it"


def make() -> Path:
    """Build what is absent; the folder that has it. Raises `SystemExit` with what to do where it cannot be built."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder().is_dir():
            for one in CACHE.glob("making*"):  # what was broken off
                shutil.rmtree(one)
            into = Path(tempfile.mkdtemp(prefix="making-", dir=CACHE))
            _database(into)
            _go(into)
            into.rename(folder())
    return folder()


def _database(into: Path) -> None:
    installed = shutil.which(DATABASE)
    if installed:
        shutil.copy(installed, into / DATABASE)
        return
    if shutil.which("apt-get") is None:
        raise SystemExit(
            f"{DATABASE} is not there, and neither is apt-get to fetch it: install {DATABASE} 3.4 or later."
        )
    print("Fetching etcd from Debian ...", flush=True)
    # Unpacked, not installed: a package's scripts would start it as a service.
    _ran(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "etcd-server"], into)
    (package,) = into.glob("etcd-server_*.deb")
    _ran(["dpkg-deb", "-x", package.name, "unpacked"], into)
    (into / "unpacked" / "usr" / "bin" / DATABASE).rename(into / DATABASE)
    shutil.rmtree(into / "unpacked")
    package.unlink()


def _go(into: Path) -> None:
    path = os.pathsep.join((os.environ["PATH"], "/usr/local/go/bin"))
    if shutil.which("go", path=path) is None:
        raise SystemExit("Go is not there: install Go 1.24 or later, which builds the API server.")
    work = into / "work"  # some gigabytes, which nobody needs afterwards
    environment = {
        **os.environ,
        "PATH": path,
        "CGO_ENABLED": "0",
        "GOCACHE": str(work / "built"),
        "GOMODCACHE": str(work / "modules"),
        "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=readonly -modcacherw -trimpath -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    work.mkdir()
    print("Fetching definitions of kinds ...", flush=True)
    (into / "custom").mkdir()
    for (module, at, known), files in CUSTOM.items():
        fetched = json.loads(_ran(["go", "mod", "download", "-json", f"{module}@{at}"], work, environment))
        if fetched["Sum"] != known:
            raise SystemExit(f"{module}@{at} has the sum {fetched['Sum']}, not {known}: it is not what was looked at.")
        for file in files:
            shutil.copy(Path(fetched["Dir"]) / file, into / "custom")
    print(f"Building Kubernetes {version()}: ten minutes or so, once ...", flush=True)
    major, minor, _ = version().split(".")
    said = {"gitVersion": f"v{version()}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "archive"}
    linked = " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in said.items())])
    for name in BUILT:
        words = ["go", "build", f"-ldflags={linked}", "-o", str(into / name), f"k8s.io/kubernetes/cmd/{name}"]
        _ran(words, SERVER, environment)
    shutil.rmtree(work)


def _ran(words: list[str], where: Path, environment: dict[str, str] | None = None) -> str:
    ran = subprocess.run(words, cwd=where, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{ran.stdout}{ran.stderr}{' '.join(words[:3])} ended with {ran.returncode}; why is above.")
    return ran.stdout


if __name__ == "__main__":
    sys.stdout.write(f"{make()}\n")
