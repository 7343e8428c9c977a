"""The units at work under a real systemd, with all that shuts them in: started, reloaded, watched, restarted and stopped."""

import json
import re
import time

import pytest
from booted import ROOT, Booted, why_not
from pasted import blocks

pytestmark = [pytest.mark.programs, pytest.mark.skipif(bool(why_not()), reason=why_not())]

START_S = 120.0
CREDENTIALS = "/run/credentials/miniwatch.service"


@pytest.fixture(scope="module")
def booted(tmp_path_factory):
    try:
        standing = Booted(tmp_path_factory.mktemp("booted")).__enter__()
    except RuntimeError as error:
        pytest.skip(reason=f"no systemd can be booted in namespaces here: {str(error)[-300:]}")
    standing.does("systemd-sysusers", "miniwatch.conf")
    standing.does("systemd-tmpfiles", "--create", "miniwatch.conf")
    standing.write("/etc/miniwatch/config.toml", CONFIG)
    standing.write("/etc/miniwatch/secrets/people.key", "ab" * 32 + "\n", "400")
    standing.does("systemctl", "daemon-reload")
    yield standing
    standing.__exit__()


CONFIG = """
data_dir = "/var/lib/miniwatch"
mode = "shadow"

[rules]
folders = ["/etc/miniwatch/rules"]

[[sources]]
uri = "http:"
"""


@pytest.fixture(scope="module")
def running(booted):
    booted.does("mkdir", "-p", "/etc/miniwatch/rules")
    booted.does("systemctl", "start", "miniwatch.socket", "miniwatch.service")
    return booted


def _until(true):
    ends = time.monotonic() + START_S
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.2)


def test_it_is_ready_and_says_so(running):
    _until(lambda: running.shown("miniwatch", "StatusText")[0].startswith("Ready | shadow, turn "))
    assert running.shown("miniwatch", "ActiveState", "NRestarts", "User") == ("active", "0", "miniwatch")


def test_it_listens_at_the_socket_that_systemd_has_opened(running):
    assert '"status":"alive"' in _asked(running, "/healthz")
    assert "miniwatch" not in running.does("ss", "-Htlnp", "sport = :9464").partition("users:")[0]


def test_a_secret_in_the_folder_of_secrets_is_one_that_it_has(running):
    (pid,) = running.shown("miniwatch", "MainPID")
    shown = running.does("cat", f"/proc/{pid}/root{CREDENTIALS}/secrets_people.key")
    assert shown.strip() == "ab" * 32
    assert running("test", "-e", "/var/lib/miniwatch/keys/people.key").returncode != 0  # none was made


def test_a_command_has_what_the_service_has(running):
    """Its user, its variables and its secrets; and what is typed reaches it as it was typed."""
    running.write("/etc/default/miniwatch", "MINIWATCH_LOG__LEVEL=warning\n")
    shown = running("miniwatch-as-service", "check", "-v").stdout
    assert re.search(r"people.key +<secret> +credential", shown)
    assert re.search(r'log\.level +"warning" +environment', shown)
    reason = "it costs $5 in $HOME, 7 % \"more\", or 'less'"
    person = ("--scope", "OpenId", "--value", "oPerson-1")
    running.does("miniwatch-as-service", "allowlists", "add", *person, "--reason", reason)
    (row,) = map(json.loads, running.does("miniwatch-as-service", "allowlists", "list", "-o", "ndjson").splitlines())
    assert (row["reason"], row["actor"]) == (reason, "operator:miniwatch")
    assert running("miniwatch-as-service", "nothing-of-the-kind").returncode == 2
    without = ("--config", "/etc/miniwatch/config.toml", "--reason", "x")
    refused = running("runuser", "-u", "miniwatch", "--", "miniwatch", "allowlists", "add", *person, *without)
    assert (refused.returncode, "miniwatch-as-service" in refused.stderr) == (3, True)
    running.does("rm", "/etc/default/miniwatch")


def test_events_become_findings_within_all_that_shuts_it_in(running):
    running.does("miniwatch", "simulate", "--seed", "7", "--events", "3000", "--hours", "2", "-O", "/srv/day.ndjson")
    token = running.does("cat", "/var/lib/miniwatch/admin.token").strip()
    sent = _curl(
        running, "-H", f"Authorization: Bearer {token}", "--data-binary", "@/srv/day.ndjson", f"{BASE}/v1/events"
    )
    assert json.loads(sent) == {"taken": 3000}

    def processed():
        ledger = running("miniwatch", "ledger", "-o", "ndjson", "--config", "/etc/miniwatch/config.toml").stdout
        return sum(json.loads(line)["processed"] for line in ledger.splitlines()) >= 3000

    _until(processed)


BASE = "http://127.0.0.1:9464"


def _curl(booted, *words):
    return booted.does("curl", "--silent", "--max-time", "150", *words)


def _asked(booted, path):
    return _curl(booted, f"{BASE}{path}")


def test_a_backup_is_restored_as_the_guide_says_while_somebody_asks_all_the_time(running):
    made, restored = (_step(word) for word in ("backup", "restore"))
    (backs_up, *_, checks, _) = (line.removesuffix(" &&").strip() for line in made.splitlines())
    for _ in range(2):  # each has a name of its own
        running.does("sh", "-ec", backs_up)
        time.sleep(1)
    told = running("sh", "-ec", checks)
    assert (told.stderr, told.stdout.startswith("rules.folders: ")) == ("1 problem.\n", True), told
    ledger = _accounted(running)
    before, starts, after = restored.partition("systemctl start ")
    with running.asking(f"{BASE}/healthz"):
        running.does("sh", "-ec", before.removesuffix(" &&\n  "))
        assert running.shown("miniwatch", "ActiveState") == ("inactive",), "nothing has started it meanwhile"
        running.does("sh", "-ec", starts + after)
    assert running.shown("miniwatch", "ActiveState", "NRestarts") == ("active", "0")
    assert running("flock", "--nonblock", "/var/lib/miniwatch/run.lock", "true").returncode != 0
    assert _accounted(running) == ledger
    audit = running.does("miniwatch", "audit", "list", "-o", "ndjson", "--config", "/etc/miniwatch/config.toml")
    assert '"backup.restore"' in audit
    assert running.does("find", "/var/lib/miniwatch", "!", "-user", "miniwatch") == ""


def _step(word):
    """The one block of the guide's steps that has a command joined to others."""
    steps = blocks((ROOT / "docs" / "systemd.md").read_text(), "sh")
    (block,) = [each for each in steps if f"miniwatch-as-service {word} " in each and " &&\n" in each]
    return block


def _accounted(booted):
    ledger = booted.does("miniwatch", "ledger", "-o", "ndjson", "--config", "/etc/miniwatch/config.toml")
    return [(one["received"], one["processed"]) for one in map(json.loads, ledger.splitlines())]


def test_who_asks_while_it_is_started_anew_waits_and_is_answered(running):
    (before,) = running.shown("miniwatch", "MainPID")
    running.does("systemctl", "restart", "--no-block", "miniwatch")
    _until(lambda: running.shown("miniwatch", "MainPID")[0] != before)
    assert '"status":"alive"' in _asked(running, "/healthz")


def test_a_reload_is_told_and_one_that_is_refused_leaves_all_as_it_was(running):
    _until(lambda: running.shown("miniwatch", "ActiveState")[0] == "active")
    running.does("systemctl", "reload", "miniwatch")
    _until(lambda: '"event":"reloaded","why":"SIGHUP"' in running.log())
    running.write("/etc/miniwatch/rules/broken.yml", "title: [\n")
    running.does("systemctl", "reload", "miniwatch")
    _until(lambda: '"event":"reload_failed","why":"SIGHUP"' in running.log())
    _until(lambda: running.shown("miniwatch", "ActiveState")[0] == "active")
    running.does("rm", "/etc/miniwatch/rules/broken.yml")


def test_one_that_gives_no_sign_of_life_is_ended_and_started_anew(running):
    running.write("/etc/systemd/system/miniwatch.service.d/test.conf", "[Service]\nWatchdogSec=4\nTimeoutAbortSec=1\n")
    running.does("systemctl", "daemon-reload")
    running.does("systemctl", "restart", "miniwatch")
    (pid,) = running.shown("miniwatch", "MainPID")
    running.does("kill", "-STOP", pid)
    _until(lambda: running.shown("miniwatch", "NRestarts")[0] == "1")
    assert "watchdog" in running.does("journalctl", "-o", "cat", "-u", "miniwatch").lower()


def test_it_stops_in_order(running):
    running.does("systemctl", "stop", "miniwatch.socket", "miniwatch.service")
    assert running.shown("miniwatch", "ActiveState", "Result", "ExecMainStatus") == ("inactive", "success", "0")
    assert '"event":"stopped"' in running.log()


TRAINED = """
import numpy, polars, scipy.linalg, sklearn.ensemble, skops.io
rows = numpy.random.default_rng(1).normal(size=(2000, 8))
forest = sklearn.ensemble.IsolationForest(random_state=1).fit(rows)
again = skops.io.loads(skops.io.dumps(forest), trusted=skops.io.get_untrusted_types(data=skops.io.dumps(forest)))
frame = polars.DataFrame(rows).lazy().group_by(polars.col("column_0") > 0).agg(polars.all().sum()).collect()
scipy.linalg.svd(rows)
import apprise
assert apprise.Apprise().add("wecombot://0123456789")
assert (again.predict(rows) == forest.predict(rows)).all() and frame.height == 2
import os
os.nice(10)
try:
    os.sched_setaffinity(0, [0])
except PermissionError:
    print("shut in")
"""


def test_models_are_trained_within_what_shuts_it_in(booted):
    unit = booted.does("cat", "/usr/local/lib/systemd/system/miniwatch.service").splitlines()
    dropped = ("Type=", "ExecStart=", "ExecReload=", "WatchdogSec=", "Restart", "EnvironmentFile=")
    kept = [line for line in unit if not line.startswith(dropped)]
    at = kept.index("[Service]") + 1
    kept[at:at] = [
        "Type=oneshot",
        "Environment=PYTHONPATH=/opt/miniwatch/tree:/opt/miniwatch/packages",
        "ExecStart=/usr/bin/python3 /srv/trained.py",
    ]
    booted.write("/srv/trained.py", TRAINED)
    booted.write("/etc/systemd/system/trained.service", "\n".join(kept))
    booted.does("systemctl", "daemon-reload")
    booted.does("systemctl", "start", "trained")
    assert "shut in" in booted.log()
