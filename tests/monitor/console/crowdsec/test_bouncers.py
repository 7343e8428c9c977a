"""What bouncers are told: the facts that CrowdSec's own tests of its Local API state, against ours."""

import asyncio
import time

import pytest
from starlette.requests import Request

from detectors.finding import Scope
from monitor.console.crowdsec import answers, durations
from playbooks.decision import Act, DecisionState, Mode, Reason

START = "?startup=true"
RANGE = Scope.RANGE
SIX = "1111:2222:3333:4444:5555:6666:7777:8888"


def test_with_a_good_key_and_no_decision_the_answer_is_null(local):
    answer = local.ask("/v1/decisions")
    assert (answer.status_code, answer.text.strip()) == (200, "null")
    assert local.ask("/v1/decisions/stream?startup=true").json() == {"new": None, "deleted": None}


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/decisions/stream"])
@pytest.mark.parametrize("key", ["badkey", "", "mw_000000000000_" + "a" * 43])
def test_without_a_good_key_access_is_forbidden(local, path, key):
    for headers in ({"X-Api-Key": key}, {}):
        answer = local.site.get(path, headers=headers)
        assert (answer.status_code, answer.json()) == (403, {"message": "access forbidden"})


def test_other_methods_and_paths_are_answered_as_everywhere(local):
    assert local.ask("/v1/decisions", method="POST").status_code == 405
    assert local.ask("/v1/nothing").status_code == 404


def test_a_decision_has_the_fields_that_bouncers_read(local):
    local.decide("wx1", Scope.APP, kind=Act.THROTTLE, target="getLocation", lasts_s=4 * 3600 - 10)
    assert local.ask("/v1/decisions/stream?startup=true&scopes=AppId").json()["new"] == [
        {
            "id": 1,
            "uuid": "d1",
            "origin": "playbook:test",
            "type": "throttle:getLocation",
            "scope": "AppId",
            "value": "wx1",
            "duration": "3h59m50s",
            "scenario": "Seen once.",
            "simulated": False,
        }
    ]


def test_the_stream_begins_goes_on_and_begins_again(local):
    local.decide(SIX)
    gone = local.decide("1.2.3.4")
    local.decide("1.2.4.0/24", RANGE)
    assert local.stream(START) == [[SIX, "1.2.3.4", "1.2.4.0/24"], []]
    local.decide("1.2.3.5")
    assert local.stream() == [["1.2.3.5"], []]
    local.lift(gone)
    assert local.stream() == [[], ["1.2.3.4"]]
    assert local.stream() == [[], []]
    assert local.stream(START) == [[SIX, "1.2.4.0/24", "1.2.3.5"], ["1.2.3.4"]]


def test_what_expired_is_deleted_with_a_negative_duration(local):
    local.decide("1.2.3.4", lasts_s=60)
    local.stream(START)
    local.site.now += 120 * 1_000_000
    local.store.expire_decisions(local.site.now)
    (deleted,) = local.ask("/v1/decisions/stream").json()["deleted"]
    assert (deleted["value"], deleted["duration"]) == ("1.2.3.4", "-1m0s")


@pytest.mark.parametrize(
    ("scopes", "values"),
    [
        ("", ["1.2.3.6"]),
        ("&scopes=ip", ["1.2.3.6"]),
        ("&scopes=IP,RANGE", ["1.2.3.6"]),
        ("&scopes=OpenId", ["toto"]),
        ("&scopes=OpenId,ip", ["1.2.3.6", "toto"]),
        ("&scopes=openid", []),
        ("&scopes=", []),
    ],
)
def test_without_scopes_a_stream_is_about_addresses_and_only_their_scopes_are_taken_in_any_case(local, scopes, values):
    local.decide("1.2.3.6")
    local.decide("toto", Scope.USER)
    assert local.stream(f"{START}{scopes}") == [values, []]


def test_unknown_parameters_are_not_looked_at(local):
    local.decide()
    assert local.stream(f"{START}&community_pull=true&additional_pull=false&x=y") == [["192.0.2.1"], []]


@pytest.fixture
def scenarios(local):
    local.decide("127.0.0.1", lasts_s=3600, explanation="A test", origin="playbook:test")
    local.decide("127.0.0.1", lasts_s=3 * 3600, explanation="SSH bf", origin="playbook:another")
    local.decide("127.0.0.1", lasts_s=5 * 3600, explanation="The longest", origin="playbook:test")
    local.decide("127.0.0.2", lasts_s=3 * 3600, explanation="A test", origin="operator:ann")
    return local


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [3, 4]),
        ("&dedup=false", [1, 2, 3, 4]),
        ("&scenarios_containing=ssh bf", [2]),
        ("&scenarios_containing=ssh bf,test", [2, 4]),
        ("&scenarios_containing=unknown", []),
        ("&scenarios_containing=test&scenarios_not_containing=ssh bf", [1, 4]),
        ("&scenarios_not_containing=longest,test", [2]),
        ("&origins=playbook:another", [2]),
        ("&origins=playbook:another,operator", [2, 4]),
        ("&origins=unknown", []),
    ],
)
def test_of_several_the_longest_that_is_asked_for_is_told(scenarios, query, ids):
    told = scenarios.ask(f"/v1/decisions/stream{START}{query}").json()["new"]
    assert [one["id"] for one in told or ()] == ids


def test_a_shorter_one_that_is_left_takes_the_place_of_the_longer_that_went(scenarios):
    scenarios.stream(START)
    scenarios.lift("d3")
    told = scenarios.ask("/v1/decisions/stream").json()
    assert ([one["id"] for one in told["new"]], told["deleted"]) == ([2], None)


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", ["4.4.4.0/24", SIX]),
        ("?ip=4.4.4.3", ["4.4.4.0/24"]),
        ("?ip=4.4.4.4&contains=false", None),
        ("?ip=5.4.4.3", None),
        ("?range=4.4.0.0/16", None),
        ("?range=4.4.0.0/16&contains=false", ["4.4.4.0/24"]),
        ("?range=4.4.4.2/28", ["4.4.4.0/24"]),
        ("?range=4.4.3.2/28", None),
        (f"?ip={SIX}", [SIX]),
        (f"?ip={SIX.upper()}", [SIX]),
        (f"?ip={SIX[:-1]}7", None),
        (f"?range={SIX}/64", None),
        (f"?range={SIX}/64&contains=false", [SIX]),
        ("?scope=ip&value=" + SIX, [SIX]),
        ("?scope=range&value=" + SIX, None),
        ("?type=captcha", ["4.4.4.0/24", SIX]),
        ("?type=ban", None),
    ],
)
def test_decisions_are_found_by_address_and_range(local, query, values):
    local.decide("4.4.4.0/24", RANGE)
    local.decide(SIX)
    assert local.values(query) == values


@pytest.mark.parametrize("query", ["?ip=nowhere", "?range=1.2.3.4/99", "?ip=1.2.3.4&contains=maybe"])
def test_an_address_that_is_none_is_refused(local, query):
    assert local.ask(f"/v1/decisions{query}").status_code == 400


@pytest.mark.parametrize(
    "never",
    [
        {"mode": Mode.SHADOW},
        {"state": DecisionState.HELD, "reason": Reason.HELD_BUDGET},
        {"state": DecisionState.AWAITING_APPROVAL, "reason": Reason.HELD_APPROVAL},
        {"kind": Act.WARN},
    ],
    ids=str,
)
def test_what_is_not_in_force_or_only_a_word_is_told_to_no_bouncer(local, never):
    local.decide(**never)
    assert local.stream(START) == [[], []]
    assert local.values() is None


def test_head_has_no_body_and_moves_nothing(local):
    local.stream(START)
    local.decide()
    answer = local.ask("/v1/decisions/stream", method="HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert local.ask("/v1/decisions", method="HEAD").content == b""
    assert local.stream() == [["192.0.2.1"], []]


def test_answers_are_not_packed(local):
    local.decide()
    answer = local.ask("/v1/decisions/stream?startup=true", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_two_bouncers_with_one_key_are_two_where_they_ask_for_other_things(local):
    local.stream(START)
    local.stream(f"{START}&scopes=ip")
    local.decide()
    assert [local.stream(), local.stream("?scopes=ip"), local.stream()] == [
        [["192.0.2.1"], []],
        [["192.0.2.1"], []],
        [[], []],
    ]


def test_the_place_of_a_bouncer_outlives_a_restart(local):
    local.stream(START)
    local.decide()
    local.stream()
    ends = time.monotonic() + 5
    while time.monotonic() < ends and not any(one.place for one in local.store.pulls()):
        local.stream()  # by asking it confirms what it was given; the server may still be about to note that its answer has left
        local.site.front.places.keep()
    (pull,) = local.store.pulls()
    assert (pull.agent, pull.address, pull.place) == ("bouncer/1.0", "127.0.0.1", 1)


class Wire:
    """A connection that is cut after so many messages, or whose last bytes never leave."""

    def __init__(self, messages=100, *, sends=True):
        self.left_messages = messages
        self.sends = sends
        self.written = []

    @property
    def is_lost(self):
        return self.left_messages <= 0

    async def has_sent(self):
        return self.sends and not self.is_lost

    async def send(self, message):
        self.left_messages -= 1
        self.written.append(message.get("body"))


@pytest.mark.parametrize(
    ("wire", "is_left"),
    [(Wire(), True), (Wire(2), False), (Wire(1), False), (Wire(sends=False), False)],
    ids=["whole", "cut in the middle", "cut at once", "not sent"],
)
def test_a_place_moves_only_when_the_whole_answer_has_left(wire, is_left, monkeypatch):
    monkeypatch.setattr(answers, "PIECE_BYTES", 1)
    left = []

    async def answer():
        request = Request({"type": "http", "state": {"connection": wire}})
        made = await answers.Streamed.of(request, iter([b"a", b"b", b"c"]), lambda: left.append(True))
        await made({}, None, wire.send)

    asyncio.run(answer())
    assert bool(left) == is_left


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m0s"),
        (3599, "59m59s"),
        (14390, "3h59m50s"),
        (360_000, "100h0m0s"),
        (-120, "-2m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds, text):
    assert durations.written(seconds) == text
    assert durations.read(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("4h", 14400), ("1.5h", 5400), ("2d12h", 216_000), ("-10s", -10), ("100ms", 0.1), ("0", 0), ("1h30m", 5400)],
)
def test_durations_are_read_as_go_and_cscli_read_them(text, seconds):
    assert durations.read(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "4", "h", "4x", "1h 2m", "--1s", "1e9h", "h4", "9" * 100 + "h"])
def test_what_is_no_duration_is_none(text):
    assert durations.read(text) is None
