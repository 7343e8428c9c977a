"""What the daemon can tell is told somewhere, and every metric it documents is moved by something."""

import ast
import re

from monitor.telemetry import feedback, happenings, jobs, metrics, oncall, searching, standing, upkeep
from monitor.telemetry.happening import Happening
from monitor.telemetry.meter import Metric


def test_every_happening_happens_somewhere(sources):
    defined = {
        f"monitor/telemetry/{module.__name__.rpartition('.')[2]}.py"
        for module in (feedback, happenings, jobs, oncall, searching, standing, upkeep)
    }
    made = {
        getattr(node.func, "attr", getattr(node.func, "id", None))
        for name, text in sources.items()
        if name.startswith("monitor/") and name not in defined
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
    }
    assert {kind.__name__ for kind in Happening.__subclasses__()} - made == set()


def test_every_metric_is_moved_by_something(sources):
    named = {name for name, value in vars(metrics).items() if isinstance(value, Metric)}
    catalogue = "monitor/telemetry/metrics.py"
    text = "\n".join(text for name, text in sources.items() if name.startswith("monitor/") and name != catalogue)
    assert {name for name in named if not re.search(rf"\b{name}\b", text)} == set()
