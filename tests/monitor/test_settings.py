"""Whatever the configuration says of statistics and models reaches them."""

import pytest

from monitor.config import load_config
from monitor.config.learning import ModelKeys, StatisticsKeys
from monitor.settings import channels_of, learned_of, statistics_of

SAID = {
    "statistics": dict.fromkeys(StatisticsKeys.model_fields.keys() - {"enabled"}, 13_579)
    | {"false_per_thousand_apps_day": 2.0, "quiet_h": 5, "forget_days": 5, "forget_shown_days": 5},
    "models": {"different_max": 13_579, "false_per_thousand_apps_day": 2.0, "findings_per_h_max": 7, "quiet_h": 5},
}
OF_TRAINING = {"enabled", "train_days", "train_every_days", "train_hour_utc", "rows_max", "shadow_h"}


@pytest.mark.parametrize(("section", "key"), [(section, key) for section, said in SAID.items() for key in sorted(said)])
def test_each_key_changes_something(section, key):
    before, after = (load_config(None, {}, said) for said in ({}, {f"{section}.{key}": SAID[section][key]}))
    made = statistics_of if section == "statistics" else learned_of
    assert made(before) != made(after)


def test_all_keys_of_models_are_tried_here_or_are_about_training():
    assert ModelKeys.model_fields.keys() == SAID["models"].keys() | OF_TRAINING


def test_statistics_that_are_off_are_none():
    assert statistics_of(load_config(None, {}, {"statistics.enabled": False})) is None


def test_every_member_of_a_cluster_is_a_channel_of_its_own():
    clusters = [{"name": "main", "urls": ["https://a.example", "https://b.example"], "when_unacknowledged": True}]
    channels = channels_of(load_config(None, {}, {"alertmanagers": clusters}))
    assert [(channel.name, channel.is_second) for channel in channels] == [
        ("alertmanager:main:1", True),
        ("alertmanager:main:2", True),
    ]
