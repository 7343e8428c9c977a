"""From an event to enforcers that are told: a webhook that has received it, and the program that CrowdSec's bouncer calls.

    python tests/bench/enforcer_latency.py [--offences N] [--load EVENTS_PER_S] [--poll-s S]

The same daemon, offences and stream beside it as in ``gateway_latency.py``, but no gateway. The webhook is a server of this process that
answers at once. The bouncer is Debian's crowdsec-custom-bouncer, where it is found (``CROWDSEC_PROGRAMS``, see tests/live/crowdsec.py); it
asks every ``--poll-s`` seconds, so half of that is waiting on average. Timed from before the event is sent.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

sys.path += [str(Path(__file__).parents[1] / place) for place in ("live", "surroundings")]

from crowdsec import Bouncer, program
from gateway_latency import BUDGETS, PLAYBOOK, Miniwatch, Traffic, offence, percentiles

from detectors import kernel

BETWEEN_S: Final = 0.15
WAIT_S: Final = 30.0
ENFORCER: Final = """
[[enforcers]]
name = "platform"
url = "http://127.0.0.1:{port}/"
secret_file = "{secret}"
"""


class Received:
    """When each app's penalty was received."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        received = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                received.times.setdefault(told["appid"], time.time())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Place:
    """What the bouncer asks of the place where its daemon is."""

    def __init__(self, miniwatch: Miniwatch) -> None:
        self.folder, self.port, self._token = miniwatch.folder, miniwatch.port, miniwatch.bouncer

    def token(self, *_: Any) -> str:
        return self._token


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--offences", type=int, default=200)
    parser.add_argument("--load", type=float)
    parser.add_argument("--poll-s", type=int, default=1)
    given = parser.parse_args()
    print(f"native kernel: {kernel.standing()}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"))))
        received = Received()
        secret = folder / "secret"
        secret.touch(0o600)
        secret.write_text("a secret of a benchmark, 32 bytes")
        more = BUDGETS + ENFORCER.format(port=received.server.server_port, secret=secret)
        miniwatch = stack.enter_context(Miniwatch(folder / "miniwatch", PLAYBOOK, ("http:",), more))
        bouncer = None
        if program("crowdsec-custom-bouncer") is not None:
            bouncer = Bouncer(Place(miniwatch), given.poll_s)
            stack.enter_context(bouncer.running())
        traffic = Traffic(miniwatch)
        load = given.load
        if load is None:
            traffic.saturate()  # the first is a start
            load = traffic.saturate() / 2
        print(f"beside it {load:,.0f} events a second, of {load * 2:,.0f} at most")
        if load:
            threading.Thread(target=traffic.run, args=(load,), daemon=True).start()
            stack.callback(traffic.leave)
        time.sleep(3)
        begun: dict[str, float] = {}
        for number in range(given.offences):
            app = f"wxoffence{number:05}"
            begun[app] = time.time()
            assert miniwatch.send(offence(app))
            time.sleep(BETWEEN_S)
        _report("event to webhook received", begun, lambda: received.times)
        if bouncer is None:
            print("no crowdsec-custom-bouncer was found")
        else:
            what = f"event to the bouncer's program called, asking every {given.poll_s} s"
            _report(what, begun, lambda: {value: at for act, value, _, at in reversed(bouncer.acts()) if act == "add"})


def _report(what: str, begun: dict[str, float], ended: Any) -> None:
    until = time.monotonic() + WAIT_S
    while not begun.keys() <= (times := ended()).keys():
        if time.monotonic() > until:
            sys.exit(f"{what}: {len(begun.keys() - times.keys())} were not carried out within {WAIT_S:.0f} s")
        time.sleep(0.1)
    percentiles(what, [times[app] - at for app, at in begun.items()])


if __name__ == "__main__":
    main()
