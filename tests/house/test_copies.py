"""What has to lie in two places is the same in both."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "deploy" / "prometheus"
CHART = ROOT / "deploy" / "helm" / "miniwatch" / "prometheus"  # a chart can read nothing outside its own folder


@pytest.mark.parametrize("name", ["miniwatch.rules.yml", "miniwatch.alerts.yml"])
def test_the_chart_has_the_rules_of_prometheus(name):
    same = (CHART / name).read_text() == (SOURCE / name).read_text()
    assert same, "cp deploy/prometheus/miniwatch.*.yml deploy/helm/miniwatch/prometheus/"
