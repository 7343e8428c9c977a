"""The chart makes what the API takes and its checkers approve of, and pods that the program understands."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from authority import Authority
from chart import CHART, EVERY, WORKERS
from typer.testing import CliRunner

from monitor.cli.tree import app
from monitor.config import load_config
from monitor.console.health import Check
from monitor.stores.places import Places


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_helm_finds_nothing_wrong(tools, values):
    code, said = tools.run("helm", "lint", "--strict", CHART, *values)
    assert code == 0, said


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_manifests_are_what_the_api_takes(tools, values):
    code, said = tools.conform(tools.template(*values))
    assert code == 0, said


def test_what_the_api_does_not_take_is_seen(tools):
    broken = tools.template().replace("automountServiceAccountToken: false", "automountServiceAccountTokens: false")
    code, said = tools.conform(broken)
    assert code != 0
    assert "automountServiceAccountTokens" in said


@pytest.mark.parametrize("values", [(), WORKERS], ids=["standalone", "workers"])
def test_manifests_are_hardened(tools, values):
    code, said = tools.score(tools.template(*values))
    assert code == 0, "\n".join(line for line in said.splitlines() if not re.match(r"\[(OK|SKIPPED)\]", line))


def pods(tools, *values):
    every = [one for one in yaml.safe_load_all(tools.template(*values)) if one]
    return {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["spec"]
        for one in every
        if one["kind"] in ("StatefulSet", "Deployment")
    }, {one["kind"]: one for one in every}


def resolved(variable, role):
    """What Kubernetes writes where the pod's name is asked for."""
    assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    return f"mw-miniwatch-{role}-0"


@pytest.mark.parametrize(("values", "roles"), [((), {"all"}), (WORKERS, {"detect", "respond", "api"})])
def test_pods_run_the_roles_with_a_configuration_that_the_program_reads(tools, tmp_path, values, roles):
    found, kinds = pods(tools, *values)
    assert found.keys() == roles
    written = kinds["ConfigMap"]["data"]["config.toml"]
    for role, pod in found.items():
        (container,) = pod["containers"]
        assert container["args"] == ["run", "--role", role]
        environment = {one["name"]: one.get("value") or resolved(one, role) for one in container["env"]}
        assert environment.pop("MINIWATCH_CONFIG") == "/etc/miniwatch/config.toml"
        mounted = tuple(one["mountPath"] for one in container["volumeMounts"])
        assert environment["MINIWATCH_DATA_DIR"] in mounted
        for path in re.findall(r"/etc/miniwatch/[a-z/.]+", written + " ".join(environment.values())):
            assert path.startswith(mounted)
            here = tmp_path / path.removeprefix("/")
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_text("something\n")
            here.chmod(0o440)
        if "MINIWATCH_HTTP__TLS_KEY" in environment:
            made = Authority(tmp_path, "ca").issue("tls")
            for one in made:
                one.replace(tmp_path / "etc" / "miniwatch" / "tls" / one.name)
        file = tmp_path / "config.toml"
        file.write_text(written.replace("/etc/", f"{tmp_path}/etc/"))
        loaded = load_config(
            file, {name: value.replace("/etc/", f"{tmp_path}/etc/") for name, value in environment.items()}
        )
        assert str(loaded.data_dir) == environment["MINIWATCH_DATA_DIR"]
        # Only the names of a StatefulSet's pods come again, and only workers share partitions.
        assert loaded.kafka.group_instance_id == (f"mw-miniwatch-{role}-0" if role == "detect" else "")


NOBODY_ANSWERS = {Check.START, Check.STOP, Check.LIFE}
READY = {
    "all": NOBODY_ANSWERS,
    "api": NOBODY_ANSWERS | {Check.STORE},
    "detect": NOBODY_ANSWERS | {Check.STORE, Check.SOURCES, Check.MODELS},
    "respond": NOBODY_ANSWERS | {Check.STORE, Check.SOURCES, Check.MODELS},
}


@pytest.mark.parametrize("values", [(), WORKERS], ids=["standalone", "workers"])
def test_a_pod_is_asked_no_more_while_nobody_answers_there_and_not_for_what_people_have_to_mend(tools, values):
    for role, pod in pods(tools, *values)[0].items():
        page = urlsplit(pod["containers"][0]["readinessProbe"]["httpGet"]["path"])
        left_out = parse_qs(page.query, strict_parsing=True)["exclude"]
        assert page.path == "/readyz"
        assert {*map(Check, left_out)} == {*Check} - READY[role]


def test_workers_may_share_their_snapshots(tools):
    """A worker's memory moves with a partition only where the next one finds it."""
    given = ("--set", "detect.snapshots.size=3Gi")
    found, kinds = pods(tools, *WORKERS, *given)
    claim = kinds["PersistentVolumeClaim"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "nfs",
        "resources": {"requests": {"storage": "3Gi"}},
    }
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for role, pod in found.items():
        (container,) = pod["containers"]
        where = str(Places(Path("/var/lib/miniwatch")).snapshots)
        volumes = [one["name"] for one in container["volumeMounts"] if one["mountPath"] == where]
        named = [one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if one["name"] in volumes]
        assert named == ([claim["metadata"]["name"]] if role == "detect" else [])
    assert "PersistentVolumeClaim" not in pods(tools, *WORKERS, "--set", "detect.snapshots.shared=false")[1]


CHANNEL = """
[[alertmanagers]]
name = "oncall"
urls = ["https://alertmanager.monitoring.svc:9093"]
"""


def test_what_is_typed_in_a_pod_goes_by_the_configuration_of_the_pod(tools, tmp_path, monkeypatch):
    given = tmp_path / "config.toml"
    given.write_text(CHANNEL)
    found, kinds = pods(tools, "--set-file", f"config={given}")
    given.write_text(kinds["ConfigMap"]["data"]["config.toml"])
    (container,) = found["all"]["containers"]
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.chdir(data)  # where the image has whoever comes in
    for one in container["env"]:
        here = one["value"].replace("/etc/miniwatch", str(tmp_path)).replace("/var/lib/miniwatch", str(data))
        monkeypatch.setenv(one["name"], here)
    for words in ("tokens add shipper --role ingest --reason X", "notifiers list -o json"):
        said = CliRunner().invoke(app, words.split(), catch_exceptions=False, prog_name="miniwatch")
        assert said.exit_code == 0, said.output
    assert "oncall" in said.output


@pytest.mark.parametrize("values", [(), WORKERS], ids=["standalone", "workers"])
def test_pods_have_no_rights_and_write_nothing_but_their_data(tools, values):
    for pod in pods(tools, *values)[0].values():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        assert not pod["automountServiceAccountToken"]
        writable = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
        assert writable - {"/var/lib/miniwatch/snapshots"} == {"/var/lib/miniwatch", "/tmp"}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("mode=several", "mode is standalone or workers"),
        ("mode=workers", "set store.url"),
        ("mode=workers,config='postgresql://'", "set store.url"),
    ],
)
def test_values_that_cannot_work_are_refused_with_the_reason(tools, values, why):
    code, said = tools.run("helm", "template", "mw", CHART, "--set", values)
    assert code != 0
    assert why in said


def test_workers_that_may_reach_no_broker_and_no_database_are_refused(tools):
    code, said = tools.run("helm", "template", "mw", CHART, *WORKERS, "--set", "networkPolicy.egress=null")
    assert code != 0
    assert "networkPolicy.egress" in said
    tools.template(*WORKERS, "--set", "networkPolicy.egress=null,networkPolicy.enabled=false")


URL = "postgresql://miniwatch@db.svc:5432/miniwatch"
SOURCE = "[[sources]]\nuri = 'kafka://broker.svc:9092/events?group=g'"
SECRET_URL = (
    "--set",
    "env[0].name=MINIWATCH_STORE__URL,env[0].valueFrom.secretKeyRef.name=db,env[0].valueFrom.secretKeyRef.key=url",
)


@pytest.mark.parametrize(
    ("config", "more", "why"),
    [
        (f"[store]\nurl = '{URL}'\n{SOURCE}", (), ""),
        (f'store.url = "{URL}"\n{SOURCE}', (), ""),
        (SOURCE, SECRET_URL, ""),
        (SOURCE, (), "set store.url"),
        (f'# store.url = "{URL}"\n{SOURCE}', (), "set store.url"),
        (f'store.url = "{URL}"', (), "name a source of kafka://"),
        (f'store.url = "{URL}"\n# uri = "kafka://broker.svc:9092/events"', (), "name a source of kafka://"),
    ],
)
def test_where_workers_meet_may_stand_where_the_program_reads_it(tools, tmp_path, config, more, why):
    given = tmp_path / "config.toml"
    given.write_text(config)
    code, said = tools.run("helm", "template", "mw", CHART, *WORKERS, "--set-file", f"config={given}", *more)
    assert (code == 0) == (not why), said
    assert why in said


def test_workers_without_keys_are_refused(tools):
    code, said = tools.run("helm", "template", "mw", CHART, *WORKERS, "--set", "keysSecret=")
    assert code != 0
    assert "people.key and seal.key" in said


def test_workers_go_only_once_the_topic_was_behind_by_less_for_long_enough(tools):
    """Between one worker and more the autoscaler of Kubernetes decides; KEDA's own patience is for going to none."""
    _, kinds = pods(tools, *WORKERS, "--set", "detect.autoscaling.cooldown_s=1234")
    scaled = kinds["ScaledObject"]["spec"]
    behaviour = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] == 1234
    assert "cooldownPeriod" not in scaled


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("minReplicas=0", "minReplicas is 0: at least 1"),
        ("minReplicas=9", "minReplicas is 9: at most maxReplicas (8)"),
        ("cooldown_s=3601", "cooldown_s is 3601: at most 3600"),
        ("topic=", "set bootstrapServers, topic and consumerGroup"),
    ],
)
def test_growth_that_cannot_work_is_refused_with_the_reason(tools, values, why):
    code, said = tools.run("helm", "template", "mw", CHART, *WORKERS, "--set", f"detect.autoscaling.{values}")
    assert code != 0
    assert why in said


def test_how_far_behind_is_written_as_a_whole_number(tools, tmp_path):
    """As KEDA reads it; numbers of a values file are fractions to Helm, and 2e+06 when they are large."""
    given = tmp_path / "values.yaml"
    given.write_text("detect: {autoscaling: {lagThreshold: 2000000}}")
    _, kinds = pods(tools, *WORKERS, "--values", given)
    assert kinds["ScaledObject"]["spec"]["triggers"][0]["metadata"]["lagThreshold"] == "2000000"


def test_what_grows_by_itself_is_counted_by_nobody_else(tools):
    _, kinds = pods(tools, *WORKERS)
    scaled = kinds["ScaledObject"]["spec"]
    assert scaled["triggers"][0]["metadata"]["consumerGroup"] == "miniwatch"
    grown = [
        one
        for one in yaml.safe_load_all(tools.template(*WORKERS))
        if one and one["kind"] == "StatefulSet" and one["metadata"]["name"] == scaled["scaleTargetRef"]["name"]
    ]
    assert [("replicas" in one["spec"]) for one in grown] == [False]
