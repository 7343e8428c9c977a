"""Sigma rules: read from YAML, compiled to questions about columns, matched batch by batch."""

from detectors.sigma.detector import SigmaDetector
from detectors.sigma.explain import Explanation, explain
from detectors.sigma.load import parse_rules
from detectors.sigma.pipeline import read_pipelines
from detectors.sigma.reading import Reading
from detectors.sigma.rule import Rule, RuleProblem, RuleRefusedError, RuleSet
from detectors.sigma.trial import Trial, TrialDetector, YieldingDetector

__all__ = [
    "Explanation",
    "Reading",
    "Rule",
    "RuleProblem",
    "RuleRefusedError",
    "RuleSet",
    "SigmaDetector",
    "Trial",
    "TrialDetector",
    "YieldingDetector",
    "explain",
    "parse_rules",
    "read_pipelines",
]
