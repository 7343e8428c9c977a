"""A real PostgreSQL of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from server import CannotBeHad, Server, alive, until

USERS = ("postgres", "nobody")
"""Who runs it where the tests run as root, which PostgreSQL refuses to be: the first of these that is there."""


class Postgres(Server):
    """One server; `url` is its first database, and `database` makes others, so that tests can share it."""

    def __init__(self) -> None:
        self._programs, self._user = _programs(), _user()
        super().__init__()
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        if self._user is not None:
            shutil.chown(self.folder, self._user, pwd.getpwnam(self._user).pw_gid)
        self._run("initdb", "-D", self._data, "-U", "miniwatch", "-A", "trust", "-E", "UTF8", "--locale", "C", "-N")

    @property
    def url(self) -> str:
        return self._url("postgres")

    def database(self) -> str:
        """The address of a new database, with nothing in it."""
        self._made += 1
        name = f"made_{self._made}"
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "miniwatch", name)
        return self._url(name)

    def start(self, **more: str) -> None:
        """Start it; `more` are settings of PostgreSQL."""
        if self.processes():
            return
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        settings |= {"dynamic_shared_memory_type": "mmap"}  # which lies in the folder, and goes with it
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in (settings | more).items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self._as())
        until(self._answers, 60)

    def stop(self) -> None:
        for pid in self.processes()[:1]:
            os.kill(
                pid, signal.SIGINT
            )  # a fast shutdown: clients are disconnected, what they had not committed is undone
            until(lambda pid=pid: not alive(pid))
        self._reap()

    def kill(self) -> None:
        super().kill()
        self._reap()

    def processes(self) -> list[int]:
        if self._process is None or self._process.poll() is not None:
            return []
        first = self._process.pid
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _url(self, name: str) -> str:
        return f"postgresql://miniwatch@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        asked = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _run(self, program: str, *words: object) -> None:
        command = [str(self._programs / program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as())
        assert done.returncode == 0, done.stderr[-2000:]

    def _as(self) -> dict[str, object]:
        """What has a program run as somebody else, and at a place that they may enter."""
        if self._user is None:
            return {"cwd": self.folder}
        return {"cwd": self.folder, "user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}


def _programs() -> Path:
    """The folder of the newest PostgreSQL that is installed."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise CannotBeHad("the programs of a PostgreSQL server (initdb, postgres) are not installed")


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in USERS:
        if name in known:
            return name
    raise CannotBeHad(f"PostgreSQL does not run as root, and there is no user {' or '.join(USERS)}")
