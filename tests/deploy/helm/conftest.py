"""The tools that look at the chart; where they are absent its tests are skipped, and on CI they fail."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from lacking import lacking

sys.path.insert(0, str(Path(__file__).parents[2] / "monitor" / "console"))
sys.path.insert(0, str(Path(__file__).parent))

from chart import TOOLS, Tools


@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    absent = [name for name, path in TOOLS.items() if not path.exists()]
    if absent:
        why = f"not made: {', '.join(absent)}; run tests/deploy/helm/tools.sh, which needs Go"
        if shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin") is None:
            pytest.skip(reason=f"{why} and is not there")
        lacking(why)
    return Tools(tmp_path_factory.mktemp("chart"))
