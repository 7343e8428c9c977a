"""The chart, helm, and the tools that look at what it makes, as `tools.sh` makes them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import schemas

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "miniwatch"
MADE = ROOT / "build" / "chart"
API = "1.34.0"

TOOLS = {
    "helm": MADE / "venv" / "bin" / "helm",
    "kubeconform": MADE / "bin" / "kubeconform",
    "kube-score": MADE / "bin" / "kube-score",
}


WORKERS = ("--values", CHART / "values-workers.yaml")
EVERYTHING = (*WORKERS, "--values", Path(__file__).with_name("everything.yaml"))
OTHERS = (
    "--set",
    "networkPolicy.enabled=false,podDisruptionBudget.enabled=false,tlsSecret=tls,keysSecret=keys,image.digest=sha256:0",
)
EVERY = {"standalone": (), "workers": WORKERS, "everything": EVERYTHING, "otherwise": OTHERS}
"""Values with which the chart is looked at."""


class Tools:
    """Helm on the chart, and the checkers on what it makes."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "home"
        self._schemas = folder / "schemas"
        self._schemas.mkdir()
        packaged = next((MADE / "venv" / "lib").glob(f"*/site-packages/kubernetes_validate/*/v{API}-local-strict"))
        schemas.written(packaged, self._schemas)

    def run(self, tool: str, *arguments: object, given: str = "") -> tuple[int, str]:
        """Exit code, and what it said."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home)}
        ran = subprocess.run(
            [TOOLS[tool], *map(str, arguments)],
            input=given,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr

    def template(self, *values: object) -> str:
        """The manifests of the chart with these values."""
        code, said = self.run("helm", "template", "mw", CHART, *values)
        assert code == 0, said
        return said

    def conform(self, manifests: str) -> tuple[int, str]:
        """What the API's schemas say; kinds of others than Kubernetes are looked at nowhere."""
        where = f"{self._schemas}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
        return self.run(
            "kubeconform",
            "-strict",
            "-skip",
            "ScaledObject,ServiceMonitor,PrometheusRule",
            "-schema-location",
            where,
            given=manifests,
        )

    def score(self, manifests: str) -> tuple[int, str]:
        """What kube-score says. Limits of processor time are left out: a turn that is throttled is a late answer."""
        said = (
            "--ignore-container-cpu-limit",
            "--kubernetes-version",
            f"v{API.rpartition('.')[0]}",
            "--output-format",
            "ci",
        )
        return self.run("kube-score", "score", *said, "-", given=manifests)
