"""Texts of rules that somebody spoilt: parts of documents replaced, moved or renamed, lines and letters lost."""

from __future__ import annotations

import copy
import random

import yaml
from sigma.modifiers import modifier_mapping

KEYS = sorted({
    *modifier_mapping, "utf16le", "expand", "condition", "detection", "logsource", "filter", "rules", "correlation", "action",
    "custom", "miniwatch", "id", "title", "name", "level", "type", "timespan", "group-by", "fields", "tags", "related",
    "*", "^a.*$", "row", "code", "order", "_time", "_x",
})  # fmt: skip
LEAVES = [
    None, True, 0, -1, 5, 2**53, 2**70, 1.5, float("inf"), float("nan"), "", "*", "?", "\\", "\\*", "%names%", "%x", "\\%",
    "a" * 3000, "(", "(?=a)", "a{1000}{1000}", "(a|b*)*c", "^$", "10.0.0.0/8", "::/0", "them", "1 of them", "all of *",
    "not not x", "x and", "(" * 40, "\x00", "\ud800", "\u2028", "\u0130", "any", "repeat", "global", "5m", "999999y", "-5s",
    "2026-01-01", "attack.t1059", "low", [], {}, [[]], [{}], {"": None}, {None: 1}, "5d2b1c1e-0000-4000-8000-000000000041",
    {"a|re": "x"}, ["a", 1, None], {"|all": ["a", "b"]}, {"x|contains|all|cased": ["a*", "\\*"]}, [{"a": {"b": "c"}}],
]  # fmt: skip


def places(value, found=None, parent=None, key=None):
    found = [] if found is None else found
    found.append((parent, key, value))
    for name, child in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        places(child, found, value, name)
    return found


def bent(content, dice: random.Random):
    """A document with some of its parts replaced, moved, renamed or doubled."""
    whole = [copy.deepcopy(content)]
    for _ in range(dice.randint(1, 6)):
        found = [place for place in places(whole) if place[0] is not None]
        parent, key, value = dice.choice(found)
        what = dice.randrange(7)
        if what == 0:
            parent[key] = copy.deepcopy(dice.choice(LEAVES))
        elif what == 1:
            parent[key] = copy.deepcopy(dice.choice(found)[2])
        elif what == 2 and len(found) > 2 and parent is not whole:
            del parent[key]
        elif what == 3 and isinstance(parent, dict):
            parent[f"{key}|{dice.choice(KEYS)}"] = parent.pop(key)
        elif what == 4 and isinstance(parent, dict):
            parent[dice.choice(KEYS)] = parent.pop(key)
        elif what == 5:
            parent[key] = [copy.deepcopy(value)] * dice.randint(0, 3)
        elif isinstance(value, str) and value:
            cut = dice.randrange(len(value))
            parent[key] = value[:cut] + dice.choice([one for one in LEAVES if isinstance(one, str)]) + value[cut:]
    return whole[0]


def torn(text: str, dice: random.Random) -> str:
    """A text with some of its lines and letters lost, doubled or exchanged."""
    lines = text.split("\n")
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(lines))
        what = dice.randrange(5)
        if what == 0:
            del lines[at : at + dice.randint(1, 3)]
        elif what == 1:
            lines.insert(at, dice.choice(lines or [""]))
        elif what == 2:
            lines.insert(
                at,
                dice.choice(["---", "...", "- ", "a: &a [*a]", "? x", "!!python/name:os", "%YAML 1.2", "\t", "\ufeff"]),
            )
        elif lines[at]:
            cut = dice.randrange(len(lines[at]))
            lines[at] = (
                lines[at][:cut]
                + dice.choice("{}[]'\":|>&*!%@#,?-\\\x00\x85 \n\u2028a1")
                + lines[at][cut + dice.randint(0, 2) :]
            )
        lines = lines or [""]
    return "\n".join(lines)


def bent_text(dice: random.Random, seeds: list[str]) -> str:
    seed = dice.choice(seeds)
    if dice.random() < 0.4:
        return torn(seed, dice)
    try:
        documents = list(yaml.safe_load_all(seed))
        changed = [bent(one, dice) if dice.random() < 0.8 else one for one in documents]
        return yaml.safe_dump_all(changed, allow_unicode=True, sort_keys=dice.random() < 0.3)
    except yaml.YAMLError:
        return torn(seed, dice)
