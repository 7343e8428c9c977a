"""The image and the chart agree on what it is called, who it runs as, where its data is, and where it listens."""

import tomllib
from pathlib import Path

import pytest
import yaml
from miniwatch_image import debian, layout, program

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "miniwatch"

DESCRIBED = layout.Described(version="1.2.3", architecture="amd64", time=0, title="Miniwatch", licence="Apache-2.0")
RUN = layout.configuration(DESCRIBED, [])["config"]


@pytest.fixture(scope="module")
def values():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_name_and_the_version_are_those_that_the_chart_asks_for(values):
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert values["image"]["repository"] == layout.NAME
    assert values["image"]["tag"] == values["image"]["digest"] == ""
    assert chart["appVersion"] == chart["version"] == project["version"]


def test_the_process_is_who_the_chart_says(values):
    security = values["podSecurityContext"]
    assert {security["runAsUser"], security["runAsGroup"], security["fsGroup"]} == {debian.USER}
    assert RUN["User"] == f"{debian.USER}:{debian.USER}"


def test_data_is_where_the_chart_mounts_its_volume_and_the_port_is_the_one_that_it_names():
    pod = (CHART / "templates" / "_helpers.tpl").read_text()
    assert f"{{ name: data, mountPath: /{debian.HOME} }}" in pod
    assert f"containerPort: {layout.PORT}\n" in pod
    assert RUN["ExposedPorts"] == {f"{layout.PORT}/tcp": {}}
    assert f"MINIWATCH_DATA_DIR=/{debian.HOME}" in RUN["Env"]


def test_the_program_is_what_is_started_and_what_is_found_by_its_name():
    """The chart gives arguments only, and people type `miniwatch` behind `kubectl exec`."""
    assert RUN["Entrypoint"] == [f"/{program.PLACE}/bin/miniwatch"]
    assert RUN["Env"][0].startswith(f"PATH=/{program.PLACE}/bin:")


def test_variables_are_settings_that_the_program_knows():
    from monitor.config import load_config  # noqa: PLC0415 - beside what it reads

    environment = dict(one.split("=", 1) for one in RUN["Env"])
    assert str(load_config(None, environment).data_dir) == f"/{debian.HOME}"
