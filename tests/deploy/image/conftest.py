"""The image that tests start: `make image` makes it, and where it was not made, or cannot be run, its tests are skipped, on CI too."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "helm"))

from chart import TOOLS, Tools
from contained import IMAGE, Bundle, Pod, why_not


@pytest.fixture(scope="session")
def bundle():
    if why_not():
        pytest.skip(reason=why_not())
    with tempfile.TemporaryDirectory(dir=IMAGE, prefix="tried-") as folder:  # 800 MB, which are not to stay
        yield Bundle(Path(folder))


@pytest.fixture(scope="session")
def manifests(tmp_path_factory):
    if not TOOLS["helm"].exists():
        pytest.skip(reason="helm is not made: run tests/deploy/helm/tools.sh")
    made = Tools(tmp_path_factory.mktemp("chart")).template()
    return [one for one in yaml.safe_load_all(made) if one]


@pytest.fixture
def pod(manifests, tmp_path):
    return Pod(manifests, tmp_path)
