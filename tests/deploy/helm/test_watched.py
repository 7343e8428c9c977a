"""What the chart has the Prometheus Operator do: find every process under the name that rules and alerts go by, and take those."""

import json

import pytest
import yaml
from chart import EVERYTHING, ROOT, WORKERS

PROMETHEUS = ROOT / "deploy" / "prometheus"
ONE = ("--set", "serviceMonitor.enabled=true,prometheusRule.enabled=true")
INSTALLED = "file:///usr/local/share/doc/miniwatch"


def made(tools, *values):
    return [one for one in yaml.safe_load_all(tools.template(*values)) if one]


def chosen(monitor, services):
    """The services that a monitor selects, as the operator does."""
    for service in services:
        labels = service["metadata"]["labels"]
        wanted = monitor["spec"]["selector"]
        if wanted["matchLabels"].items() <= labels.items() and all(
            one["operator"] == "Exists" and one["key"] in labels for one in wanted["matchExpressions"]
        ):
            yield service


@pytest.mark.parametrize("values", [ONE, WORKERS, EVERYTHING], ids=["standalone", "workers", "everything"])
def test_every_process_is_of_the_job_that_alerts_go_by(tools, values):
    """The job is what the label of the service says that `jobLabel` names, else the name of the service."""
    (scraped,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    every = made(tools, *values)
    (monitor,) = (one for one in every if one["kind"] == "ServiceMonitor")
    found = [*chosen(monitor, (one for one in every if one["kind"] == "Service"))]
    roles = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in every
        if one["kind"] in {"StatefulSet", "Deployment"}
    }
    assert {one["spec"]["selector"]["app.kubernetes.io/component"] for one in found} == roles
    for service in found:
        labels = service["metadata"]["labels"]
        job = labels.get(monitor["spec"].get("jobLabel", ""), service["metadata"]["name"])
        assert job == scraped["job_name"]


@pytest.mark.parametrize(("values", "runbooks"), [(ONE, INSTALLED), (EVERYTHING, "https://docs.example/miniwatch")])
def test_rules_are_those_that_are_tested(tools, values, runbooks):
    rules = [one for one in made(tools, *values) if one["kind"] == "PrometheusRule"]
    assert [one["metadata"]["name"] for one in rules] == ["mw-miniwatch-rules", "mw-miniwatch-alerts"]
    for part, rule in zip(("rules", "alerts"), rules, strict=True):
        written = json.dumps(yaml.safe_load((PROMETHEUS / f"miniwatch.{part}.yml").read_text()))
        assert rule["spec"] == json.loads(written.replace(INSTALLED, runbooks))


def test_rules_are_made_only_where_they_are_asked_for(tools):
    assert not [one for one in made(tools) if one["kind"] in {"PrometheusRule", "ServiceMonitor"}]


def let_in(tools, *values):
    """Whom the NetworkPolicy lets in; None where that is everybody."""
    (policy,) = (one for one in made(tools, *values) if one["kind"] == "NetworkPolicy")
    (rule,) = policy["spec"]["ingress"]
    return rule["from"]


OPERATORS = {
    "namespaceSelector": {},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
}


def test_whoever_asks_for_metrics_gets_through_where_the_chart_has_him_ask(tools):
    assert let_in(tools) == [{"podSelector": {}}]
    assert let_in(tools, *ONE) == [{"podSelector": {}}, OPERATORS]
    assert OPERATORS in let_in(tools, *WORKERS)
    named = "serviceMonitor.from[0].namespaceSelector.matchLabels.name=watching"
    assert let_in(tools, *ONE, "--set", named)[1] == {"namespaceSelector": {"matchLabels": {"name": "watching"}}}
    assert let_in(tools, *ONE, "--set", "serviceMonitor.from=null") == [{"podSelector": {}}]
    assert let_in(tools, *ONE, "--set", "networkPolicy.from=null") is None, "who lets in everybody lets him in too"
