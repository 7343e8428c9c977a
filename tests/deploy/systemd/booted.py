"""A systemd of its own, as the first process of namespaces, with our units in it: what it writes goes to memory, and ends with it."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
BOOT_S = 120.0
PYTHON = "/usr/bin/python3"
"""The distribution's: it is where a service can reach it."""

PREPARE = """#!/bin/sh
set -e
mkdir -p "$1/opt/miniwatch/current/bin" "$1/opt/miniwatch/packages" "$1/opt/miniwatch/tree"
mount --bind {packages} "$1/opt/miniwatch/packages"
cp -r {root}/monitor {root}/detectors {root}/playbooks "$1/opt/miniwatch/tree/"
make -s -C {root} DESTDIR="$1" install-service
cat >"$1/opt/miniwatch/current/bin/miniwatch" <<'END'
#!/bin/sh
export PYTHONPATH=/opt/miniwatch/tree:/opt/miniwatch/packages
exec {python} -P -c 'from monitor.cli import main; main()' "$@"
END
chmod 755 "$1/opt/miniwatch/current/bin/miniwatch"
ln -sf /dev/null "$1/etc/systemd/system/timers.target"
printf '[Unit]\\nDescription=What is tested\\nRequires=dbus.service systemd-journald.service basic.target\\nAfter=basic.target\\n' >"$1/etc/systemd/system/tested.target"
"""


def why_not():
    """Why no systemd can be booted here; empty where one can, as far as can be seen before."""
    if os.geteuid() != 0:
        return "only root may boot a systemd of its own"
    lacking = [
        each
        for each in ("unshare", "nsenter", "systemctl", "dbus-daemon", "make", PYTHON)
        if shutil.which(each) is None
    ]
    if lacking:
        return f"not there: {', '.join(lacking)}"
    version = subprocess.run(
        [PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    if version.stdout.split() != [str(each) for each in sys.version_info[:2]]:
        return f"{PYTHON} is another version than that of the tests"
    return ""


class Booted:
    """From entering to leaving. Raises `RuntimeError` where it does not come up."""

    def __init__(self, folder):
        self._folder = folder
        self._process = self._init = None

    def __enter__(self):
        prepare = self._folder / "prepare"
        prepare.write_text(PREPARE.format(packages=sysconfig.get_path("purelib"), root=ROOT, python=PYTHON))
        prepare.chmod(0o755)
        (self._folder / "root").mkdir()
        words = ["unshare", "-fpmuiCn", "--kill-child", "sh", str(Path(__file__).with_name("boot.sh"))]
        self._said = (self._folder / "boot.log").open("w")
        self._process = subprocess.Popen(
            [*words, str(self._folder / "root"), str(prepare)],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
        )
        ends = time.monotonic() + BOOT_S
        while time.monotonic() < ends and self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            self._init = int(children[0]) if children else None
            if self._init and self("systemctl", "is-system-running").stdout.strip() in {"running", "degraded"}:
                return self
            time.sleep(0.2)
        self.__exit__()
        raise RuntimeError((self._folder / "boot.log").read_text()[-2000:])

    def __exit__(self, *_):
        if self._init and self._process.poll() is None:
            os.kill(self._init, signal.SIGKILL)  # with it all that it has started
        self._process.wait(60)
        self._said.close()

    def _within(self, *words):
        there = ["nsenter", "-t", str(self._init), "-a", "env", "-i"]
        path = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*there, path, "LC_ALL=C.UTF-8", *map(str, words)]

    @contextmanager
    def asking(self, url):
        """Somebody asks there for a page, again and again, whether or not it is answered."""
        again = f"while :; do curl --silent --max-time 1 {url} >/dev/null; sleep 0.05; done"
        asks = subprocess.Popen(self._within("sh", "-c", again), stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            yield
        finally:
            os.killpg(asks.pid, signal.SIGKILL)
            asks.wait(60)

    def __call__(self, *words, wait_s=180):
        """Run a command in there."""
        return subprocess.run(
            self._within(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=wait_s,
        )

    def does(self, *words):
        """Run a command that has to succeed; what it says."""
        run = self(*words)
        assert run.returncode == 0, f"{words}: {run.stdout[-1500:]}{run.stderr[-1500:]}{self.log()}"
        return run.stdout

    def shown(self, unit, *names):
        """Properties of a unit, in the order in which they are named."""
        lines = self.does("systemctl", "show", unit, *(f"--property={name}" for name in names)).splitlines()
        found = dict(line.partition("=")[::2] for line in lines)
        return tuple(found[name] for name in names)

    def log(self):
        return self("journalctl", "--no-pager", "-n", "40", "-o", "cat").stdout

    def write(self, path, text, mode="644"):
        subprocess.run(
            [
                "nsenter",
                "-t",
                str(self._init),
                "-a",
                "sh",
                "-c",
                'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"',
                "-",
                path,
                mode,
            ],
            input=text,
            text=True,
            check=True,
        )
