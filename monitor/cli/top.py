"""``miniwatch top``: what the running daemon does, on one screen."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import BadParameter, Option

from monitor.cli.leaving import Refused
from monitor.cli.options import ConfigFile, DataDir, Form, Output
from monitor.cli.printing import ObjectWriter, wire, write_text
from monitor.cli.screen import APPS_SHOWN, FINDINGS_SHOWN
from monitor.clock import now_us

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.config import Config
    from monitor.overview import Overview
    from monitor.overview.looking import Looker
    from monitor.stores.places import Places

EVERY_S_MIN: Final = 0.5
EVERY_S_MAX: Final = 3600.0

LINES_MAX: Final = 200
"""Of a screen that is higher, the rest stays empty."""

TOKEN_BYTES_MAX: Final = 1024
LEAVING: Final = ("q", "Q", "\x03", "\x04")
"""Keys that end it; the last two where the terminal makes no signal of them, and at its end."""


def top(
    once: Annotated[bool, Option("--once", help="Look once, print it as plain text and leave: for a pipe.")] = False,
    json: Annotated[bool, Option("--json", help="The same as --once -o json.")] = False,
    every: Annotated[
        float, Option("--every", min=EVERY_S_MIN, max=EVERY_S_MAX, metavar="SECONDS", help="How often to look.")
    ] = 1.0,
    token_file: Annotated[
        Path | None,
        Option(
            "--token-file",
            metavar="FILE",
            help="A viewer's token, where the daemon's pages want one. Default: admin.token in the data folder, if there is one.",
            show_default=False,
        ),
    ] = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Show what the running daemon does, again and again: what comes, what it finds and decides, what is behind and what waits.

    A screen that is drawn anew until q is pressed; where the output is no terminal, one look. Rates are those of the last ten seconds, and with --once those of
    the time that --every says. -o ndjson writes one object a look, until it is stopped. It only reads, and rests nine times as long as a look took.
    """
    from monitor.cli.opening import record

    if json and output is Form.NDJSON:
        raise BadParameter("writes one look; leave out -o ndjson", param_hint="--json")
    form = Form.JSON if json else output
    once = once or json or form is Form.JSON or (form is Form.TABLE and not _is_terminal())
    with record(config, data_dir, look=True) as opened:
        if not _is_at_work(opened):
            raise Refused(_nobody(opened.config))
        looker = _looker(opened, token_of(opened.config, opened.places, token_file))
        if once:
            _once(looker, form, every, _place(opened))
        elif form is Form.NDJSON:
            _again_and_again(looker, every)
        else:
            _live(looker, every, _place(opened))


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _place(opened: Opened) -> str:
    return str(opened.config.data_dir)


def _is_at_work(opened: Opened) -> bool:
    """Whether anything of ours works on this record: on this machine, or elsewhere where it is shared."""
    from monitor.cli.opening import is_attended, is_used

    return is_used(opened.config.data_dir) or is_attended(opened)


def _nobody(config: Config) -> str:
    return (
        f"no daemon runs on {config.data_dir.absolute()}. Start it with `miniwatch run`, or name the folder of the one that runs "
        "with --data-dir; `miniwatch doctor` looks over what was left"
    )


def _looker(opened: Opened, token: str) -> Looker:
    from monitor.cli.opening import is_running
    from monitor.overview.busiest import BusiestApps
    from monitor.overview.looking import SECONDS_MAX, Looker
    from monitor.overview.pages import DaemonPages

    config, store, lock = opened.config, opened.store, opened.places.lock

    def running() -> tuple[bool, int | None]:
        if is_running(config.data_dir):
            return True, lock.stat().st_mtime_ns // 1000
        return _is_at_work(opened), None

    half_life_s = round(config.risk.half_life_h * 3600)
    busiest = BusiestApps(store, opened.archive(), half_life_s, SECONDS_MAX)
    return Looker(store, DaemonPages(config.http, token), busiest, running, now_us, time.monotonic)


def token_of(config: Config, places: Places, file: Path | None) -> str:
    """The token to show, where one is wanted at all: what is not asked for is not sent."""
    from monitor.tokens import parts_of

    if file is None and not config.http.is_private:
        return ""
    path = file or places.admin_token
    try:
        with path.open("rb") as read:
            text = read.read(TOKEN_BYTES_MAX).decode(errors="replace").strip()
    except OSError:
        if file is not None:
            raise
        return ""
    if parts_of(text) is None:
        raise Refused(f"{path} does not hold a token; `miniwatch tokens add` makes one")
    return text


# Ways to show it


def _once(looker: Looker, form: Form, every: float, where: str) -> None:
    """Two looks, so that there are rates, and the second of them."""
    from monitor.cli.screen import screen_of

    looker.look(0, 0)
    time.sleep(every)
    now = looker.look(APPS_SHOWN, FINDINGS_SHOWN)
    if form is Form.TABLE:
        for line in screen_of(now, where):
            write_text("".join(part.text for part in line).rstrip())
    else:
        _write([now], form)


def _again_and_again(looker: Looker, every: float) -> None:
    """One object a look; whoever reads them ends it."""
    while True:
        begun = time.monotonic()
        _write([looker.look(APPS_SHOWN, FINDINGS_SHOWN)], Form.NDJSON)
        time.sleep(_pause_s(looker, every, begun))


def _pause_s(looker: Looker, every: float, begun: float) -> float:
    """How long to wait: as long as was asked for, and longer where a look takes long."""
    return max(looker.rest_s, every - (time.monotonic() - begun), 0.0)


def _write(looks: list[Overview], form: Form) -> None:
    for one in looks:
        writer = ObjectWriter(Form.NDJSON, pretty=form is Form.JSON)
        writer.add(told(one))
        writer.close()


def told(now: Overview) -> dict[str, Any]:
    """An overview as programs read it: findings as ``findings list`` writes them."""
    import msgspec

    from monitor.cli.moments import stamp

    row: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(now, findings=()))
    since = now.standing.since
    row["time"] = stamp(now.time)
    row["standing"]["since"] = stamp(since) if since is not None else None
    return {**row, "findings": [wire(finding) for finding in now.findings]}


def _live(looker: Looker, every: float, where: str) -> None:
    """A screen of its own, drawn anew until somebody leaves; the terminal is as it was afterwards, whatever happens."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    with _keys() as leaves, Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                begun = time.monotonic()
                live.update(_drawn(looker, console.height, console.width, where), refresh=True)
                if leaves(_pause_s(looker, every, begun)):
                    return
        except KeyboardInterrupt:
            return


def _drawn(looker: Looker, height: int, width: int, where: str) -> Any:
    """What stands on the screen: the lines that there is room for, each cut at its end."""
    from rich.console import Group
    from rich.text import Text

    from monitor.cli.screen import FAINT, Part, screen_of
    from monitor.refusal import StoreError
    from monitor.stores.record import TooSlow

    rows = min(height, LINES_MAX) - 1
    try:
        lines = screen_of(looker.look(APPS_SHOWN, rows), where, rows=rows)
    except TooSlow:
        lines = [(Part("the record takes too long to answer; it is tried again"),)]
    except StoreError as error:
        lines = [(Part(f"{error}; it is tried again"),)]
    lines += [()] * (rows - len(lines))
    texts = [Text("", no_wrap=True, overflow="ellipsis") for _ in (*lines, ())]
    for text, line in zip(texts, (*lines, (Part("q: leave", FAINT),)), strict=True):
        for part in line:
            text.append(part.text, style=part.style)
        text.truncate(width, overflow="ellipsis")
    return Group(*texts)


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Waits for a key, so long at most, and says whether it was one that ends it. Keys are read as they are pressed, and not shown."""
    import select
    import signal
    import termios
    import tty

    def interrupted(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before_signal = signal.signal(signal.SIGTERM, interrupted)
    descriptor = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(descriptor) if descriptor is not None else None

    def leaves(seconds: float) -> bool:
        if descriptor is None:
            time.sleep(seconds)
            return False
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([descriptor], [], [], left)
            if ready and ((key := sys.stdin.read(1)) in LEAVING or not key):
                return True
        return False

    try:
        if descriptor is not None:
            tty.setcbreak(descriptor)
        yield leaves
    finally:
        if descriptor is not None and before is not None:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, before_signal)
