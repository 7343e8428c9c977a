"""Names and sizes: words mean one thing, no room is a lumber-room, no file grows without end."""

import ast
import re
from collections import Counter
from pathlib import PurePosixPath

import pytest

LINES_MAX = 600
LUMBER = {"util", "utils", "helper", "helpers", "common", "base", "misc", "shared", "stuff"}
WORDS_OF_OTHERS = {
    "anomaly": "finding",
    "blacklist": "playbook",
    "checkpoint": "position or snapshot",
    "dryrun": "shadow",
    "manager": "what it is, not that it manages",
    "notification": "alert",
    "scanner": "rule or detector",
    "ticket": "incident",
    "whitelist": "exemption",
    "workflow": "playbook",
}
"""Words that we have another one for."""


def test_no_module_is_a_lumber_room(sources):
    stems = {name: set(re.split(r"[/_]", str(PurePosixPath(name).with_suffix("")))) for name in sources}
    assert {name: parts & LUMBER for name, parts in stems.items() if parts & LUMBER} == {}


def test_no_file_is_longer_than_one_can_hold_in_mind(texts):
    sizes = {name: text.count("\n") for name, text in texts.items() if name.endswith(".py")}
    assert {name: size for name, size in sizes.items() if size > LINES_MAX} == {}


def test_what_tests_share_has_a_name_of_its_own(texts):
    """Their folders are all on the path of one process: of two with one name the second would be the first."""
    shared = Counter(PurePosixPath(name).name for name in texts if name.startswith("tests/") and name.endswith(".py"))
    tests = {name for name in shared if name.startswith("test_")} | {"conftest.py", "__init__.py"}
    assert [name for name, many in shared.items() if many > 1 and name not in tests] == []


def test_every_module_says_what_it_is_for(sources):
    assert [name for name, text in sources.items() if not ast.get_docstring(ast.parse(text))] == []


@pytest.mark.parametrize("word", sorted(WORDS_OF_OTHERS))
def test_public_names_keep_to_our_words(sources, word):
    assert [named for named in _public(sources) if word in named[1].lower().replace("_", "")] == []


def _public(sources):
    """Classes and functions that others may name, with their file."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for name, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, kinds) and not node.name.startswith("_"):
                yield name, node.name
