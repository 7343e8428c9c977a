"""Decisions become lines of maps: pure functions, whatever order decisions come in."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import miniwatch_gateway
import pytest
from hypothesis import given
from hypothesis import strategies as st
from miniwatch_gateway.decisions import Decision, InForce, UnreadableAnswer, read_answer
from miniwatch_gateway.functions import FUNCTIONS, PRIVACY
from miniwatch_gateway.tables import DECISIONS_PER_KEY_MAX, PEOPLE, SUBJECTS, tables
from standing import changed, decided

from detectors.catalogue import parse_catalogue
from playbooks.decision import Act

CATALOGUE = Path(__file__).parents[3] / "detectors" / "catalogue.json"
VALUES = {
    "AppId": ["wx01", "wx02"],
    "DeveloperId": ["dev1", "dev2"],
    "OpenId": ["a" * 32],
    "DeviceId": ["b" * 32],
    "Ip": ["203.0.113.7", "2001:db8::1"],
    "Range": ["203.0.113.0/24", "203.0.0.0/16", "2001:db8::/32", "0.0.0.0/0"],
    "Domain": ["evil.example"],
}
PARAMETERS = {"throttle": (("limit", 60), ("per_s", 60)), "force-update": (("version_min", "1.2"),)}
APPS = {"dev1": ["wx01", "wx09"]}


@st.composite
def decisions(draw):
    made = {}
    for number in range(1, draw(st.integers(0, 14)) + 1):
        scope = draw(st.sampled_from(sorted(VALUES)))
        type_ = draw(st.sampled_from([act.value for act in Act]))
        target = draw(st.sampled_from([None, "login", "location", "wx.request"]))
        made[number] = Decision(
            number=number,
            id=f"d{number}",
            scope=scope,
            value=draw(st.sampled_from(VALUES[scope])),
            type=type_,
            target=target,
            parameters=PARAMETERS.get(type_, ()),
            expires=draw(st.integers(1, 10)) * 1000,
        )
    return list(made.values())


def _in(tables_, place):
    return [part.split("|")[2] for part in tables_["decisions"].get(place, "").split("^") if part]


@given(found=decisions(), chance=st.randoms(use_true_random=False))
def test_the_order_in_which_decisions_came_does_not_matter(found, chance):
    shuffled = list(found)
    chance.shuffle(shuffled)
    assert tables(found, APPS, "x")[0] == tables(shuffled, APPS, "x")[0]


@given(found=decisions())
def test_every_line_has_a_form_that_haproxy_reads(found):
    for lines in tables(found, APPS, "x | ^ ü\n")[0].values():
        for key, value in lines.items():
            assert key.isascii()
            assert not set(key) & set(" \t\n#;\\|^")
            assert value.isascii()
            assert value.isprintable()
    for value in tables(found, APPS, "x | ^ ü\n")[0]["decisions"].values():
        for part in value.split("^"):
            assert json.loads(part.split("|", 5)[5])["appeal"] == "x | ^ ü\n"
            assert part.count("|") == 5


@given(found=decisions())
def test_hashes_are_asked_for_exactly_where_somebody_is_known_by_one(found):
    made, _ = tables(found, APPS, "x")
    assert set(made["people"]) == {name for name in PEOPLE if made[name]}


@given(found=decisions())
def test_who_is_in_a_subject_map_has_a_decision_and_the_other_way_round(found):
    made, missed = tables(found, APPS, "x")
    subjects = {name for table in SUBJECTS.values() for name in made[table].values()}
    assert subjects <= {place.split("/")[0] for place in made["decisions"]} | {
        "/".join(place.split("/")[:2]) for place in made["decisions"]
    }
    without = {one.decision for one in missed}
    stops = [one for one in found if one.type != "warn" and one.id not in without]
    assert {one.value.lower() for one in stops} <= {
        name.partition(":")[2].removesuffix("/32" if "." in name else "/128") for name in subjects
    }


ADDRESSES = ("203.0.113.7", "203.0.113.0/24", "203.0.0.0/16", "0.0.0.0/0", "2001:db8::1", "2001:db8::/32")


@given(values=st.lists(st.sampled_from(ADDRESSES), unique=True))
def test_an_address_is_told_all_that_is_decided_about_the_networks_around_it(values):
    found = [decided("ban", "Range", value, number) for number, value in enumerate(values)]
    made, _ = tables(found, {}, "x")
    for value, name in made["addresses"].items():
        inner = ip_network(value)
        around = [
            one.id
            for one in found
            if (outer := ip_network(one.value)).version == inner.version and inner.subnet_of(outer)
        ]
        assert sorted(_in(made, name)) == sorted(around)


def test_of_too_many_decisions_about_one_thing_the_strongest_are_kept():
    many = [decided("throttle", number=number, limit=1, per_s=60) for number in range(1, 20)]
    made, _ = tables([*many, decided("ban", number=50)], {}, "x")
    assert _in(made, "AppId:wx01")[0] == "d50"
    assert len(_in(made, "AppId:wx01")) == DECISIONS_PER_KEY_MAX


@pytest.mark.parametrize(
    "one",
    [
        decided("throttle", limit=0, per_s=60),
        decided("throttle", limit=5),
        decided("force-update", version_min="latest"),
        decided("force-update"),
        decided("force-update", "Ip", "203.0.113.7", version_min="1.0"),
        decided("force-update", version_min="1.0", deadline="soon"),
        decided("function-ban"),
        decided("function-ban", target="two words"),
        decided("ban", "Ip", "nowhere"),
        decided("ban", "SessionId", "s1"),
        decided("dance"),
    ],
)
def test_what_cannot_be_carried_out_is_said(one):
    made, missed = tables([one], {}, "x")
    assert made["decisions"] == {}
    assert [each.decision for each in missed] == ["d1"]


def test_the_kinds_of_personal_data_are_those_of_the_catalogue():
    assert parse_catalogue(CATALOGUE.read_bytes()).privacy == PRIVACY


def test_every_function_that_a_playbook_of_ours_names_is_known(root_playbooks):
    assert root_playbooks <= set(FUNCTIONS)


@pytest.fixture
def root_playbooks():
    folder = Path(__file__).parents[3] / "playbooks" / "library"
    texts = [path.read_text() for path in folder.glob("*.yaml")]
    return {part.split(",")[0].strip() for text in texts for part in text.split("target:")[1:]}


def test_decisions_that_begin_and_end_are_followed():
    one, two = decided("ban"), decided("ban", number=2)
    known = InForce()
    known.take(read_answer(_answer(3, changed(one, 1), changed(two, 2))))
    known.take(read_answer(_answer(4, changed(one, 4, in_force=False))))
    assert (known.position, list(known.decisions)) == (4, [2])
    assert known.next_end == two.expires
    assert (known.end(two.expires - 1), known.end(two.expires), known.next_end) == (False, True, None)


def _answer(position, *changes):
    return json.dumps({"position": position, "more": False, "anew": False, "changes": changes}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        _answer("1"),
        _answer(1, {}),
        _answer(1, changed(decided("ban"), 1) | {"number": "1"}),
        _answer(1, changed(decided("ban"), 1) | {"value": 5}),
        _answer(1, changed(decided("ban"), 1) | {"expires": "2026-01-01T00:00:00"}),
        _answer(1, changed(decided("ban"), 1) | {"parameters": {"a": []}}),
    ],
)
def test_an_answer_that_is_none_is_refused(body):
    with pytest.raises(UnreadableAnswer):
        read_answer(body)


def test_the_agent_needs_python_alone():
    folder = str(Path(miniwatch_gateway.__file__).parents[1])
    asked = (
        f"import sys; sys.path.insert(0, {folder!r}); import miniwatch_gateway.__main__;"
        "print([n for n in sys.modules if n.partition('.')[0] not in sys.stdlib_module_names | {'miniwatch_gateway'}])"
    )
    told = subprocess.run([sys.executable, "-I", "-S", "-c", asked], capture_output=True, text=True, check=True)
    assert set(json.loads(told.stdout.replace("'", '"'))) <= {"__main__"}
