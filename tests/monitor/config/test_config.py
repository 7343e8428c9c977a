"""The configuration: layers, problems with their places, secrets."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.config import Config, ConfigError, load_config
from monitor.config.lines import key_lines
from playbooks.incident import IncidentConfig
from playbooks.policy import BudgetConfig
from playbooks.risk import RiskConfig


def _problems(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ or {})
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def _origin(config: Config, key: str) -> str:
    return next(setting.origin for setting in config.describe() if setting.key == key)


def test_five_mistakes_of_five_kinds_are_told_in_one_go_with_their_places(tmp_path: Path):
    text = """mode = live
[clock]
lateness_s_max = "5"
latenes_s_max = 5
[retention]
events_days = 30
"""
    problems = _problems(tmp_path, text, {"MINIWATCH_BATCH__ROWS_MAX": "many"})
    starts = [
        "config.toml:1: found invalid value (mode)",
        'config.toml:3 clock.lateness_s_max: found "5"; expected a number',
        "config.toml:4 clock.latenes_s_max: found unknown key latenes_s_max",
        "config.toml:6 retention.events_days: found 30; expected at least 180 days",
        'environment MINIWATCH_BATCH__ROWS_MAX batch.rows_max: found "many"; expected a whole number',
    ]
    assert len(problems) == 5
    assert all(found.startswith(start) for found, start in zip(problems, starts, strict=True)), problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[clock]\nlatenes_s_max = 1", "Did you mean lateness_s_max?"),
        ("lateness_s_max = 1", "Did you mean clock.lateness_s_max?"),
        ("[clok]\nlateness_s_max = 1", "Did you mean clock?"),
        ("[log]\nlevel = 'loud'", "expected one of 'debug', 'info', 'warning' or 'error'"),
        ("[batch]\nrows_max = 0", "expected at least 1 and at most 1000000"),
        ("[batch]\nrows_max = 1.5", "expected a whole number"),
        ("[clock]\nskew_s_max = nan", "expected a finite number"),
        ("clock = 1", "config.toml:1 clock: found 1; expected a table"),
        ("[[sources]]\nformat = 'ndjson'", "config.toml:1 sources[0].uri: found nothing"),
        ("sources = [{uri = 'stdin:'},\n {uri = 'kafka://x'}]", "config.toml:2 sources[1].uri"),
        ("[[sources]]\nuri = 'stdin:'\n[[sources]]\nuri = 'stdin:'", "expected each uri once; 'stdin:' stands twice"),
        ("[http]\nlisten = '0.0.0.0:1'", "set http.listen_anywhere = true"),
        ("[http]\nlisten = 'nonsense'", "config.toml:2 http.listen"),
        ("[[webhooks]]\nname = 'a'\nurl = 'http://far.example/x'", "expected https"),
        ("[[webhooks]]\nname = 'a'\nurl = 'https://u:p@far.example/x'", "a URL without user and password"),
        ("[[webhooks]]\nname = 'a'\nurl = 'https://a.example'\nbackoff_s_min = 9\nbackoff_s_max = 3", ":5 webhooks[0]"),
        ("[rules]\nfolders = ['/no/such']", "config.toml:2 rules.folders[0]"),
        ("data_dir = ''", "expected the path of a folder"),
        ("[risk]\nhigh = 5", "expected at least the weight of low (8)"),
        ("a = 1\na = 2\n", "config.toml:2: found cannot overwrite a value (a)"),
        ("[clock]\n[clock]\n", "config.toml:2: found cannot declare"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(tmp_path: Path, text: str, expected: str):
    assert expected in "\n".join(_problems(tmp_path, text))


def test_a_file_that_is_missing_or_not_text_is_a_problem(tmp_path: Path):
    (tmp_path / "bytes.toml").write_bytes(b"a = 1\nb = '\xff'")
    for name, expected in (
        ("absent.toml", "found no such file; expected a file that can be read"),
        ("bytes.toml", "bytes.toml:2: found bytes"),
    ):
        with pytest.raises(ConfigError, match=expected):
            load_config(tmp_path / name, {})


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("mode = 'live'\n[clock]\nskew_s_max = 1\nstep_s_max = 1\nlateness_s_max = 1")
    environ = {"MINIWATCH_CLOCK__SKEW_S_MAX": "2", "MINIWATCH_CLOCK__STEP_S_MAX": "2"}
    config = load_config(path, environ, {"clock.step_s_max": 3})
    assert (config.clock.lateness_s_max, config.clock.skew_s_max, config.clock.step_s_max) == (1, 2, 3)
    assert _origin(config, "clock.lateness_s_max") == f"{path}:5"
    assert _origin(config, "clock.skew_s_max") == "environment MINIWATCH_CLOCK__SKEW_S_MAX"
    assert _origin(config, "clock.step_s_max") == "command line"
    assert _origin(config, "batch.rows_max") == "default"


def test_the_state_directory_of_systemd_is_the_default_data_dir():
    environ = {"STATE_DIRECTORY": "/var/lib/miniwatch:/other"}
    assert load_config(None, environ).data_dir == Path("/var/lib/miniwatch")
    assert load_config(None, {**environ, "MINIWATCH_DATA_DIR": "/x"}).data_dir == Path("/x")


def test_the_environment_can_say_lists_tables_and_items_by_name(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("[[webhooks]]\nname = 'on-call'\nurl = 'https://a.example'")
    environ = {
        "MINIWATCH_SOURCES": '[{uri = "stdin:"}]',
        "MINIWATCH_WEBHOOKS__ON_CALL__SECRET": "from the environment",
        "MINIWATCH_WEBHOOKS__0__TIMEOUT_S": "3",
        "MINIWATCH_RULES__BUILTIN": "false",
    }
    config = load_config(path, environ)
    assert config.sources[0].uri == "stdin:"
    assert config.webhooks[0].secret is not None
    assert config.webhooks[0].secret.get_secret_value() == "from the environment"
    assert (config.webhooks[0].timeout_s, config.rules.builtin) == (3, False)


@pytest.mark.parametrize(
    ("text", "meant"), [("mine", '["mine"]'), ("a, b", '["a", "b"]'), ("[a]", '["a"]'), ('"a"', '["a"]')]
)
def test_a_variable_that_should_be_a_list_is_told_with_its_spelling(tmp_path: Path, text: str, meant: str):
    (problem,) = _problems(tmp_path, "", {"MINIWATCH_RULES__FOLDERS": text})
    assert f"expected a list. Write MINIWATCH_RULES__FOLDERS='{meant}'." in problem


def test_what_kubernetes_sets_beside_a_service_is_not_ours_but_a_slip_is():
    load_config(None, {"MINIWATCH_SERVICE_HOST": "x", "MINIWATCH_PORT_9464_TCP_ADDR": "x", "MINIWATCH_API_PORT": "x"})
    for name in ("MINIWATCH_CLOCK__LATENES_S_MAX", "MINIWATCH_DATADIR", "MINIWATCH_WEBHOOKS__NOBODY__SECRET"):
        with pytest.raises(ConfigError, match=name):
            load_config(None, {name: "1"})


def test_a_secret_in_the_file_is_refused_and_never_repeated(tmp_path: Path):
    text = "[[webhooks]]\nname = 'a'\nurl = 'https://a.example'\nsecret = 'hunter2hunter2'\n[people]\nkey = hunter2"
    problems = _problems(tmp_path, text)
    assert [problem.partition(" found ")[0] for problem in problems] == [
        "config.toml:4 webhooks[0].secret:",
        "config.toml:6:",
    ]
    assert "hunter2" not in "".join(problems)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://m:hunter2@h/d", "a URL without a password"),
        ("postgresql://m@h/d?password=hunter2", "a URL without a password"),
        ("postgres://m@h/d", "postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://h/d", "postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://m@h", "postgresql://USER@HOST:PORT/DATABASE"),
    ],
)
def test_the_url_of_the_record_is_whole_and_holds_no_password(tmp_path: Path, url: str, told: str):
    (problem,) = _problems(tmp_path, f"[store]\nurl = {url!r}")
    assert problem.startswith("config.toml:2 store.url:")
    assert (told in problem, "hunter2" in problem) == (True, False)


def test_a_secret_file_open_to_everyone_is_a_problem(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("sesame, and more of it\n")
    secret.chmod(0o644)
    text = f"[[webhooks]]\nname = 'a'\nurl = 'https://a.example/hooks/xyz'\nsecret_file = '{secret}'"
    assert "open to everyone (mode 644)" in _problems(tmp_path, text)[0]
    secret.chmod(0o640)
    config = load_config(tmp_path / "config.toml", {})
    assert config.webhooks[0].secret is not None
    assert config.webhooks[0].secret.get_secret_value() == "sesame, and more of it"
    assert "sesame" not in repr(config) + str(config.describe())
    assert "xyz" not in str(config.describe())


def test_defaults_of_risk_incidents_and_budgets_are_those_of_the_playbooks():
    config, risk, incident, budget = load_config(None, {}), RiskConfig(), IncidentConfig(), BudgetConfig()
    assert config.risk.half_life_h * 3600 == risk.half_life_s
    assert all(getattr(config.risk, name) == getattr(risk, name) for name in ("low", "high", "owner_share"))
    assert config.incidents.gap_h * 3600 == incident.gap_s
    assert config.incidents.due_h.critical * 3600 == incident.critical_due_s
    for tier in ("warn", "throttle", "remove", "ban", "all"):
        assert getattr(config.budgets, f"{tier}_per_h") == getattr(budget, f"{tier}_per_hour")


def test_every_key_of_a_difficult_text_is_found_at_its_line():
    text = '''# [not] = "a table"
"q.x" = { b = 2, c.d = [1, # x ]
  { e = "]" }] }
[t.u]   # [z]
s = """
[no]
x = 1 \\""" ""\"""
[[l]]
[[l]]
[l.sub]
w = 1979-05-27 07:32:00
'''
    tomllib.loads(text)
    lines = key_lines(text)
    assert lines["q.x", "c", "d", 1, "e"] == 3
    assert lines["t", "u", "s"] == 5
    assert lines["l", 1, "sub", "w"] == 11
    assert ("no",) not in lines


_NAMES = st.text(alphabet="ab-_ .\"'#[]=\\é", min_size=1, max_size=4)
_SCALARS = st.integers(-9, 9) | st.booleans() | st.text(alphabet="a\"'\n#[]{},=\\ ", max_size=8)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3))


@given(st.dictionaries(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=3), max_size=3))
def test_the_walk_finds_exactly_the_keys_that_the_parser_finds(tables):
    text = "".join(
        f"[{_quoted(table)}] # c\n" + "".join(f"{_quoted(key)} = {_toml(value)} # d\n\n" for key, value in keys.items())
        for table, keys in tables.items()
    )
    assert set(key_lines(text)) == set(_paths(tomllib.loads(text)))


def _quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(char):04x}" if char in '\\"\n' else char for char in text)
    return f'"{escaped}"'


def _toml(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + "".join(f"\n {_toml(item)}, # ]\n" for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    return str(value)


def _paths(value: object, path: tuple = ()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def test_a_key_like_no_other_is_not_taken_for_one(tmp_path: Path):
    file = tmp_path / "c.toml"
    file.write_text('[zones]\nurl = "http://x"\n')
    with pytest.raises(ConfigError, match=r"unknown key zones.*known here: .*webhooks"):
        load_config(file, {}, {})
