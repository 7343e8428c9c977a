"""The guide has every secret that can be handed over as a file, and what it has is taken."""

import re
from pathlib import Path
from typing import get_origin

import pytest

from monitor.config import load_config
from monitor.config.keys import AllKeys
from monitor.config.problems import all_keys, field_at, holds_secret, names_file

GUIDE = Path(__file__).parents[3] / "docs" / "systemd.md"
TEXT = """
[[webhooks]]
name = "one-of-them"
url = "https://oncall.example/miniwatch"

[[pagerduty]]
name = "one-of-them"

[[alertmanagers]]
name = "one-of-them"
urls = ["https://alerts.example"]
username = "miniwatch"

[[apprise]]
name = "one-of-them"

[[enforcers]]
name = "one-of-them"
url = "https://platform.example/miniwatch"
"""
VALUES = {
    "people.key": "ab" * 32,
    "pagerduty.NAME.routing_key": "a" * 32,
    "apprise.NAME.target": "mailtos://u:p@h.example",
}

BESIDE = {"elasticsearch.password": {"MINIWATCH_ELASTICSEARCH__USERNAME": "miniwatch"}}


def _told_as(path):
    """A key as a file is named for it; tables of lists go by their names."""
    is_list = get_origin(AllKeys.model_fields[path[0]].annotation) is tuple
    return ".".join((path[0], *(("NAME",) if is_list else ()), *path[1:]))


SECRETS = [_told_as(path) for path in all_keys() if holds_secret(field_at(path))]
FILES = {_told_as(path) for path in all_keys() if names_file(field_at(path))}


def test_the_table_has_every_secret_and_nothing_that_is_not_taken():
    table = GUIDE.read_text().partition("| file | is |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([a-z_]+(?:\.[a-zA-Z_]+)+)`", table))
    assert told - FILES == {*SECRETS}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_of_this_name_is_taken(tmp_path, name):
    file = tmp_path / "credentials" / f"secrets_{name.replace('NAME', 'one_of_them')}"
    file.parent.mkdir()
    file.write_text(VALUES.get(name, "a secret"))
    file.chmod(0o400)
    (tmp_path / "config.toml").write_text(TEXT)
    environ = {"CREDENTIALS_DIRECTORY": str(file.parent), **BESIDE.get(name, {})}
    config = load_config(tmp_path / "config.toml", environ)
    assert f"credential {file.name}" in {each.origin for each in config.describe()}
