"""What decisions cost those whom none is about: a bystander's latency at the gateway with our rules and without, in turns.

    python tests/bench/gateway_overhead.py [--rounds N] [--seconds S] [--decisions N] [--people] [--platform-ms MS]

Needs HAProxy and wrk. "Without" is the same HAProxy with the same configuration, log included, but for what stands between
"decisions: begin" and "decisions: end". The platform behind is another HAProxy that answers after so many milliseconds. One
connection asks again as soon as it is answered. With `--people` a person and a device are among those decided about, so that the
gateway makes hashes of the bystanders' ids. Figures are of this machine.
"""

# ruff: noqa: E402 - what the tests of the gateway stand on is found beside them

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
sys.path[:0] = [
    str(TESTS / "deploy" / "gateway"),
    str(TESTS / "surroundings"),
    str(TESTS.parent / "deploy" / "gateway"),
]

from ports import free_port
from standing import DEPLOY, Gateway, decided

PLATFORM: Final = """
global
    lua-load {folder}/wait.lua
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
frontend platform
    bind 127.0.0.1:{port}
    http-request lua.wait
    http-request return status 200 content-type application/json string '{{"errcode":0}}'
"""
WAIT: Final = """
core.register_action("wait", {{ "http-req" }}, function(txn) if {delay_ms} > 0 then core.msleep({delay_ms}) end end)
"""
REPORT: Final = """
done = function(summary, latency, requests)
    io.write(string.format("%d %d %d %d\\n", latency:percentile(50), latency:percentile(95), latency:percentile(99), summary.requests))
end
"""


def without_decisions(folder: Path) -> Path:
    """The configuration without what enforces."""
    text = (DEPLOY / "haproxy.cfg").read_text()
    plain = re.sub(r"(?s)    # --- decisions: begin.*?# --- decisions: end\n", "", text)
    assert "map_str" not in plain
    path = folder / "without.cfg"
    path.write_text(plain)
    return path


def asked(port: int, seconds: int, script: Path) -> tuple[int, int, int, int]:
    """p50, p95, p99 in microseconds, and how many were answered."""
    command = ["wrk", "-t1", "-c1", f"-d{seconds}s", "-s", str(script)]
    command += ["-H", "X-Miniprogram-App-Id: wx0000000000000001", "-H", "X-Miniprogram-Api: getLocation"]
    command += ["-H", "X-Miniprogram-User: oABCDEFGHIJKLMNOPQRSTUVWXYZ1", "-H", "X-Miniprogram-Device: d-1234567890"]
    command += ["-H", "X-Miniprogram-Version: 1.2.3", f"http://127.0.0.1:{port}/api/getLocation?x=1"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    p50, p95, p99, count = map(int, told.strip().splitlines()[-1].split())
    return p50, p95, p99, count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--decisions", type=int, default=1000)
    parser.add_argument("--people", action="store_true")
    parser.add_argument("--platform-ms", type=int, default=0)
    given = parser.parse_args()
    haproxy = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    if haproxy is None or shutil.which("wrk") is None:
        sys.exit("HAProxy and wrk are needed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        (folder / "wait.lua").write_text(WAIT.format(delay_ms=given.platform_ms))
        (folder / "platform.cfg").write_text(PLATFORM.format(folder=folder, port=port))
        platform = subprocess.Popen([haproxy, "-db", "-f", str(folder / "platform.cfg")])
        stack.callback(platform.kill)
        gateways = {}
        for name, path in (("with", DEPLOY / "haproxy.cfg"), ("without", without_decisions(folder))):
            (folder / name).mkdir()
            made = Gateway(haproxy, folder / name, port, configuration=path, with_key=True)
            gateways[name] = stack.enter_context(made)
        enforced = [decided("ban", value=f"wx{n:016x}", number=n, lasts_s=3600) for n in range(2, given.decisions + 2)]
        if given.people:
            enforced += [
                decided("ban", scope, "0" * 32, number=n, lasts_s=3600)
                for n, scope in enumerate(("OpenId", "DeviceId"), -1)
            ]
        gateways["with"].decide(*enforced)
        (folder / "report.lua").write_text(REPORT)
        found = {"with": [], "without": []}
        for turn in range(given.rounds):
            for name in sorted(gateways, reverse=bool(turn % 2)):
                found[name].append(asked(gateways[name].port, given.seconds, folder / "report.lua"))
    for name, rows in found.items():
        p50, p95, p99, count = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:8} p50 {p50:.0f} us, p95 {p95:.0f} us, p99 {p99:.0f} us, {count / given.seconds:.0f} a second")
    ratios = sorted(one[1] / other[1] for one, other in zip(found["with"], found["without"], strict=True))
    quarter = len(ratios) // 4
    print(
        f"p95 with / without: median of {len(ratios)} pairs {statistics.median(ratios):.3f}, "
        f"half of them {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}"
    )


if __name__ == "__main__":
    main()
