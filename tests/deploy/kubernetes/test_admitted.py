"""A real API server takes what the chart makes, where pods must be without rights: without a refusal, and without a warning."""

import copy
import json
import re
import shlex

import apiserver_made
import pytest
import yaml
from authority import Authority
from chart import API, CHART, EVERY, WORKERS

pytestmark = pytest.mark.programs

PODS = ("StatefulSet", "Deployment")


@pytest.fixture(scope="module")
def namespace(api):
    return api.namespace("miniwatch")


def documents(text):
    return [one for one in yaml.safe_load_all(text) if one]


def test_the_server_is_of_the_version_whose_schemas_are_looked_at_everywhere(api):
    told = json.loads(api.does("version", "--output", "json"))["serverVersion"]
    assert told["gitVersion"] == f"v{apiserver_made.version()}"
    assert told["gitVersion"].rpartition(".")[0] == f"v{API.rpartition('.')[0]}"


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_all_of_the_chart_is_taken_without_a_warning(api, namespace, tools, values):
    made = tools.template(*values)
    code, said, warned = api.tried(made, namespace)
    assert (code, warned) == (0, "")
    assert [line.rpartition(" created ")[2] for line in said.splitlines()] == ["(server dry run)"] * len(
        documents(made)
    )


def pods(api, namespace, tools, values):
    """The pods that the controllers of Kubernetes would make of the chart's workloads."""
    every = documents(tools.template(*values))
    account = next(one for one in every if one["kind"] == "ServiceAccount")
    api.does("apply", "--namespace", namespace, "--filename", "-", given=account)
    found = []
    for one in every:
        if one["kind"] not in PODS:
            continue
        pod = copy.deepcopy(one["spec"]["template"])
        pod |= {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"]["name"] = f"{one['metadata']['name']}-0"
        pod["spec"]["volumes"] += [
            {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "some"}}
            for claim in one["spec"].get("volumeClaimTemplates", ())
        ]
        found.append(pod)
    return found


@pytest.mark.parametrize("values", EVERY.values(), ids=EVERY)
def test_every_pod_of_the_chart_is_let_in(api, namespace, tools, values):
    for pod in pods(api, namespace, tools, values):
        assert api.tried(pod, namespace)[::2] == (0, "")


def privileged(pod):
    pod["containers"][0]["securityContext"] |= {"privileged": True, "allowPrivilegeEscalation": True}


def root(pod):
    pod["securityContext"] |= {"runAsUser": 0}


def somebody(pod):
    del pod["securityContext"]["runAsNonRoot"]


def folder_of_the_node(pod):
    pod["volumes"].append({"name": "node", "hostPath": {"path": "/"}})


def network_of_the_node(pod):
    pod["hostNetwork"] = True


def capability(pod):
    pod["containers"][0]["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]


def every_system_call(pod):
    del pod["securityContext"]["seccompProfile"]


BAD = {
    privileged: "privileged",
    root: "runAsUser=0",
    somebody: "runAsNonRoot != true",
    folder_of_the_node: "hostPath",
    network_of_the_node: "host namespaces",
    capability: "unrestricted capabilities",
    every_system_call: "seccompProfile",
}


@pytest.mark.parametrize(("worse", "why"), BAD.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_pod_that_asks_for_more_is_refused(api, namespace, tools, worse, why):
    """Else the tests above would say nothing."""
    for pod in pods(api, namespace, tools, WORKERS):
        worse(pod["spec"])
        code, _, said = api.tried(pod, namespace)
        assert code != 0
        assert 'violates PodSecurity "restricted:latest"' in said
        assert why in said


@pytest.mark.parametrize(("worse", "why"), BAD.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_what_would_make_such_pods_is_warned_of(api, namespace, tools, worse, why):
    for one in documents(tools.template(*WORKERS)):
        if one["kind"] in PODS:
            worse(one["spec"]["template"]["spec"])
            code, _, warned = api.tried(one, namespace)
            assert code == 0, warned
            assert warned.startswith("Warning: would violate PodSecurity")
            assert why in warned


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("automountServiceAccountToken: false", "automountServiceAccountTokens: false"),
        ("maxReplicaCount:", "maxReplicas:"),  # of KEDA's kind
        ("minReplicaCount: 2", "minReplicaCount: two"),
        ("path: /metrics", "paths: /metrics"),  # of the Prometheus Operator's
        ("expr: ", "expression: "),
    ],
)
def test_what_the_kinds_do_not_know_is_refused(api, namespace, tools, right, wrong):
    made = tools.template(*WORKERS)
    assert right in made
    code, _, said = api.tried(made.replace(right, wrong), namespace)
    assert code != 0
    assert re.search(r"unknown field|must be of type", said)


def test_another_version_with_another_configuration_needs_nothing_to_be_removed_first(api, tools):
    there = api.namespace("upgraded")
    for values in (WORKERS, (*WORKERS, "--set", "image.tag=9.9.9,respond.replicas=3,startup_s=30,secrets=null")):
        api.does("apply", "--namespace", there, "--filename", "-", given=tools.template(*values))
    image = api.got("statefulset", "mw-miniwatch-detect", "--namespace", there)["spec"]["template"]["spec"]
    assert image["containers"][0]["image"].endswith(":9.9.9")


def test_the_size_of_a_volume_cannot_be_changed_by_an_upgrade(api, tools):
    """As docs/kubernetes.md says."""
    there = api.namespace("grown")
    api.does("apply", "--namespace", there, "--filename", "-", given=tools.template())
    code, _, said = api.tried(tools.template("--set", "standalone.storage.size=200Gi"), there)
    assert code != 0
    assert "updates to statefulset spec for fields other than" in said


ACCOUNT = "system:serviceaccount:asked:mw-miniwatch"
GROUPS = (
    "--as-group=system:serviceaccounts",
    "--as-group=system:serviceaccounts:asked",
    "--as-group=system:authenticated",
)
RIGHTS = [
    "get secrets",
    "list pods",
    "create pods/exec",
    "get configmaps",
    "delete networkpolicies",
    "list nodes",
    "* *",
]


@pytest.fixture(scope="module")
def asked(api, tools):
    there = api.namespace("asked")
    api.does("apply", "--namespace", there, "--filename", "-", given=tools.template(*WORKERS))

    def may(right):
        words = ("auth", "can-i", *right.split(), "--namespace", there, f"--as={ACCOUNT}", *GROUPS)
        code, said, _ = api.kubectl(*words)
        assert said.strip() in {"yes", "no"}
        assert (code == 0) == (said.strip() == "yes")
        return code == 0

    return may


@pytest.mark.parametrize("right", RIGHTS)
def test_the_account_of_the_pods_may_do_nothing(asked, right):
    assert not asked(right)


def test_a_right_that_is_given_is_one_that_it_has(api, asked):
    api.does("create", "role", "reader", "--namespace", "asked", "--verb=list", "--resource=pods")
    words = ("create", "rolebinding", "reader", "--namespace", "asked", "--role=reader")
    api.does(*words, "--serviceaccount=asked:mw-miniwatch")
    assert asked("list pods")
    api.does("delete", "rolebinding", "reader", "--namespace", "asked")
    assert not asked("list pods")


@pytest.fixture(scope="module")
def empty(api):
    """A namespace in which nothing is that helm has not made."""
    return api.namespace("empty")


CUT_OFF = "networkPolicy.egress is empty"
IN_CLEAR = "Without tlsSecret"


@pytest.mark.parametrize(
    ("values", "where", "told"),
    [
        ((), "statefulset/mw-miniwatch-all", {CUT_OFF, IN_CLEAR}),
        (("--set", "networkPolicy.enabled=false,tlsSecret=tls"), "statefulset/mw-miniwatch-all", set()),
        (WORKERS, "deployment/mw-miniwatch-api", set()),
    ],
)
def test_whoever_installs_it_is_told_where_commands_go_and_what_is_amiss(api, empty, tools, values, where, told):
    words = ("install", "mw", CHART, "--dry-run=server", "--kubeconfig", api.config, "--namespace", empty)
    code, said = tools.run("helm", *words, *values)
    assert code == 0, said
    notes = said.partition("\nNOTES:\n")[2]
    assert f"kubectl exec --namespace {empty} {where} -- miniwatch doctor" in notes
    assert {one for one in (CUT_OFF, IN_CLEAR) if one in notes} == told
    kind, name = where.split("/")
    assert any(
        (one["kind"].lower(), one["metadata"]["name"]) == (kind, name) for one in documents(tools.template(*values))
    )


def shown(language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", (CHART.parents[2] / "docs" / "kubernetes.md").read_text())


def test_manifests_that_the_documentation_shows_are_taken(api):
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    namespace = api.namespace("shown")
    api.does("create", "--namespace", namespace, "--filename", "-", given=account)  # a cluster's controllers make it
    blocks = [block for block in shown("yaml") if "apiVersion:" in block]
    assert len(blocks) == 2
    for block in blocks:
        assert api.tried(block, namespace)[::2] == (0, "")


def test_what_is_made_of_values_that_the_documentation_shows_is_taken(api, namespace, tools, tmp_path):
    blocks = [block for block in shown("yaml") if "apiVersion:" not in block]
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block)
        made = tools.template("--values", str(tmp_path / f"{number}.yaml"))
        assert api.tried(made, namespace)[::2] == (0, "")


def test_secrets_that_the_documentation_makes_are_taken(api, namespace, tmp_path):
    for name, made in zip(("server.crt", "server.key"), Authority(tmp_path, "ca").issue("tls"), strict=True):
        made.replace(tmp_path / name)
    made = [line for block in shown("sh") for line in block.splitlines() if line.startswith("kubectl create secret")]
    (tmp_path / "ca.crt").write_text("a certificate")
    assert len(made) == 7
    for line in made:
        _, *words = shlex.split(line.replace('"$(openssl rand -hex 32)"', "ab" * 32))
        found = [re.sub(r"\b((server|ca)\.(crt|key))$", rf"{tmp_path}/\1", word) for word in words]
        api.does(*found, "--namespace", namespace, "--dry-run=server")
