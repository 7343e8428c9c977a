"""The maps of a running HAProxy are what they are told to be, by whichever steps they came to it."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from miniwatch_gateway.haproxy import HaproxyError, MapFiles, Runtime, _Talk
from miniwatch_gateway.tables import MAPS
from standing import decided

NOTHING = {name: {} for name in MAPS}
KEYS = st.from_regex(r"[A-Z][A-Za-z0-9_.@:=+/()-]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60).flatmap(
    lambda first: st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(
        lambda rest: first + rest + "}"
    )
)


def shown(gateway, name):
    """A map as HAProxy has it."""
    with _Talk(gateway.socket) as talk:
        lines = talk(f"show map {gateway.files.place(name)}")
    return dict(re.findall(r"(?m)^0x[0-9a-f]+ (\S+) (.*)$", lines))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(st.dictionaries(KEYS, VALUES, max_size=12), min_size=1, max_size=4))
def test_a_map_is_what_it_was_last_told_whatever_it_was_before(gateway, states):
    for state in states:
        gateway.runtime.apply({**NOTHING, "decisions": state})
        assert shown(gateway, "decisions") == state


def test_what_does_not_fit_into_one_breath_is_said_in_several(gateway):
    many = {f"AppId:wx{number}": f"{number} " + "x" * 700 for number in range(100)}
    gateway.runtime.apply({**NOTHING, "decisions": many})
    assert shown(gateway, "decisions") == many
    other = {key: value + "y" for key, value in many.items() if not key.endswith("7")}
    gateway.runtime.apply({**NOTHING, "decisions": other})
    assert shown(gateway, "decisions") == other


def test_a_haproxy_that_starts_anew_reads_the_files_and_is_then_told_all_again(gateway):
    gateway.decide(decided("ban"))
    gateway.files.write({**NOTHING, "apps": {"wx01": "AppId:wx01"}})
    gateway.kill()
    gateway.start()
    assert shown(gateway, "apps") == {"wx01": "AppId:wx01"}
    assert gateway.ask()[0] == 200
    gateway.decide(decided("ban"))
    assert gateway.ask()[0] == 403


def test_a_map_that_others_have_changed_is_put_right_with_the_next_change_that_meets_it(gateway):
    gateway.decide(decided("ban"))
    with _Talk(gateway.socket) as talk:
        talk(f"clear map {gateway.files.place('apps')}")
    with pytest.raises(HaproxyError, match="del map"):
        gateway.decide()
    gateway.decide(decided("ban", value="wx02"))
    assert shown(gateway, "apps") == {"wx02": "AppId:wx02"}


def test_where_haproxy_is_not_there_it_is_said(tmp_path):
    with pytest.raises(HaproxyError, match=r"nowhere\.sock"):
        Runtime(tmp_path / "nowhere.sock", MapFiles(tmp_path)).apply(NOTHING)


def test_files_are_replaced_whole_and_only_where_something_changed(tmp_path):
    files = MapFiles(tmp_path)
    files.write({**NOTHING, "apps": {"wx01": "AppId:wx01"}})
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    files.write({**NOTHING, "apps": {"wx02": "AppId:wx02"}})
    after = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"apps.map"}
    assert (tmp_path / "apps.map").read_text() == "wx02 AppId:wx02\n"
