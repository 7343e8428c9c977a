"""What the kernel reads of OTLP is what Python reads; what is not ordinary it leaves to Python."""

import json

import pytest
from google.protobuf import json_format
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from detectors import kernel
from monitor.console import otlp_json, otlp_protobuf
from monitor.console.access import Refused
from monitor.console.otlp_lines import Body, Forms, Plans

pytestmark = pytest.mark.skipif(not kernel.available(), reason="no kernel")


def _pairs_of(values):
    return st.fixed_dictionaries({}, optional={"key": TEXTS, "value": values})


NAMES = ["a.b", "a", "%b", "client.address", "http.request.header.A", "os.name", "message"]
TEXTS = st.sampled_from(["", *NAMES, "10.0.0.1", 'ä\n"\\/\x01\x7f', "\U0001f600", "x" * 200, "nan", "-5"]) | st.text(
    max_size=6
)
WHOLES = st.sampled_from([0, -1, 2**31, 2**63 - 1, -(2**63)]) | st.integers(0, 9)
VALUES = st.recursive(
    st.one_of(
        st.just({}),
        st.builds(lambda text: {"stringValue": text}, TEXTS),
        st.builds(lambda flag: {"boolValue": flag}, st.booleans()),
        st.builds(lambda number: {"intValue": str(number)}, WHOLES),
        st.builds(lambda number: {"doubleValue": number}, st.floats(allow_nan=False, allow_infinity=False)),
        st.builds(lambda text: {"doubleValue": text}, st.sampled_from(["NaN", "Infinity", "-Infinity"])),
        st.builds(lambda text: {"bytesValue": text}, st.sampled_from(["", "AA==", "AAE=", "AAEC", "/+8="])),
    ),
    lambda inner: st.one_of(
        st.builds(lambda found: {"arrayValue": {"values": found}}, st.lists(inner, max_size=3)),
        st.builds(lambda found: {"kvlistValue": {"values": found}}, st.lists(_pairs_of(inner), max_size=3)),
    ),
    max_leaves=4,
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "timeUnixNano": st.sampled_from(["0", "1772445600000000000", str(2**64 - 1)]),
        "observedTimeUnixNano": st.sampled_from([0, 1, 2**63]),
        "severityNumber": st.integers(0, 30),
        "severityText": TEXTS,
        "body": VALUES,
        "attributes": st.lists(_pairs_of(VALUES), max_size=4),
        "droppedAttributesCount": st.integers(0, 3),
        "flags": st.integers(0, 1),
        "traceId": st.sampled_from(["", "5b8efff798038103d269b633813fc60c"]),
        "spanId": st.sampled_from(["", "eee19b7ec3c1b174"]),
        "eventName": TEXTS,
    },
)
SCOPES = st.fixed_dictionaries(
    {},
    optional={
        "scope": st.fixed_dictionaries({}, optional={"name": TEXTS, "version": TEXTS}),
        "logRecords": st.lists(RECORDS, max_size=3),
        "schemaUrl": TEXTS,
    },
)
RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "resource": st.fixed_dictionaries({}, optional={"attributes": st.lists(_pairs_of(VALUES), max_size=3)}),
        "scopeLogs": st.lists(SCOPES, max_size=2),
        "schemaUrl": TEXTS,
    },
)
REQUESTS = st.builds(lambda found: {"resourceLogs": found}, st.lists(RESOURCES, max_size=2))
DAMAGE = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 3), st.sampled_from(b'\x00\x01\x0a\x12\x7f\x80\xff"\\{}[],:-0.eun')),
    max_size=3,
)


def damaged(content, damage):
    for where, kind, octet in damage:
        at, octets = int(where * len(content)), bytes([octet])
        if kind == 0:
            content = content[:at] + octets + content[at + 1 :]
        elif kind == 1:
            content = content[:at] + octets + content[at:]
        elif kind == 2:
            content = content[:at] + content[at + 1 :]
        else:
            content = content[:at] + content[at // 2 :]
    return content


LINE = 300
"""So small that some lines are too long."""


def told(body):
    return body.lines.content(), body.count, body.rejected, body.why


def by_kernel(form, content, forms, line_bytes_max=LINE):
    """None where the request is left to Python."""
    body = Body(Plans(), line_bytes_max, 1 << 25)
    return told(body) if forms.read(form.NAME, content, body) else None


def by_python(form, content, line_bytes_max=LINE):
    body = Body(Plans(), line_bytes_max, 1 << 25)
    try:
        for record, common in form.read(content, line_bytes_max):
            body.add(record, common)
    except Refused as refused:
        return str(refused)
    return told(body)


FORMS = Forms()


@given(REQUESTS, DAMAGE, st.sampled_from([None, 1]))
@example({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"doubleValue": 5}}]}]}]}, [], None)
@example({"resourceLogs": [{"resource": {"attributes": [{"key": "k" * LINE}]}, "scopeLogs": []}]}, [], None)
@example({"resourceLogs": [{"scopeLogs": [{"scope": {"version": "v" * LINE}, "logRecords": []}]}]}, [], None)
def test_the_kernel_makes_the_same_lines_of_json_as_python(request, damage, indent):
    content = damaged(json.dumps(request, indent=indent, ensure_ascii=indent is None).encode(), damage)
    found = by_kernel(otlp_json, content, FORMS)
    assert found in {None, by_python(otlp_json, content)}


@given(REQUESTS, DAMAGE)
def test_the_kernel_makes_the_same_lines_of_protobuf_as_python(request, damage):
    whole = json_format.ParseDict(request, ExportLogsServiceRequest()).SerializeToString()
    content = damaged(whole, damage)
    found = by_kernel(otlp_protobuf, content, FORMS)
    assert found in {None, by_python(otlp_protobuf, content)}


def test_what_does_not_stand_as_it_came_and_what_is_too_long_are_told_alike():
    values = [
        {"stringValue": "10.0.0.1"},
        {"stringValue": "a" * 200},
        {"arrayValue": {"values": [{"stringValue": "b"}]}},
    ]
    names = ["client.address", "server.address", "http.request.header.X-Y"]
    records = [
        {"timeUnixNano": "1", "attributes": [{"key": name, "value": value}]} for name in names for value in values
    ]
    records[5:5] = [{"timeUnixNano": "1", "attributes": [{"key": "a", "value": {"stringValue": "b" * 300}}]}]
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    in_protobuf = json_format.ParseDict(request, ExportLogsServiceRequest()).SerializeToString()
    for form, content in ((otlp_json, json.dumps(request).encode()), (otlp_protobuf, in_protobuf)):
        lines, *counts = by_kernel(form, content, FORMS, 1 << 20)
        assert (lines, *counts) == by_python(form, content, 1 << 20)
        assert b'{"source":{"ip":"10.0.0.1"}' in lines
        assert by_kernel(otlp_json, json.dumps(request).encode(), FORMS)[1:] == (9, 1, f"more than {LINE} bytes")


def in_order(said):
    """What is said of many stands before them, as all senders have it."""
    if isinstance(said, dict):
        return {name: in_order(said[name]) for name in sorted(said, key=lambda name: name not in {"resource", "scope"})}
    return [in_order(one) for one in said] if isinstance(said, list) else said


@given(REQUESTS.map(in_order))
def test_what_senders_do_is_read_by_the_kernel(request):
    assert by_kernel(otlp_json, json.dumps(request).encode(), FORMS, 1 << 20) is not None
    in_protobuf = json_format.ParseDict(request, ExportLogsServiceRequest()).SerializeToString()
    assert by_kernel(otlp_protobuf, in_protobuf, FORMS, 1 << 20) is not None


@given(st.integers(1, 2**64 - 1))
@example(2**64 - 1)
@example(951_782_399_999_999_999)  # the end of the 28th of February 2000
@example(951_782_400_000_000_000)
@example(4_107_542_400_000_000_000)  # the first of March 2100
def test_the_kernel_writes_times_as_python_does(time):
    record = {"timeUnixNano": str(time)}
    content = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode()
    assert by_kernel(otlp_json, content, FORMS) == by_python(otlp_json, content)


@given(st.lists(st.characters(max_codepoint=0xFF), max_size=5).map("".join))
@example("".join(map(chr, range(128))))
@example("\ud83d\ude00")
def test_the_kernel_writes_texts_as_python_does(text):
    content = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": "1", "body": {"stringValue": text}, "attributes": [{"key": text, "value": {"stringValue": text}}]}
    ]}]}]}).encode()  # fmt: skip
    assert by_kernel(otlp_json, content, FORMS, 1 << 20) == by_python(otlp_json, content, 1 << 20)


@pytest.mark.parametrize("half", [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x", r"\ud800\n", r"\uD83d\u00e4"])
def test_halves_of_surrogate_pairs_are_left_to_python(half):
    record = b'{"timeUnixNano":"1","body":{"stringValue":"%b"}}' % half.encode()
    content = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b]}]}]}' % record
    assert by_kernel(otlp_json, content, FORMS) is None


def test_what_is_said_of_many_records_stands_before_them_or_is_left_to_python():
    late = [b'{"scopeLogs":[],"resource":{}}', b'{"scopeLogs":[{"logRecords":[],"scope":{}}]}']
    assert [by_kernel(otlp_json, b'{"resourceLogs":[%b]}' % one, FORMS) for one in late] == [None, None]
    late = [b"\x0a\x04\x12\x00\x0a\x00", b"\x0a\x06\x12\x04\x12\x00\x0a\x00"]
    assert [by_kernel(otlp_protobuf, one, FORMS) for one in late] == [None, None]
