"""What is in force as detectors."""

from __future__ import annotations

from detectors.learned.detector import LearnedDetector
from monitor.config import Config
from monitor.content.in_force import InForce
from monitor.rules.lineup import Lineup
from monitor.settings import learned_of, statistics_of


def compiled(config: Config, found: InForce) -> Lineup:
    """The lineup of an installation that is configured so; this may take seconds."""
    active, tried = found.models.active, found.models.tried
    learned = None if active is None and tried is None else LearnedDetector(active, tried, learned_of(config))
    rules = found.rules.rules
    return Lineup.of(rules, config.rules.window_events_max, found.trial, statistics_of(config), learned)
