"""A race against CrowdSec: one access log of nginx, rules of the same meaning, the offenders found by each, CPU time of whole processes.

    python tests/bench/crowdsec_race.py UNPACKED [--lines N] [--repeat N] [--seed N]

UNPACKED is the folder of Debian's package, unpacked and not installed: `apt-get download crowdsec && dpkg -x crowdsec_*.deb UNPACKED`.
Both read the same file one after the other, in turns; the least CPU time of the runs counts. Of each the time of a run over a single
line is taken off. CrowdSec runs as it comes, with one parsing routine, its own API and store on a loopback port, without the central
service; its parsers for nginx are those of the package. Ours runs twice: as a backtest, which finds and decides as CrowdSec does, and as
the daemon, which besides replaces secrets, keeps every event in the archive and records its decisions.

Offenders are compared with each other and with a model of each way of counting: CrowdSec's buckets leak, our windows slide. For comparison:
CrowdSec's documentation gives about 3,600 lines of nginx a second with one parsing routine, of a newer version and with more scenarios.

Measured on a busy machine of two cores, one run of each over 200,000 lines, CrowdSec 1.4.6: 177,000 lines a CPU second as a backtest and
131,000 as the daemon, against 1,300. Both found the same 220 offenders, ours 24 more: eleven missing pages at an even pace within ten
seconds are more than ten in ten seconds, but a bucket drains meanwhile and does not overflow.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml
from crowdsec_material import Log, scenarios, sigma_rules, truth, twins

from detectors import kernel

PARSERS = {
    "s00-raw": ("syslog-logs",),
    "s01-parse": ("nginx-logs",),
    "s02-enrich": ("dateparse-enrich", "http-logs"),
}
Found = set[tuple[str, str]]


def cpu_s(command: Sequence[str], output: Path) -> float:
    """CPU seconds of a process that writes into a file; raises when it fails."""
    with output.open("wb") as stream:
        files = [(os.POSIX_SPAWN_DUP2, stream.fileno(), 1), (os.POSIX_SPAWN_DUP2, stream.fileno(), 2)]
        child = os.posix_spawnp(command[0], command, dict(os.environ), file_actions=files)
        try:
            _, status, usage = os.wait4(child, 0)
        except KeyboardInterrupt:
            os.kill(child, 15)
            raise
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed:\n{output.read_text(errors='replace')[-2_000:]}")
    return usage.ru_utime + usage.ru_stime


class CrowdSec:
    """CrowdSec from an unpacked package, with a configuration of its own and without the central service."""

    name = "CrowdSec"

    def __init__(self, unpacked: Path, folder: Path) -> None:
        self._binaries = unpacked / "usr/bin"
        self._home = folder / "crowdsec"
        for name in ("scenarios", "postoverflows", "collections", "data", "hub", "notifications", "plugins"):
            (self._home / name).mkdir(parents=True)
        shutil.copytree(unpacked / "etc/crowdsec/patterns", self._home / "patterns")
        hub = unpacked / "usr/share/crowdsec/hub/parsers"
        for stage, names in PARSERS.items():
            (self._home / "parsers" / stage).mkdir(parents=True)
            for name in names:
                shutil.copy(hub / stage / "crowdsecurity" / f"{name}.yaml", self._home / "parsers" / stage)
        for name, text in scenarios().items():
            (self._home / "scenarios" / name).write_text(text)
        self._configure()
        told = ["machines", "add", "bench", "--password", "of-this-race-alone", "--force", "-f", str(self._credentials)]
        cpu_s([str(self._binaries / "cscli"), "-c", str(self._config), *told], folder / "cscli")
        self._empty = self._store.read_bytes()

    @property
    def _config(self) -> Path:
        return self._home / "config.yaml"

    @property
    def _credentials(self) -> Path:
        return self._home / "credentials.yaml"

    @property
    def _store(self) -> Path:
        return self._home / "data/crowdsec.db"

    def _configure(self) -> None:
        home = self._home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        (home / "hub/.index.json").write_text('{"parsers":{},"scenarios":{},"postoverflows":{},"collections":{}}')
        (home / "simulation.yaml").write_text("simulation: off\n")
        (home / "acquis.yaml").write_text("")
        ban = {
            "name": "ban",
            "filters": ["Alert.Remediation == true"],
            "decisions": [{"type": "ban", "duration": "4h"}],
        }
        (home / "profiles.yaml").write_text(yaml.safe_dump(ban | {"on_success": "break"}))
        self._credentials.write_text(f"url: http://{address}\n")
        paths = {
            "config_dir": home,
            "data_dir": home / "data",
            "simulation_path": home / "simulation.yaml",
            "hub_dir": home / "hub",
            "index_path": home / "hub/.index.json",
            "notification_dir": home / "notifications",
            "plugin_dir": home / "plugins",
        }
        config = {
            "common": {"daemonize": False, "log_media": "stdout", "log_level": "info", "working_dir": "."},
            "config_paths": {name: str(path) for name, path in paths.items()},
            "crowdsec_service": {"acquisition_path": str(home / "acquis.yaml"), "parser_routines": 1},
            "db_config": {"log_level": "info", "type": "sqlite", "db_path": str(self._store), "use_wal": False},
            "api": {
                "client": {"credentials_path": str(self._credentials)},
                "server": {"log_level": "info", "listen_uri": address, "profiles_path": str(home / "profiles.yaml")},
            },
            "prometheus": {"enabled": False},
        }
        self._config.write_text(yaml.safe_dump(config))

    def version(self) -> str:
        told = subprocess.run([self._binaries / "crowdsec", "-version"], capture_output=True, text=True, check=True)
        return (told.stdout + told.stderr).split("version: ")[1].split()[0]

    def run(self, log: Path, output: Path) -> float:
        self._store.write_bytes(self._empty)
        told = ["-c", str(self._config), "-dsn", f"file://{log}", "-type", "nginx"]
        return cpu_s([str(self._binaries / "crowdsec"), *told], output)

    def found(self, _output: Path) -> Found:
        """Alerts in its store."""
        with sqlite3.connect(self._store) as store:
            rows = store.execute("SELECT scenario, source_value FROM alerts").fetchall()
        return {(scenario.removeprefix("bench/"), address) for scenario, address in rows}


class Miniwatch:
    """Ours, as a backtest or as the daemon that reads to the end."""

    def __init__(self, folder: Path, *, daemon: bool) -> None:
        self.name = "Miniwatch, as the daemon" if daemon else "Miniwatch"
        self._daemon = daemon
        self._command = str(Path(sys.executable).with_name("miniwatch"))
        self._home = folder / ("daemon" if daemon else "backtest")
        self._rules = self._home / "rules"
        self._rules.mkdir(parents=True)
        for name, text in sigma_rules().items():
            (self._rules / f"{name}.yml").write_text(text)
            (self._rules / name).mkdir()
            for file, visits in zip(("hit.jsonl", "miss.jsonl"), twins()[name], strict=True):
                lines = [json.dumps({**visit.event(), "event.id": str(at)}) for at, visit in enumerate(visits)]
                (self._rules / name / file).write_text("\n".join(lines) + "\n")

    def version(self) -> str:
        told = subprocess.run([self._command, "--version"], capture_output=True, text=True, check=True)
        return f"{told.stdout.strip()}, {'native kernel' if kernel.available() else 'pure Python'}"

    def run(self, log: Path, output: Path) -> float:
        data = self._home / "data"
        shutil.rmtree(data, ignore_errors=True)
        source = ["--source", f"file:{log}?format=combined", "--data-dir", str(data)]
        if not self._daemon:
            return cpu_s([self._command, "backtest", "--rules", str(self._rules), "-o", "ndjson", *source], output)
        told = ["--config", str(self._config())]
        return cpu_s([self._command, "run", "--until-end", *told, *source], output)

    def _config(self) -> Path:
        config = self._home / "config.toml"
        config.write_text(f"[rules]\nbuiltin = false\nfolders = [{json.dumps(str(self._rules))}]\n")
        return config

    def found(self, output: Path) -> Found:
        """Findings that a backtest printed, or that the daemon keeps."""
        if self._daemon:
            told = ["--config", str(self._config()), "--data-dir", str(self._home / "data")]
            cpu_s([self._command, "findings", "list", "-o", "ndjson", *told], output)
        lines = [json.loads(line) for line in output.read_text().splitlines() if line.startswith("{")]
        return {(one["title"], one["entity"]["value"]) for one in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("unpacked", type=Path)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    if not (asked.unpacked / "usr/bin/crowdsec").exists():
        raise SystemExit(f"no usr/bin/crowdsec in {asked.unpacked}: apt-get download crowdsec, and dpkg -x it there")
    with tempfile.TemporaryDirectory() as scratch:
        race(Path(scratch), asked.unpacked, Log(asked.seed, asked.lines), asked.repeat)


def race(folder: Path, unpacked: Path, log: Log, repeat: int) -> None:
    whole, one = folder / "access.log", folder / "one.log"
    lines = [visit.line() for visit in log.visits]
    whole.write_text("".join(lines))
    one.write_text(lines[0])
    theirs, ours, daemon = CrowdSec(unpacked, folder), Miniwatch(folder, daemon=False), Miniwatch(folder, daemon=True)
    print(
        f"{len(lines):,} lines of {whole.stat().st_size / len(lines):.0f} bytes; CrowdSec {theirs.version()}, {ours.version()}"
    )
    runners = (ours, daemon, theirs)
    times, found = _run(runners, (one, whole), folder / "output", repeat)
    net = {who.name: times[who.name, whole] - times[who.name, one] for who in runners}
    for who in runners:
        print(
            f"{who.name}: {len(lines) / net[who.name]:,.0f} lines a CPU second; "
            f"{times[who.name, whole]:.2f} s in all, {times[who.name, one]:.2f} s of them to start"
        )
    for who in (ours, daemon):
        print(f"{who.name}: {net[theirs.name] / net[who.name]:.0f} times CrowdSec")
    sliding, leaking = truth(log.visits, bucket=False), truth(log.visits, bucket=True)
    for who, expected in ((ours, sliding), (daemon, sliding), (theirs, leaking)):
        tell(who.name, found[who.name], expected)
    compare(found[ours.name], found[theirs.name], sliding - leaking, leaking - sliding)


def _run(
    runners: Sequence[CrowdSec | Miniwatch], logs: Sequence[Path], output: Path, repeat: int
) -> tuple[dict[tuple[str, Path], float], dict[str, Found]]:
    """The least CPU seconds of each over each log, in turns, and what it found in the last."""
    times: dict[tuple[str, Path], float] = {}
    found = {}
    for _ in range(repeat):
        for log in logs:
            for who in runners:
                spent = who.run(log, output)
                times[who.name, log] = min(times.get((who.name, log), spent), spent)
                found[who.name] = who.found(output)
                print(f"    {who.name}, {log.stem}: {spent:.2f} CPU s", file=sys.stderr, flush=True)
    return times, found


def tell(name: str, found: Found, expected: Found) -> None:
    """How what was found agrees with the model of that way of counting."""
    print(f"{name} found {len(found)} offences, {len({address for _, address in found})} addresses: {_by_rule(found)}")
    for title, differing in (("missed", expected - found), ("beyond it", found - expected)):
        if differing:
            print(f"    against its model, {title}: {sorted(differing)[:9]}")


def compare(ours: Found, theirs: Found, held: Found, poured: Found) -> None:
    """Each difference between the two, and whether the two ways of counting explain it."""
    print(
        f"both: {len(ours & theirs)}; ours alone: {_by_rule(ours - theirs)}; CrowdSec's alone: {_by_rule(theirs - ours)}"
    )
    print(
        f"    at a pace that a window counts and a bucket drains: {len((ours - theirs) & held)} of {len(ours - theirs)}"
    )
    unexplained = (ours - theirs - held) | (theirs - ours - poured)
    print(f"    not explained by the ways of counting: {len(unexplained)}  {sorted(unexplained)[:9] or ''}")


def _by_rule(found: Found) -> str:
    counted = Counter(rule for rule, _ in sorted(found))
    return ", ".join(f"{rule} {count}" for rule, count in counted.items()) or "none"


if __name__ == "__main__":
    main()
