"""The image is started as the chart's pod is: as nobody in particular, on a file system that cannot be written, with nothing but the program."""

import json
import os
import re
import stat
from email.parser import HeaderParser

import pytest
from contained import IMAGE, Pod
from miniwatch_image import debian, layout, program

pytestmark = pytest.mark.programs


def test_the_image_is_what_the_chart_asks_for(bundle, pod):
    assert pod.image == f"{layout.NAME}:{bundle.version}"
    assert bundle.wanted["process"]["user"]["uid"] == pod.user


def test_it_says_which_version_it_is(bundle, pod):
    assert bundle.run(pod, "--version") == (0, f"miniwatch {bundle.version}\n")


def test_a_day_is_read_to_its_end(bundle, pod):
    data = f"/{debian.HOME}"
    for words in (
        f"simulate --seed 7 --events 3000 --hours 2 -O {data}/day.ndjson --registry {data}/apps.ndjson",
        f"apps import {data}/apps.ndjson",
        f"run --until-end --source file:{data}/day.ndjson",
    ):
        code, said = bundle.run(pod, *words.split())
        assert code == 0, said
    code, said = bundle.run(pod, "ledger", "-o", "ndjson")
    assert code == 0, said
    assert sum(json.loads(line)["processed"] for line in said.splitlines()) >= 3000
    code, said = bundle.run(pod, "findings", "list", "-o", "ndjson")
    assert code == 0
    assert len(said.splitlines()) > 1


@pytest.fixture(scope="module")
def running(bundle, manifests, tmp_path_factory):
    with bundle.running(Pod(manifests, tmp_path_factory.mktemp("pod"))) as started:
        started.until(lambda: started.asked("/readyz")[0] == 200)
        yield started


def test_the_pod_of_the_chart_is_ready_and_takes_events(running):
    assert running.asked("/healthz")[0] == 200
    # As docs/kubernetes.md has it typed, behind `kubectl exec`.
    added = "miniwatch tokens add shipper --role ingest --reason X"
    code, said = running.does(*added.split())
    assert code == 0, said
    token = next(word for word in said.split() if len(word) > 40)
    made = running.does(*f"miniwatch simulate --seed 7 --events 3000 --hours 2 -O /{debian.HOME}/day.ndjson".split())
    assert made[0] == 0, made[1]
    status, said = running.asked("/v1/events", token, f"/{debian.HOME}/day.ndjson")
    assert (status, json.loads(said)) == (200, {"taken": 3000})

    def processed():
        ledger = running.does("miniwatch", "ledger", "-o", "ndjson")[1]
        return sum(json.loads(line)["processed"] for line in ledger.splitlines()) >= 3000

    running.until(processed)


def test_it_leaves_in_order_within_the_time_that_it_is_given(bundle, pod):
    with bundle.running(pod) as started:
        started.until(lambda: started.asked("/healthz")[0] == 200)
        assert started.ended(pod.grace_s) == 0
        assert '"event":"stopped"' in started.log()


WRITES = """
import os, pathlib
for place in ("/", "/etc", "/opt/miniwatch", "/usr/bin", "/var", "/run", "/tmp", os.environ["MINIWATCH_DATA_DIR"]):
    try:
        pathlib.Path(place, "written").touch()
        print(place)
    except OSError:
        pass
"""


def test_nothing_can_be_written_but_data_and_what_passes(running):
    assert running.does("python", "-c", WRITES) == (0, f"/tmp\n/{debian.HOME}\n")


def test_the_process_has_no_rights(running):
    status = HeaderParser().parsestr(running.does("python", "-c", "print(open('/proc/1/status').read())")[1])
    assert set(status["Uid"].split()) == {str(debian.USER)}
    assert {int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


IMPORTS = """
import importlib, pkgutil
for room in ("monitor", "detectors", "playbooks"):
    for module in pkgutil.walk_packages(importlib.import_module(room).__path__, room + "."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name != "confluent_kafka":  # an extra that the image is without
                    raise
import apprise, zoneinfo, ssl
zoneinfo.ZoneInfo("Asia/Shanghai")
assert len(ssl.create_default_context().get_ca_certs()) > 100
print("all")
"""


def test_all_that_the_program_can_ask_for_is_there(running):
    """Libraries of the system, time zones and certificates among it."""
    assert running.does("python", "-c", IMPORTS) == (0, "all\n")


def test_the_kernel_is_at_work_where_one_was_built(running):
    built = any(one["purl"].startswith("pkg:cargo/") for one in parts())
    code, _ = running.does("python", "-c", "import miniwatch_native")
    assert (code == 0) == built


def test_nothing_is_compiled_at_start(running):
    """Byte code is there and taken for valid, though nobody knows when files were written."""
    code, said = running.does("python", "-v", "-c", "import monitor.cli.tree, sklearn.ensemble, json.decoder")
    assert code == 0
    assert re.search(r"# code object from '.*\.pyc'", said)
    assert re.findall(r"# code object from .*\.py\b[^c].*|# wrote .*", said) == []


def test_there_is_no_shell_and_nothing_that_makes_one_somebody_else(bundle):
    for name in ("sh", "bash", "dash", "busybox", "perl", "apt-get", "dpkg", "su", "mount"):
        assert not [
            path
            for folder in ("usr/bin", "usr/sbin", "usr/local/bin")
            if (path := bundle.root / folder / name).exists()
        ]
    for folder, below, files in os.walk(bundle.root):
        for name in below + files:
            path = os.path.join(folder, name)  # noqa: PTH118 - tens of thousands
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                continue
            assert not mode & (stat.S_ISUID | stat.S_ISGID), path
            assert not mode & stat.S_IWOTH or path == str(bundle.root / "tmp"), path


def parts():
    (document,) = IMAGE.glob("*.cdx.json")
    return json.loads(document.read_text())["components"]


def test_the_list_of_parts_is_that_of_what_is_in_there(bundle):
    site = bundle.root / program.packages(bundle.root)
    installed = {
        (re.sub(r"[-_.]+", "-", said["Name"]).lower(), said["Version"])
        for file in site.glob("*.dist-info/METADATA")
        if (said := HeaderParser().parsestr(file.read_text()))
    }
    status = bundle.root / "var/lib/dpkg/status.d"
    unpacked = {
        (said["Package"], said["Version"])
        for file in status.iterdir()
        if (said := HeaderParser().parsestr(file.read_text()))
    }
    found = {"pypi": set(), "deb": set(), "cargo": set()}
    for one in parts():
        kind = re.match("pkg:([a-z]+)/", one["purl"]).group(1)
        found[kind].add(
            (re.sub(r"[-_.]+", "-", one["name"]).lower() if kind == "pypi" else one["name"], one["version"])
        )
    assert installed == found["pypi"]
    assert unpacked == found["deb"]
    inside = bundle.root / program.PLACE / "share" / "sbom.cdx.json"
    assert json.loads(inside.read_text())["components"] == parts()
    assert not (bundle.root / "usr/share/doc/libc6/changelog.Debian.gz").exists()
    assert all((bundle.root / "usr/share/doc" / name / "copyright").is_file() for name, _ in unpacked)
