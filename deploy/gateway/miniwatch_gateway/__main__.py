"""``python3 -m miniwatch_gateway``: run the agent."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

from miniwatch_gateway.agent import Agent
from miniwatch_gateway.haproxy import MapFiles, Runtime
from miniwatch_gateway.miniwatch import Miniwatch, verified
from miniwatch_gateway.registry import Developers


def main(arguments: list[str] | None = None) -> int:
    """Follow Miniwatch until SIGTERM or SIGINT."""
    given = _parser().parse_args(arguments)
    files = MapFiles(given.maps)
    if given.prepare:
        files.prepare()
        return 0
    try:
        tls = verified(given.ca, given.certificate, given.key)
        miniwatch = Miniwatch(given.url, given.token_file, tls)
    except (OSError, ValueError) as error:
        say(str(error))
        return 2
    agent = Agent(
        miniwatch,
        files,
        Runtime(given.socket, files),
        Developers(given.apps),
        given.appeal,
        say,
        alive=lambda: _notify("WATCHDOG=1"),
    )
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: _leave(agent))
    say(f"following {given.url}")
    _notify("READY=1")
    agent.run()
    return 0


def say(line: str) -> None:
    """One line for the log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _leave(agent: Agent) -> None:
    """The maps stay as they are: who is refused stays so until his decision ends."""
    agent.stopping.set()
    raise SystemExit(0)


def _notify(word: str) -> None:
    """Tell systemd, where it started us."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
            notice.connect("\0" + address[1:] if address.startswith("@") else address)
            notice.send(word.encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("miniwatch_gateway", description="Keep HAProxy's maps by Miniwatch's decisions.")
    parser.add_argument(
        "--prepare", action="store_true", help="make the files of the maps, empty where missing, and leave"
    )
    parser.add_argument("--url", default="http://127.0.0.1:9464", help="Miniwatch's HTTP server (default: %(default)s)")
    parser.add_argument(
        "--token-file",
        type=Path,
        default=Path("/etc/miniwatch-gateway/token"),
        help="a token with the role bouncer (default: %(default)s)",
    )
    parser.add_argument("--ca", type=Path, help="the authority of Miniwatch's certificate (default: the system's)")
    parser.add_argument("--certificate", type=Path, help="a certificate to show to Miniwatch")
    parser.add_argument("--key", type=Path, help="its key, where that is in another file")
    parser.add_argument(
        "--maps", type=Path, default=Path("/var/lib/miniwatch-gateway"), help="the maps' folder (default: %(default)s)"
    )
    parser.add_argument(
        "--socket",
        type=Path,
        default=Path("/run/haproxy/miniwatch.sock"),
        help="HAProxy's socket (default: %(default)s)",
    )
    parser.add_argument(
        "--apps", type=Path, help="lines of miniwatch apps list -o ndjson, for decisions about developers"
    )
    parser.add_argument(
        "--appeal",
        default="Write to the platform's security team and name the decision.",
        help="what refused callers are told about objecting: a sentence or an address",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
