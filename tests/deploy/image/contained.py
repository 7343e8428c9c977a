"""The image that `make image` has made, unpacked and started by programs of others: umoci reads it, runc runs what the chart asks for."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from miniwatch_image import layout, sources
from miniwatch_image.__main__ import MADE_FROM

ROOT = Path(__file__).parents[3]
IMAGE = ROOT / "build" / "image"
SEARCHED = os.pathsep.join((os.environ["PATH"], "/usr/sbin"))

PROGRAMS = ("umoci", "runc")
END_S = 60.0
NAMESPACES = ("pid", "ipc", "uts", "mount", "network")


def why_not() -> str:
    """Why no image can be started here; empty where one can, as far as can be seen before."""
    if not (IMAGE / MADE_FROM).is_file() or (IMAGE / MADE_FROM).read_text() != sources.digest(ROOT):
        return "no image was made of these sources; `make image` makes it"
    lacking = [each for each in PROGRAMS if shutil.which(each, path=SEARCHED) is None]
    if lacking:
        return f"not there: {', '.join(lacking)} (packages of Debian)"
    return "" if os.geteuid() == 0 else "only root may run containers by runc"


class Bundle:
    """The image, unpacked, and how it wants to be run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        name = next(IMAGE.glob(f"{layout.NAME}-*.cdx.json")).name
        version = name.removeprefix(f"{layout.NAME}-").removesuffix(".cdx.json")
        _does("umoci", "unpack", "--image", f"{IMAGE / 'layout'}:{version}", str(folder / "bundle"))
        self.root = folder / "bundle" / "rootfs"
        self.wanted: dict[str, Any] = json.loads((folder / "bundle" / "config.json").read_text())
        self.version = version
        self._names = (f"miniwatch-{os.getpid()}-{count}" for count in itertools.count())

    def _write(self, pod: Pod, words: list[str]) -> None:
        """What runc is told: the image's own, and over it what a pod says, as a node would do it."""
        told = json.loads(json.dumps(self.wanted))
        entry = told["process"]["args"][:1]
        told["process"] |= {
            "terminal": False,
            "args": entry + words,
            "user": {"uid": pod.user, "gid": pod.group},
            "env": told["process"]["env"] + [f"{name}={value}" for name, value in pod.environment.items()],
            "capabilities": {kind: [] for kind in told["process"]["capabilities"]},
            "noNewPrivileges": True,
        }
        told["root"]["readonly"] = True
        told["mounts"] = [one for one in told["mounts"] if one["type"] != "cgroup"] + pod.mounts()
        told["linux"]["namespaces"] = [{"type": kind} for kind in NAMESPACES]
        (self.root.parent / "config.json").write_text(json.dumps(told))

    def run(self, pod: Pod, *words: str) -> tuple[int, str]:
        """Run a command of the program to its end: exit code, and what it said."""
        self._write(pod, list(words))
        return _said("runc", *self._state(), "run", "--bundle", str(self.root.parent), next(self._names))

    @contextmanager
    def running(self, pod: Pod) -> Iterator[Container]:
        """Start the pod, and end it."""
        self._write(pod, pod.arguments)
        name = next(self._names)
        words = [_program("runc"), *self._state(), "run", "--bundle", str(self.root.parent), name]
        log_file = self._folder / f"{name}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        started = Container(name, process, self._state(), log_file)
        try:
            started.until(started.is_there)
            yield started
        finally:
            ends = time.monotonic() + END_S
            while process.poll() is None:
                assert time.monotonic() < ends, f"{name} does not end"
                _said("runc", *self._state(), "kill", name, "KILL")  # not before it is there
                time.sleep(0.1)

    def _state(self) -> list[str]:
        return ["--root", str(self._folder / "runc")]


class Pod:
    """What the chart says of its only container, and what a node makes of it."""

    def __init__(self, manifests: list[dict[str, Any]], folder: Path) -> None:
        by_kind = {one["kind"]: one for one in manifests}
        spec = by_kind["StatefulSet"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        self.image: str = container["image"]
        self.user: int = spec["securityContext"]["runAsUser"]
        self.group: int = spec["securityContext"]["runAsGroup"]
        self.arguments: list[str] = container["args"]
        self.environment: dict[str, str] = {one["name"]: one["value"] for one in container["env"]}
        self.grace_s: int = spec["terminationGracePeriodSeconds"]
        self._mounted = container["volumeMounts"]
        self._sources = {"config": folder / "config.toml", "data": folder / "data"}
        self._sources["config"].write_text(by_kind["ConfigMap"]["data"]["config.toml"])
        self._sources["data"].mkdir()
        os.chown(self._sources["data"], 0, spec["securityContext"]["fsGroup"])
        self._sources["data"].chmod(0o2775)

    def mounts(self) -> list[dict[str, Any]]:
        """As runc takes them."""
        return [
            {
                "destination": one["mountPath"],
                "type": "bind",
                "source": str(self._sources[one["name"]]),
                "options": ["bind", "nosuid", "nodev", "ro" if one.get("readOnly") else "rw"],
            }
            if one["name"] in self._sources
            else {
                "destination": one["mountPath"],
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "nodev", "mode=1777"],
            }
            for one in self._mounted
        ]


class Container:
    """A pod that runs."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], state: list[str], log: Path) -> None:
        self._name, self._process, self._state, self._log = name, process, state, log

    def is_there(self) -> bool:
        code, said = _said("runc", *self._state, "state", self._name)
        return code == 0 and json.loads(said)["status"] == "running"

    def does(self, *words: str) -> tuple[int, str]:
        """Run a command in there, as `kubectl exec` would."""
        return _said("runc", *self._state, "exec", self._name, *words)

    def asked(self, path: str, *options: str) -> tuple[int, str]:
        """What the HTTP server says: status, and text. Asked from within: it has a network of its own."""
        code, said = self.does("/opt/miniwatch/bin/python", "-c", ASKS, path, *options)
        assert code == 0, said
        status, _, text = said.partition("\n")
        return int(status), text

    def until(self, true: Any, within_s: float = 120.0) -> None:
        ends = time.monotonic() + within_s
        while not true():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < ends, self.log()
            time.sleep(0.3)

    def ended(self, within_s: float) -> int:
        """Have it end in order; its exit code."""
        assert _said("runc", *self._state, "kill", self._name, signal.SIGTERM.name.removeprefix("SIG"))[0] == 0
        return self._process.wait(within_s)

    def log(self) -> str:
        return self._log.read_text()[-3000:]


ASKS = """
import sys, urllib.error, urllib.request
path, *rest = sys.argv[1:]
headers = {"Authorization": f"Bearer {rest[0]}"} if rest else {}
data = open(rest[1], "rb").read() if rest[1:] else None
try:
    answer = urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:9464{path}", data, headers), timeout=60)
except urllib.error.HTTPError as error:
    answer = error
except OSError as error:
    print(0, error, sep="\\n")
    sys.exit()
print(answer.status, answer.read().decode(), sep="\\n")
"""


def _program(name: str) -> str:
    found = shutil.which(name, path=SEARCHED)
    assert found, name
    return found


def _said(name: str, *words: str) -> tuple[int, str]:
    ran = subprocess.run(
        [_program(name), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout


def _does(name: str, *words: str) -> None:
    code, said = _said(name, *words)
    assert code == 0, said[-2000:]
