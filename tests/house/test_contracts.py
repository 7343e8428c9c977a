"""Who may import whom: the contracts in pyproject.toml hold, and each library that has a door has only that."""

import subprocess
import sys
import tomllib
from pathlib import Path

DOORLESS = {"msgspec", "numpy", "polars"}
"""Used by every room: the shapes of values and columns."""

IMPORTED_AS = {
    "kafka-python": "kafka",
    "opentelemetry-proto": "opentelemetry",
    "prometheus-client": "prometheus_client",
    "protobuf": "google",
    "psycopg[binary]": "psycopg",
    "pydantic-core": "pydantic_core",
    "pysigma": "sigma",
    "python-snappy": "snappy",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}


def test_every_import_contract_is_kept(root):
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]


def test_every_library_has_a_door(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())
    doors = {
        module
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "protected"
        for module in contract["protected_modules"]
    }
    libraries = {name.split(">")[0] for name in project["project"]["dependencies"]}
    assert {IMPORTED_AS.get(name, name) for name in libraries} - DOORLESS <= doors
