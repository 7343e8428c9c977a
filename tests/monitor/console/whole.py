"""A daemon that has every family of pages, and the pages themselves; run as a program, it writes the table of docs/roles.md."""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.app import Daemon, open_daemon
from monitor.config import load_config
from monitor.console.roles import table
from monitor.telemetry import Telemetry

HEAD = """# Who may ask for what

Every page of the server and who gets it: ● with a token of this role, or with none at all. It is made from the pages themselves and tested
against a running daemon; [HTTP](http.md#who-may-do-what) says what the roles are for. Pages that take events are there where `http:` is among the sources.
Where other machines reach the server over TLS, `/metrics` is not for nobody, but for viewers.

"""


@contextmanager
def whole_daemon(folder: Path, **keys: object) -> Iterator[Daemon]:
    """A daemon on a port of its own; `keys` are of ``config.toml``, with two underscores for the dot."""
    written: dict[str, object] = {
        "data_dir": str(folder),
        "sources": [{"uri": "http:"}],
        "http.listen": "127.0.0.1:0",
        "http.failures_max": 1000,
        "http.requests_per_s_max": 100_000.0,
    }
    config = load_config(None, {}, written | {name.replace("__", "."): value for name, value in keys.items()})
    with open_daemon(config, Telemetry(stream=io.StringIO())) as opened:
        opened.has_recovered = True  # there is nothing to remember, and it does not run
        yield opened


def document(daemon: Daemon) -> str:
    return HEAD + table(daemon.front.server.pages)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made, whole_daemon(Path(made)) as running:
        sys.stdout.write(document(running))
