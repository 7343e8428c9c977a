"""Ends a server whose tests are gone without having done so: waits until nobody holds the other end of its input any more.

Run as a program with the server's folder, which is removed too. Whatever has the folder in its command line is ended.
"""

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path


def main(folder: str) -> None:
    sys.stdin.read()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            with suppress(OSError):
                if folder.encode() in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
