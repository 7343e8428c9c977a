"""The API server that tests ask: `make k8s` builds it, and where it was not built its tests are skipped, on CI too."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "helm"))
sys.path.insert(0, str(Path(__file__).parents[2] / "monitor" / "console"))

import apiserver_made
from apiserver import ApiServer
from chart import TOOLS, Tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    return Tools(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    if not TOOLS["helm"].exists():
        pytest.skip(reason="helm is not made: run tests/deploy/helm/tools.sh")
    if apiserver_made.why_not():
        pytest.skip(reason=apiserver_made.why_not())
    with ApiServer(tmp_path_factory.mktemp("api")) as started:
        yield started
