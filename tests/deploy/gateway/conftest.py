"""A real HAProxy with our configuration between a client and a tiny platform; where HAProxy is not installed, such tests are skipped."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from standing import Gateway, Platform


@pytest.fixture(scope="session")
def haproxy():
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(reason="no haproxy on this machine: `apt-get install haproxy` has these tests run")
    return found


@pytest.fixture
def gateway(haproxy, tmp_path):
    with Platform() as platform, Gateway(haproxy, tmp_path, platform.port) as standing:
        yield standing
