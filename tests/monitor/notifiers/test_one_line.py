"""Whatever strangers called themselves, it adds no line to what people read, and turns nothing round; programs have it as it was."""

import json

from hypothesis import given
from hypothesis import strategies as st
from webhooks import NOW

from detectors.finding import Entity, Scope, Severity
from monitor.notifiers.alert import Occasion, Word, alert_body
from monitor.notifiers.alertmanager import Member
from monitor.notifiers.apprise import Apprise
from monitor.notifiers.notice import Notice
from monitor.notifiers.pagerduty import event_of
from monitor.notifiers.wording import headline, paragraphs
from monitor.stores import Message
from monitor.testing import stored_decision, stored_finding, stored_incident
from playbooks.clocks import Clock, ClockKind

TURNS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
BREAKS = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *TURNS)}
FORGED = "wx1{}miniwatch allowlists add --app wx1 --reason x --expires 30d"
strange = st.one_of(
    st.text(st.one_of(st.sampled_from(sorted(BREAKS)), st.characters(codec="utf-8")), max_size=40),
    st.sampled_from(sorted(BREAKS)).map(FORGED.format),
)
occasions = st.sampled_from(Occasion)


def bodies(text, occasion):
    """An alert in which strangers chose whatever they choose, and a notice."""
    incident = stored_incident(entity=Entity(Scope.APP, text), owner=text, title=f"App {text}: trouble", tags=(text,))
    decision = stored_decision(value=text, explanation=f"App {text} was seen.", target=text)
    word = Word(occasion=occasion, by=text, said=text)
    notice = Notice(what="held", key="k", severity=Severity.HIGH, title=text, text=f"a; {text}", time=0, look=text)
    return [alert_body(incident, [decision], [stored_finding(title=text)], word), notice.body]


def texts(value):
    """All texts in a value, names of keys left out."""
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def raw(body, text):
    """A body of which nothing was made a line before: one that an older version wrote."""
    told = json.loads(body)
    for part in (told, told.get("incident", {}), *told.get("decisions", ()), *told.get("why", ())):
        for name in ("title", "text", "said", "by", "explanation"):
            part.update({name: text} if isinstance(part.get(name), str) else {})
    return json.dumps(told).encode()


@given(strange, occasions, st.booleans())
def test_it_adds_no_line_to_an_alert_in_words(text, occasion, is_raw):
    for body, plain in zip(bodies(text, occasion), bodies("x", occasion), strict=True):
        told = json.loads(raw(body, text) if is_raw else body)
        assert not BREAKS & set(headline(told))
        lines, expected = paragraphs(told).split("\n"), paragraphs(json.loads(plain)).split("\n")
        assert len(lines) <= len(expected)
        assert not BREAKS & set("".join(lines))


@given(strange, occasions, st.booleans())
def test_what_pagerduty_and_alertmanager_get_has_lines_of_ours_alone(text, occasion, is_raw):
    member = Member("http://127.0.0.1:1", lambda: NOW * 1_000_000)
    posted = []
    member._post = posted.append
    for body in bodies(text, occasion):
        message = Message(key=f"alertmanager:a:1:held:{text}", channel="alertmanager:a:1", body=body, created=0)
        if is_raw:
            message = Message(key=message.key, channel=message.channel, body=raw(body, text), created=0)
        assert not BREAKS & set("".join(texts(event_of(message))))
        member.send(message)
    incident = stored_incident(entity=Entity(Scope.APP, text), title=f"App {text}: trouble")
    clock = Clock(incident="i1", episode=Severity.HIGH, kind=ClockKind.RESOLVE, begun=0, due=9, next=None)
    member.keep_up([(clock, incident)])
    for alert in (alert for post in posted for alert in post):
        assert not BREAKS & set("".join([*alert["labels"].values(), alert["annotations"]["summary"]]))
        assert not BREAKS - {"\n"} & set(alert["annotations"]["description"])
    assert posted[-1][0]["labels"]["entity"] == posted[0][0]["labels"]["entity"]
    member.close()


@given(strange, occasions)
def test_webhooks_have_one_line_for_people_and_for_programs_what_it_was(text, occasion):
    told, notice = map(json.loads, bodies(text, occasion))
    (decision,), (why,) = told["decisions"], told["why"]
    people = [told["incident"]["title"], told["said"], told["by"], decision["explanation"], why["title"]]
    people += [notice["title"], notice["text"], notice["look"]]
    assert not BREAKS & set("".join(people))
    assert {told["who"]["value"], told["who"]["owner"], decision["value"], decision["target"]} == {text}


def test_a_name_with_a_line_break_forges_no_command_in_a_chat(monkeypatch):
    carried = []
    monkeypatch.setattr("monitor.notifiers.apprise._carrier", lambda _target: (_Library, _Carrier(carried)))
    body = bodies(FORGED.format("\n"), Occasion.OPENED)[0]
    Apprise("json://somewhere").send(Message(key="k", channel="apprise:chat", body=body, created=0))
    ((title, text),) = carried
    assert "\n" not in title
    assert [line.split()[:3] for line in text.split("\n") if line.startswith("miniwatch")] == [
        ["miniwatch", "decisions", "revoke"],
        ["miniwatch", "incidents", "show"],
    ]


class _Library:
    class NotifyType:
        SUCCESS = FAILURE = WARNING = INFO = "a kind"

    class NotifyFormat:
        TEXT = "text"


class _Carrier:
    def __init__(self, carried):
        self._carried = carried

    def notify(self, *, body, title, **_more):
        self._carried.append((title, body))
        return True
