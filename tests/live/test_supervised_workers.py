"""Workers on a topic of a real broker under a supervisor: it is told that they are ready once each of them is, and that they stop."""

import os
import signal
import sys
from pathlib import Path

import pytest
from chaos import produced

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy/systemd"))

from supervising import Listening, command, started

pytestmark = pytest.mark.live


@pytest.mark.parametrize("role", ["all", "detect"])
def test_a_process_with_workers_is_ready_with_them(kafka, tmp_path, role):
    produced(kafka.bootstrap, f"supervised-{role}", 1_000, 2)
    listening = Listening(f"@miniwatch-workers-of-{os.getpid()}")
    source = f"kafka://{kafka.bootstrap}/supervised-{role}?group=w"
    (tmp_path / "config.toml").write_text('http.listen = ""\n')
    words = command("run", "--workers", 2, "--role", role, "--source", source, "--data-dir", "data")
    try:
        with started(words, tmp_path, NOTIFY_SOCKET=listening.address, WATCHDOG_USEC="1000000") as process:
            listening.until("READY=1")
            assert "2 worker" in listening.until("STATUS=Ready | ")
            listening.until("WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            listening.until("STOPPING=1")
            assert process.wait(120) == 0
    finally:
        listening.close()
