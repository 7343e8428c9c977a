"""``config.toml`` is the reference of the configuration: every key, its default, and a comment."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from monitor.config import load_config
from monitor.config.lines import key_lines
from monitor.config.problems import all_keys, field_at, holds_secret

FILE = Path(__file__).parents[2] / "config.toml"


def _whole_text() -> str:
    """The file with its examples, which stand behind a # without a space, made active; lines stay where they are."""
    return re.sub(r"(?m)^#(?=[\[a-z])", "", FILE.read_text())


def _keys_in_file() -> dict[tuple[str, ...], tuple[object, int]]:
    text = _whole_text()
    content, lines = tomllib.loads(text), key_lines(text)
    found = {}
    for path, line in lines.items():
        value = content
        for step in path:
            value = value[step]
        names = tuple(step for step in path if isinstance(step, str))
        if isinstance(path[-1], str) and names in set(all_keys()):
            found[names] = (value, line)
    return found


def test_config_toml_holds_exactly_the_keys_there_are():
    expected = {key for key in all_keys() if not holds_secret(field_at(key))}
    assert set(_keys_in_file()) == expected


def test_config_toml_shows_every_default_as_it_is():
    for key, (value, line) in _keys_in_file().items():
        field = field_at(key)
        assert field is not None
        if not field.is_required():
            default = field.default
            plain = list(default) if isinstance(default, tuple) else str(default) if key == ("data_dir",) else default
            assert value == plain, f"config.toml:{line} {'.'.join(key)} is {value}; the default is {plain}"


def test_config_toml_comments_every_key_and_says_its_default():
    written = FILE.read_text().split("\n")
    for key, (_value, line) in _keys_in_file().items():
        block = _comment_above(written, line - 1)
        assert block, f"config.toml:{line} {'.'.join(key)} has no comment"
        assert re.search(r"[Dd]efault", block), f"config.toml:{line}: the comment names no default"


def _comment_above(written: list[str], index: int) -> str:
    """The comment of a key; keys that follow one another without a comment between share one."""
    while index > 0 and re.match(r"#?[a-z_]+ =", written[index]):
        index -= 1
    block = []
    while index >= 0 and written[index].startswith("# "):
        block.append(written[index])
        index -= 1
    return "\n".join(reversed(block))


def test_config_toml_as_shipped_is_the_defaults():
    assert load_config(FILE, {}).model_dump() == load_config(None, {}).model_dump()
