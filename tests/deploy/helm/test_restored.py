"""What the guide has typed to put a backup back fits what the chart makes."""

import pytest
import yaml
from chart import CHART, ROOT
from pasted import blocks

GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()


@pytest.fixture
def written():
    """The guide's manifest, as text."""
    (manifest,) = (block for block in blocks(GUIDE, "yaml") if "kind: Pod" in block)
    return manifest


@pytest.fixture
def stateful(tools):
    code, said = tools.run("helm", "template", "miniwatch", CHART)
    assert code == 0, said
    (found,) = (one for one in yaml.safe_load_all(said) if one and one["kind"] == "StatefulSet")
    return found


def test_the_manifest_is_what_the_api_takes(tools, written):
    code, said = tools.conform(written)
    assert code == 0, said


def test_the_claim_is_the_one_that_the_chart_goes_on_with(written, stateful):
    claim, pod = yaml.safe_load_all(written)
    (template,) = stateful["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == f"{template['metadata']['name']}-{stateful['metadata']['name']}-0"
    assert claim["spec"] == template["spec"]
    volumes = {one["name"]: one for one in pod["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}


def test_the_pod_may_do_what_the_charts_own_may_and_writes_where_that_does(written, stateful):
    _, pod = yaml.safe_load_all(written)
    ours = stateful["spec"]["template"]["spec"]
    (container,), (its,) = pod["spec"]["containers"], ours["containers"]
    within = {name: value for name, value in ours["securityContext"].items() if name != "fsGroupChangePolicy"}
    assert pod["spec"]["securityContext"] == within
    assert container["securityContext"] == its["securityContext"]
    assert pod["spec"]["automountServiceAccountToken"] is ours["automountServiceAccountToken"] is False
    assert container["volumeMounts"] == [one for one in its["volumeMounts"] if not one.get("readOnly")]
    assert [one for one in pod["spec"]["volumes"] if one["name"] == "tmp"] == [
        one for one in ours["volumes"] if one["name"] == "tmp"
    ]


def test_what_is_typed_goes_to_what_the_chart_makes(stateful):
    name = stateful["metadata"]["name"]
    typed = "\n".join(blocks(GUIDE.partition("## Back up")[2].partition("\n## ")[0], "sh"))
    for named in (
        f"statefulset/{name} ",
        f"pod/{name}-0 ",
        f"pvc -n miniwatch data-{name}-0 ",
        f"exec -n miniwatch {name}-0 ",
    ):
        assert named in typed
