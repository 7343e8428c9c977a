"""What holds for all tests."""

import os
import random
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

FEWEST = 3
"""Laws are tried with so many examples in any case, unless they ask for fewer."""

_SETTINGS = "_hypothesis_internal_use_settings"  # where Hypothesis looks when a law is tried; no public name reaches an explicit number


WAITING = ("live", "journeys", "deploy")
"""Folders whose tests take longest, and for half of their time wait for servers and processes; the longest first."""

WAITING_PART = 0.6
"""The part of the whole over which they are spread, so that others compute while they wait; none is left for the end."""


def pytest_collection_modifyitems(config, items):
    left_out = not_drawn(items, SHARE, os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())))
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    shorten({item.function for item in items if hasattr(item, "function")}, SHARE)
    turns = mixed(list(dict.fromkeys(item.path for item in items)))
    items.sort(key=lambda item: turns[item.path])


def mixed(files):
    """The turn of each file of tests: those that wait among the others, each kind in its own order."""
    folders = {file: file.relative_to(TESTS).parts[0] for file in files}
    waiting = sorted(
        (file for file in files if folders[file] in WAITING), key=lambda file: WAITING.index(folders[file])
    )
    others = [file for file in files if folders[file] not in WAITING]
    turns = {file: place * WAITING_PART / len(waiting) for place, file in enumerate(waiting)}
    return {**turns, **{file: place / len(others) for place, file in enumerate(others)}}


def not_drawn(items, share, run):
    """What a run leaves out: of a test marked with `drawn(count)`, all but so many cases where laws are tried with a part of their examples.

    All processes of a run draw the same; the next run draws others.
    """
    cases = {}
    for item in items:
        if share < 1 and item.get_closest_marker("drawn") and not item.get_closest_marker("slow"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    left_out = set()
    for name, alike in cases.items():
        more = len(alike) - alike[0].get_closest_marker("drawn").args[0]
        left_out.update(random.Random(f"{run} {name}").sample(alike, max(0, more)))
    return left_out


def shorten(laws, share):
    """Have laws tried with a part of the examples that they ask for."""
    for law in laws:
        asked = getattr(law, _SETTINGS, None)
        if asked is not None and share < 1:
            fewest = min(FEWEST, asked.max_examples)
            setattr(law, _SETTINGS, settings(asked, max_examples=max(fewest, round(asked.max_examples * share))))
