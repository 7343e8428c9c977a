"""OTLP/HTTP: log records become events, in protobuf and JSON alike, and what cannot be one is told."""

import gzip
import json

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

from monitor.console import otlp_json, otlp_protobuf
from monitor.console.access import Refused
from monitor.console.otlp_fields import Common, Record, Unreadable
from monitor.console.otlp_lines import Body, Forms, Lines, Plans

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
LINE = 1 << 20
SECOND = 1_772_445_600_000_000_000
TRACE = "5b8efff798038103d269b633813fc60c"


def request_of(*records, resource=None, scope="app"):
    """A request as JSON says it."""
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": pairs(resource or {"service.name": "shop"})},
                "scopeLogs": [{"scope": {"name": scope}, "logRecords": list(records)}],
            }
        ]
    }


def record(body=None, time=SECOND, **attributes):
    return {
        "timeUnixNano": str(time),
        "attributes": pairs({name.replace("__", "."): value for name, value in attributes.items()}),
        **({"body": any_of(body)} if body is not None else {}),
    }


def pairs(values):
    return [{"key": key, "value": any_of(value)} for key, value in values.items()]


def any_of(value):
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case dict():
            return {"kvlistValue": {"values": pairs(value)}}
        case list():
            return {"arrayValue": {"values": [any_of(inner) for inner in value]}}
    return {"stringValue": value}


def protobuf(request):
    """The same in protobuf. Its own mapping of JSON wants ids in base64, which OTLP does not have."""
    return json_format.ParseDict(request, ExportLogsServiceRequest(), ignore_unknown_fields=True).SerializeToString()


def lines_of(form, content):
    body = Body(Plans(), LINE, 1 << 25)
    for one, common in form.read(content, LINE):
        body.add(one, common)
    assert (body.count, body.rejected) == (body.lines.content().count(b"\n"), 0)
    return body.lines.content().splitlines(keepends=True)


def event(**how):
    (line,) = lines_of(otlp_json, json.dumps(request_of(record(**how))).encode())
    return msgspec.json.decode(line)


@pytest.fixture
def door(make_door):
    return make_door("/v1/logs")


def test_a_record_becomes_an_event_in_both_forms(door):
    request = request_of({**record("hello", http__status_code=500), "severityNumber": 17, "eventName": "checkout"})
    assert door.post(protobuf(request), Content_Type=PROTOBUF).content == b""
    answer = door.post(json.dumps(request).encode(), Content_Type=f"{JSON}; charset=utf-8")
    assert (answer.json(), answer.headers["Content-Type"]) == ({}, JSON)
    first, second = door.kept.splitlines()
    assert (
        msgspec.json.decode(first)
        == msgspec.json.decode(second)
        == {
            "http": {"response": {"status_code": 500}},
            "message": "hello",
            "@timestamp": "2026-03-02T10:00:00.000000000Z",
            "event": {"severity": 17, "action": "checkout"},
            "log": {"level": "error", "logger": "app"},
            "service": {"name": "shop"},
        }
    )


def test_packed_requests_are_taken(door):
    content = gzip.compress(protobuf(request_of(record("x"))))
    assert door.post(content, Content_Type=PROTOBUF, Content_Encoding="gzip").status_code == 200
    assert door.kept.count(b"\n") == 1


def test_a_body_that_is_a_map_holds_the_fields_of_the_event():
    body = {"event": {"dataset": "miniprogram.api", "action": "getLocation"}, "miniprogram": {"app_id": "wx1"}}
    found = event(body=body, user__id="u1")
    assert found["event"] == body["event"]
    assert found["miniprogram"] == {"app_id": "wx1"}
    assert found["user"] == {"id": "u1"}


def test_a_body_that_is_a_text_is_a_message_whatever_it_looks_like():
    assert event(body='{"miniprogram":{"app_id":"wx2"}}')["message"] == '{"miniprogram":{"app_id":"wx2"}}'


def test_of_several_values_for_one_field_the_first_counts():
    request = request_of(
        {**record({"service.name": "body", "a": 2}, a=1), "eventName": "own"}, resource={"service.name": "shop", "a": 3}
    )
    (line,) = lines_of(otlp_json, json.dumps(request).encode())
    found = msgspec.json.decode(line)
    assert (found["a"], found["service"], found["event"]) == (1, {"name": "body"}, {"action": "own"})
    assert line.count(b'"service"') == 1


def test_names_of_the_semantic_conventions_become_those_of_ecs():
    found = event(
        exception__type="ValueError",
        client__address="203.0.113.7",
        server__address="api.example",
        log__record__uid="r1",
        **{"http.request.header.X-Trace": ["a", "b"]},
    )
    assert found["error"] == {"type": "ValueError"}
    assert found["source"] == {"ip": "203.0.113.7"}
    assert found["destination"] == {"domain": "api.example"}
    assert found["event"] == {"id": "r1"}
    assert found["http"]["request"]["headers"] == {"x-trace": "a, b"}
    assert event(client__address="a-host")["client"] == {"address": "a-host"}


def test_a_field_that_is_a_value_and_an_object_is_both():
    assert event(host="a", **{"host.name": "b"})["host"] == {"text": "a", "name": "b"}
    assert event(**{"host.name": "b"}, host="a")["host"] == {"name": "b", "text": "a"}
    assert event(**{"a%": "100 %", "b%s": 1})["a%"] == "100 %"


def test_times_and_ids_are_what_they_were():
    (line,) = lines_of(
        otlp_json,
        json.dumps(
            request_of(
                {"timeUnixNano": SECOND + 5, "observedTimeUnixNano": SECOND + 7, "traceId": TRACE, "spanId": "ab"}
            )
        ).encode(),
    )
    found = msgspec.json.decode(line)
    assert found["@timestamp"] == "2026-03-02T10:00:00.000000005Z"
    assert found["event"]["created"] == "2026-03-02T10:00:00.000000007Z"
    assert (found["trace"], found["span"]) == ({"id": TRACE}, {"id": "ab"})
    record_ = ExportLogsServiceRequest()
    one = record_.resource_logs.add().scope_logs.add().log_records.add()
    one.observed_time_unix_nano, one.trace_id = SECOND, bytes.fromhex(TRACE)
    one.body.bytes_value, one.attributes.add(key="nan").value.double_value = b"\x00", float("nan")
    (line,) = lines_of(otlp_protobuf, record_.SerializeToString())
    found = msgspec.json.decode(line)
    assert (found["@timestamp"], found["trace"]["id"], found["message"], found["nan"]) == (
        "2026-03-02T10:00:00.000000000Z",
        TRACE,
        "AA==",
        "nan",
    )


def test_records_that_cannot_be_events_are_rejected_and_the_rest_is_taken(door):
    deep = "x"
    for _ in range(40):
        deep = [deep]
    request = request_of(record("good"), record("no time", time=0), record(deep))
    answer = ExportLogsServiceResponse.FromString(door.post(protobuf(request), Content_Type=PROTOBUF).content)
    assert answer.partial_success.rejected_log_records == 2
    assert "neither time_unix_nano" in answer.partial_success.error_message
    told = door.post(json.dumps(request).encode(), Content_Type=JSON).json()["partialSuccess"]
    assert told["rejectedLogRecords"] == "2"
    assert door.kept.count(b"\n") == 2
    assert door.post(protobuf(request_of(record(time=0))), Content_Type=PROTOBUF).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"\xff" * 20, PROTOBUF, 400),
        (b"{", JSON, 400),
        (b"[]", JSON, 400),
        (b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"severityNumber":"high"}]}]}]}', JSON, 400),
        (b'{"a":' + b"[" * 5000, JSON, 400),
        (b"{}", "text/plain", 415),
        (b"\x0a\x00" * 10, PROTOBUF, 200),
        (b"", PROTOBUF, 200),
        (b"{}", JSON, 200),
    ],
)
def test_what_is_no_request_is_told_as_the_protocol_says(door, content, kind, status):
    answer = door.post(content, Content_Type=kind)
    assert answer.status_code == status
    if status == 400 and kind == PROTOBUF:
        assert answer.content == b"\x08\x03\x12#this is no ExportLogsServiceRequest"
    if status == 400 and kind == JSON:
        assert answer.json()["code"] == 3
    assert door.kept == b""


def test_a_full_spool_lets_senders_wait(make_door):
    door = make_door("/v1/logs", spool_bytes_max=2000)
    answer = door.post(protobuf(request_of(record("x" * 3000))), Content_Type=PROTOBUF)
    assert (answer.status_code, answer.headers["Retry-After"], answer.content[:2]) == (429, "5", b"\x08\x08")


def test_little_that_would_take_much_memory_is_refused():
    def framed(content, *tags):
        for tag in tags:
            size, length = len(content), b""
            while size > 127:
                length, size = length + bytes([size & 127 | 128]), size >> 7
            content = bytes([tag << 3 | 2]) + length + bytes([size]) + content
        return content

    many = otlp_protobuf.PARTS_MAX + 1
    hostile = [
        framed(b"\x12\x00" * many, 2, 1),
        framed(b"\x12\x80\x00" * many, 2, 1),
        framed(b"\x92\x00\x00" * many, 2, 1),
        framed(b"\x32\x02\x0a\x00" * many, 2, 2, 1),
        b"\x0a\x00" * many,
    ]
    for content in hostile:
        with pytest.raises(Refused, match="more than 400000"):
            otlp_protobuf.check(content)
    with pytest.raises(Refused, match="more than 400000"):
        otlp_json.check(b'{"resourceLogs":[' + b"{}," * many + b"{}]}")
    ordinary = protobuf(request_of(*[record("x" * 20, a=1, b=True, c="y") for _ in range(8192)]))
    otlp_protobuf.check(ordinary)
    assert len(list(otlp_protobuf.read(ordinary, LINE))) == 8192


def test_what_is_said_once_for_many_records_is_bounded_too(make_door):
    door = make_door("/v1/logs", unpacked_bytes_max=1 << 20)
    request = request_of(*[record("x")] * 200, resource={"a": "y" * 10_000})
    assert door.post(protobuf(request), Content_Type=PROTOBUF).status_code == 413
    assert door.post(protobuf(request_of(record("x" * 1_048_576))), Content_Type=PROTOBUF).status_code in {200, 413}


@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize(
    ("resource", "records", "line"),
    [
        ("y" * 5000, 400, LINE),
        ("y" * 5000, 400, 1000),  # lines that are too long cost too
        ("", 4000, LINE),
    ],
)
def test_what_is_said_once_costs_with_each_record(native, resource, records, line, monkeypatch):
    monkeypatch.setenv("MINIWATCH_NATIVE", native)
    many = [{"key": "a", "value": any_of(resource)}] * (1 if resource else 1000)  # of one name: they make a short line
    request = request_of(*[{"timeUnixNano": "1"}] * records)
    request["resourceLogs"][0]["resource"]["attributes"] = many
    for form, content in ((otlp_protobuf, protobuf(request)), (otlp_json, json.dumps(request).encode())):
        body = Body(Plans(), line, 1 << 20)
        with pytest.raises(Refused, match="more than 1048576 bytes of events"):
            Forms().read(form.NAME, content, body) or [body.add(*one) for one in form.read(content, LINE)]
        assert body.count + body.rejected < 300


def test_a_resource_is_read_once_however_many_scopes_it_has():
    request = request_of(record("x"))
    request["resourceLogs"][0]["scopeLogs"] *= 3
    for form, content in ((otlp_protobuf, protobuf(request)), (otlp_json, json.dumps(request).encode())):
        assert len({id(common) for _, common in list(form.read(content, LINE))}) == 1


@pytest.mark.parametrize("native", ["0", "1"])
def test_names_that_others_begin_with_are_short(native, door, monkeypatch):
    monkeypatch.setenv("MINIWATCH_NATIVE", native)
    long = record("x", **{"k" * 256: {"a": 1}}), record("x", **{"k" * 257: {"a": 1}}), record({"k" * 257: {"a": 1}})
    answer = door.post(json.dumps(request_of(*long)).encode(), Content_Type=JSON)
    assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "2"
    spoiled = request_of(record("x"), resource={"k" * 257: {"a": 1}})
    answer = door.post(json.dumps(spoiled).encode(), Content_Type=JSON)
    assert "more than 256 characters" in answer.json()["partialSuccess"]["errorMessage"]


def test_a_resource_that_cannot_be_read_spoils_its_own_records_alone(door):
    deep = "x"
    for _ in range(40):
        deep = [deep]
    request = {"resourceLogs": [*request_of(record("a"), record("b"), resource={"a": deep})["resourceLogs"]]}
    request["resourceLogs"] += request_of(record("good"))["resourceLogs"]
    answer = ExportLogsServiceResponse.FromString(door.post(protobuf(request), Content_Type=PROTOBUF).content)
    told = door.post(json.dumps(request).encode(), Content_Type=JSON).json()["partialSuccess"]
    assert (answer.partial_success.rejected_log_records, told["rejectedLogRecords"]) == (2, "2")
    assert door.kept.count(b"good") == door.kept.count(b"\n") == 2


def test_a_rejected_record_holds_on_to_nothing():
    deep = "x"
    for _ in range(40):
        deep = [deep]
    request = request_of(record(deep), record("x"), resource={"a": 1})
    spoiled = request_of(record("x"), resource={"a": deep})
    for form, content in ((otlp_protobuf, protobuf), (otlp_json, lambda one: json.dumps(one).encode())):
        found = [one for part in (request, spoiled) for one, _ in form.read(content(part), LINE)]
        rejected = [one for one in found if isinstance(one, Unreadable)]
        assert [one.__traceback__ for one in rejected] == [None, None]


def test_a_line_that_is_too_long_is_rejected():
    body = Body(Plans(), 200, LINE)
    for one in otlp_json.read(json.dumps(request_of(record("a"), record("x" * 200), record("b"))).encode(), LINE):
        body.add(*one)
    assert (body.count, body.rejected, body.why) == (2, 1, "more than 200 bytes")


def test_a_record_that_fits_into_no_line_is_rejected_without_being_read():
    request = protobuf(request_of(record("a"), record("x" * 5000), record("b"), resource={}))
    found = [one for one, _ in otlp_protobuf.read(request, 1000)]
    assert [str(one) if isinstance(one, Unreadable) else one.body for one in found] == [
        "a",
        "more than 1000 bytes",
        "b",
    ]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = st.one_of(st.sampled_from(["user.id", "user", "host", "host.name", "event.id", "a.b.c", "a.b", "%b", ""]), TEXT)
VALUES = st.recursive(
    st.one_of(TEXT, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
RECORDS = st.builds(
    lambda body, attributes, time: {"timeUnixNano": str(time), "body": any_of(body), "attributes": pairs(attributes)},
    VALUES,
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.integers(1, 2**64 - 1),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(RECORDS, max_size=4), st.dictionaries(NAMES, VALUES, max_size=3))
def test_both_forms_say_the_same_and_every_line_is_one_object_with_no_key_twice(records, resource):
    request = request_of(*records, resource=resource)
    lines = lines_of(otlp_json, json.dumps(request).encode())
    assert lines == lines_of(otlp_protobuf, protobuf(request))
    for line in lines:
        assert line.count(b"\n") == 1

        def once(members):
            assert len({key for key, _ in members}) == len(members)
            return dict(members)

        assert "@timestamp" in json.loads(line, object_pairs_hook=once)


def test_forms_are_remembered_within_bounds(monkeypatch):
    monkeypatch.setattr("monitor.console.otlp_lines.PLANS_MAX", 3)
    plans = Plans()
    writer = Lines(plans, 1 << 20)
    for number in range(10):
        writer.line(Record(SECOND, 0, 0, "", None, (f"a{number}",), [1]), Common((), []))
    assert len(plans._known) <= 3
    writer.line(Record(SECOND, 0, 0, "", None, ("a" * 10_000,), [1]), Common((), []))
    assert not any("a" * 10_000 in attributes for attributes, _ in plans._known)
