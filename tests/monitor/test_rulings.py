"""What operators have laid down, as a running daemon knows it."""

import json

import pytest

from detectors.finding import Entity, Scope
from monitor.config import load_config
from monitor.holding import shadow
from monitor.playbook_files import LoadedPlaybooks
from monitor.registered import Registered
from monitor.registry import parse_registry
from monitor.rulings import Rulings
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store

NOON = 1_780_315_200 * 1_000_000
HOUR = 3_600 * 1_000_000


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def store(tmp_path):
    return scratch_store(tmp_path)


def import_app(store, **line):
    records, problems = parse_registry([json.dumps(line).encode()], NOON)
    assert not problems
    store.import_apps(records, "operator:ann", NOON)


def test_a_rule_that_was_moved_to_shadow_for_a_time_acts_again_when_it_is_over(store):
    clock = Clock()
    rulings = Rulings(load_config(None, {}), LoadedPlaybooks((), ()), store, clock)
    shadow(store, "rule-1", "operator:ann", "Looking into it", NOON, NOON + HOUR)
    shadow(store, "rule-2", "operator:ann", "Looking into it too", NOON, NOON + 2 * HOUR)
    assert set(rulings().shadowed) == {"rule-1", "rule-2"}
    clock.now = NOON + HOUR
    assert set(rulings().shadowed) == {"rule-2"}
    clock.now = NOON + 2 * HOUR
    assert set(rulings().shadowed) == set()


def test_a_line_of_the_registry_that_is_written_anew_for_the_same_time_protects_at_once(store):
    registry = Registered(store, Telemetry(), lambda: NOON)
    import_app(store, app_id="wx01", as_of="2026-01-01T00:00:00Z")
    assert registry.protected() == set()
    import_app(store, app_id="wx01", as_of="2026-01-01T00:00:00Z", protected=True)
    assert registry.protected() == {Entity(Scope.APP, "wx01")}


def test_what_will_be_protected_is_and_what_will_be_free_is_not_before(store):
    registry = Registered(store, Telemetry(), lambda: NOON)
    import_app(store, app_id="wx01", developer_id="dev1", protected=True)
    import_app(store, app_id="wx01", as_of="2027-01-01T00:00:00Z")
    import_app(store, app_id="wx02", developer_id="dev2")
    import_app(store, app_id="wx02", developer_id="dev2", as_of="2027-01-01T00:00:00Z", protected=True)
    assert {one.value for one in registry.protected()} == {"wx01", "wx02"}
    assert {one.value for one in registry.owners_of_protected()} == {"dev1", "dev2"}
