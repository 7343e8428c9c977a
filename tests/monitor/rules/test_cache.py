"""What is kept of compiled rules and passed twins is what working it out again would give, and nothing is trusted for lying there."""

import msgspec
import pytest

from detectors.sigma import Reading, Rule, parse_rules, read_pipelines
from monitor.rules import RuleFolder, builtin_folder, load_rules
from monitor.rules import cache as rule_cache
from monitor.rules.cache import RuleCache, encoded, engine_digest
from monitor.sealing import Seal

RULE = """
title: Rule
id: 7b1d3c52-64ce-4b0f-9a87-0f5f0f2d0001
logsource: {product: miniprogram, service: log}
detection:
  words: {message|contains: alpha}
  number: {event.duration|gte: 1.5}
  condition: words and not number
"""
LINE = '{{"@timestamp":"2026-03-02T08:00:00Z","event.dataset":"miniprogram.log","message":"{}"}}\n'
SOURCES = [("one.yml", RULE), ("two.yml", "not: a rule")]


@pytest.fixture
def told():
    return []


@pytest.fixture
def cache(tmp_path, told):
    return RuleCache(tmp_path / "cache", Seal(b"k" * 32), lambda path, why: told.append((path.name, why)))


@pytest.fixture
def parsing(monkeypatch):
    """Counts how often rules are really parsed."""
    calls = []
    monkeypatch.setattr(rule_cache, "parse_rules", lambda *given: calls.append(1) or parse_rules(*given))
    return calls


@pytest.fixture
def twins_run(monkeypatch):
    from monitor import rules  # noqa: PLC0415

    calls = []
    real = rules.run_twin
    monkeypatch.setattr(rules, "run_twin", lambda *given: calls.append(1) or real(*given))
    return calls


def folder_with_rule(tmp_path):
    folder = tmp_path / "rules"
    (folder / "one").mkdir(parents=True)
    (folder / "one.yml").write_text(RULE)
    (folder / "one" / "hit.jsonl").write_text(LINE.format("alpha"))
    (folder / "one" / "miss.jsonl").write_text(LINE.format("beta"))
    return RuleFolder(folder)


def test_what_is_read_back_is_what_parsing_gives(cache, parsing, told):
    first, second = cache.parse(SOURCES), cache.parse(SOURCES)
    assert first == second == parse_rules(SOURCES)
    assert (len(parsing), told) == (1, [])


def test_the_rules_of_the_program_are_the_same_from_the_cache(cache):
    fresh = load_rules([builtin_folder()])
    assert load_rules([builtin_folder()], cache) == load_rules([builtin_folder()], cache) == fresh
    assert msgspec.msgpack.decode(encoded(fresh.rules), type=tuple[Rule, ...]) == fresh.rules


@pytest.mark.parametrize(
    "change",
    [
        [("one.yml", RULE.replace("alpha", "gamma")), SOURCES[1]],
        [("other.yml", RULE), SOURCES[1]],
        [SOURCES[0]],
        [SOURCES[1], SOURCES[0]],
    ],
    ids=["text", "name", "fewer", "order"],
)
def test_whatever_shapes_the_rules_is_in_the_key(cache, parsing, change):
    cache.parse(SOURCES)
    assert cache.parse(change) == parse_rules(change)
    assert len(parsing) == 2


def test_how_rules_are_read_is_in_the_key(cache, parsing):
    pipelines, _ = read_pipelines([("p.yml", "transformations: [{type: field_name_prefix, prefix: x.}]")])
    for reading in (Reading(), Reading({"x": ["y"]}), Reading(pipelines=pipelines), Reading(spared=frozenset({"a"}))):
        assert cache.parse(SOURCES, reading) == parse_rules(SOURCES, reading)
    assert len(parsing) == 4


def test_another_engine_reads_nothing_of_this_one(cache, parsing, monkeypatch):
    cache.parse(SOURCES)
    monkeypatch.setattr(rule_cache, "engine_digest", lambda: "another")
    cache.parse(SOURCES)
    assert len(parsing) == 2


def test_the_engine_is_known_by_its_source_and_its_libraries(monkeypatch):
    engine_digest.cache_clear()
    before = engine_digest()
    monkeypatch.setattr(rule_cache.metadata, "version", lambda _name: "0")
    engine_digest.cache_clear()
    assert engine_digest() != before
    engine_digest.cache_clear()


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-1], lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], lambda _: b""]
)
def test_a_damaged_file_is_told_and_made_anew(cache, tmp_path, told, parsing, spoil):
    expected = cache.parse(SOURCES)
    (path,) = (tmp_path / "cache").glob("*.sealed")
    path.write_bytes(spoil(path.read_bytes()))
    assert cache.parse(SOURCES) == expected
    assert [name for name, _ in told] == [path.name]
    assert cache.parse(SOURCES) == expected
    assert len(parsing) == 2


def test_a_file_of_another_installation_or_in_anothers_place_is_refused(cache, tmp_path, told):
    foreign = RuleCache(tmp_path / "cache", Seal(b"f" * 32), lambda *_: None)
    foreign.parse(SOURCES)
    assert cache.parse(SOURCES) == parse_rules(SOURCES)
    (path,) = (tmp_path / "cache").glob("*.sealed")
    cache.parse(SOURCES[:1])
    (other,) = set((tmp_path / "cache").glob("*.sealed")) - {path}
    other.write_bytes(path.read_bytes())
    assert cache.parse(SOURCES[:1]) == parse_rules(SOURCES[:1])
    assert len(told) == 2


def test_without_a_place_to_write_rules_load_all_the_same(tmp_path, told):
    (tmp_path / "file").touch()
    cache = RuleCache(tmp_path / "file" / "cache", Seal(b"k" * 32), lambda _, why: told.append(why))
    assert cache.parse(SOURCES) == parse_rules(SOURCES)
    assert told


def test_only_the_newest_sets_are_kept(cache, tmp_path):
    for number in range(rule_cache.SETS_MAX + 3):
        cache.parse([(f"{number}.yml", RULE)])
    assert len([*(tmp_path / "cache").glob("*.sealed")]) == rule_cache.SETS_MAX


def test_a_twin_that_passed_is_not_run_again(cache, tmp_path, twins_run):
    folder = folder_with_rule(tmp_path)
    assert load_rules([folder], cache) == load_rules([folder], cache) == load_rules([folder])
    assert len(twins_run) == 2  # the last one has no cache


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("one/hit.jsonl", LINE.format("gamma")),
        ("one/miss.jsonl", LINE.format("alpha")),
        ("one.yml", RULE.replace("alpha", "delta")),
    ],
)
def test_a_twin_that_no_longer_passes_is_noticed(cache, tmp_path, file, text):
    folder = folder_with_rule(tmp_path)
    assert load_rules([folder], cache).rules
    (folder.path / file).write_text(text)
    assert load_rules([folder], cache).rules == ()
    assert load_rules([folder], cache).rules == ()  # a failure is never remembered as anything else


def test_a_twin_that_is_gone_is_noticed(cache, tmp_path):
    folder = folder_with_rule(tmp_path)
    load_rules([folder], cache)
    (folder.path / "one" / "hit.jsonl").unlink()
    assert load_rules([folder], cache).rules == ()
