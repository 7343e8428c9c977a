"""What holds for all tests."""

import os
from pathlib import Path

from hypothesis import settings

# A law says what is true, not how fast on a machine that does other things beside: benchmarks measure.
settings.register_profile("untimed", parent=settings(), deadline=None)
settings.load_profile("untimed")

SHARE = float(os.environ.get("EXAMPLES_SHARE", "1"))
"""The part of its examples that each law is tried with. Others are drawn each time, so that many short runs see what one long run sees.

Its name does not begin with MINIWATCH_: what does is a setting, and unknown ones are refused.
"""

TESTS = Path(__file__).parent

FEWEST = 6
"""Laws are tried with so many examples in any case, unless they ask for fewer."""

_SETTINGS = "_hypothesis_internal_use_settings"  # where Hypothesis looks when a law is tried; no public name reaches an explicit number


FIRST = ("live", "journeys", "deploy")
"""Folders whose tests take longest and mostly wait: begun first, they leave no worker alone with them at the end."""


def pytest_collection_modifyitems(items):
    shorten({item.function for item in items if hasattr(item, "function")}, SHARE)
    items.sort(key=lambda item: _turn(item.path.relative_to(TESTS).parts[0]))


def _turn(folder):
    return FIRST.index(folder) if folder in FIRST else len(FIRST)


def shorten(laws, share):
    """Have laws tried with a part of the examples that they ask for."""
    for law in laws:
        asked = getattr(law, _SETTINGS, None)
        if asked is not None and share < 1:
            fewest = min(FEWEST, asked.max_examples)
            setattr(law, _SETTINGS, settings(asked, max_examples=max(fewest, round(asked.max_examples * share))))
