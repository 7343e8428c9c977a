"""Which windows are abroad follows from what they are grouped by and what the stream is keyed by."""

import pytest
from by_hand import APP, correlation, detector_of, ids

from detectors.sigma.parting import abroad


def far(keyed_by, *documents):
    """The names of correlations that are abroad, each with what keeps it together with others."""
    names = {key: name for name, key in ids().items()}
    found = abroad(detector_of(*documents).rules, keyed_by)
    return {names[rule]: names.get(together, "") for rule, together in found.items()}


COUNT = {"condition": {"gte": 2}}


@pytest.mark.parametrize(
    ("keyed_by", "group", "expected"),
    [
        (APP, "app", {}),
        (APP, "app user", {}),
        (APP, "user", {"rule": ""}),
        ("user.id", "app", {"rule": ""}),
        ("user.id", "user", {}),
        ("", "app user", {"rule": ""}),
    ],
)
def test_a_window_is_abroad_unless_it_is_grouped_by_the_key(keyed_by, group, expected):
    assert far(keyed_by, correlation("event_count", "a", group=group, **COUNT)) == expected


def test_a_name_that_is_the_key_of_one_rule_and_not_of_another_keeps_nothing_in_its_partition():
    aliases = {"who": {"a": APP, "b": "user.id"}}
    document = correlation("event_count", "a b", group="who", aliases=aliases, **COUNT)
    assert far(APP, document) == {"rule": ""}


def test_windows_that_stand_on_each_other_go_together():
    inner = correlation("event_count", "a", name="inner", group="user", **COUNT)
    assert far(APP, inner, correlation("event_count", "inner", **COUNT)) == dict.fromkeys(("inner", "rule"), "inner")
