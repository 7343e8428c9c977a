"""What the kernel reads of OTLP is what Python reads; what is not ordinary it leaves to Python."""

import json

import msgspec
import pytest
from google.protobuf import json_format
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from detectors import kernel
from monitor.console import otlp_json, otlp_protobuf
from monitor.console.access import Refused
from monitor.console.otlp_fields import Unreadable

pytestmark = pytest.mark.skipif(not kernel.available(), reason="no kernel")


def _pairs_of(values):
    return st.fixed_dictionaries({}, optional={"key": TEXTS, "value": values})


TEXTS = st.sampled_from(["", "a", 'ä\n"\\/\x01\x7f', "\U0001f600", "x" * 200, "nan", "-5"]) | st.text(max_size=6)
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


def said(form, content):
    try:
        return [
            (
                str(one) if isinstance(one, Unreadable) else repr(msgspec.structs.astuple(one)),
                msgspec.structs.astuple(common),
            )
            for one, common in form.read(content, 1 << 20)
        ]
    except (Refused, Unreadable) as error:
        return str(error)


def by_both(form, content):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIWATCH_NATIVE", "0")
        by_python = said(form, content)
    return said(form, content), by_python


@given(REQUESTS, DAMAGE, st.sampled_from([None, 1]))
@example({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"doubleValue": 5}}]}]}]}, [], None)
def test_the_kernel_reads_json_as_python_does(request, damage, indent):
    content = damaged(json.dumps(request, indent=indent, ensure_ascii=indent is None).encode(), damage)
    by_kernel, by_python = by_both(otlp_json, content)
    assert by_kernel == by_python


@given(REQUESTS, DAMAGE)
def test_the_kernel_reads_protobuf_as_python_does(request, damage):
    whole = json_format.ParseDict(request, ExportLogsServiceRequest()).SerializeToString()
    by_kernel, by_python = by_both(otlp_protobuf, damaged(whole, damage))
    assert by_kernel == by_python


def test_what_senders_do_is_read_by_the_kernel():
    pairs = [{"key": "a", "value": value} for value in ({"stringValue": "ä\n"}, {"intValue": "5"}, {"boolValue": True})]
    records = [
        {"timeUnixNano": "1", "severityNumber": 9, "body": {"stringValue": "x"}, "attributes": pairs, "flags": 1}
    ]
    scopes = [{"scope": {"name": "app", "version": "1"}, "logRecords": records}]
    request = {"resourceLogs": [{"resource": {"attributes": pairs}, "scopeLogs": scopes}]}
    in_protobuf = json_format.ParseDict(request, ExportLogsServiceRequest()).SerializeToString()
    for found in (
        kernel.module.read_otlp_json(json.dumps(request).encode()),
        kernel.module.read_otlp_protobuf(in_protobuf),
    ):
        ((names, values, scope, (record,)),) = found
        assert (names, values, scope) == (("a", "a", "a"), ["ä\n", 5, True], "app")
        assert record == (1, 0, 9, "", "x", names, values, "", "", "", 0)


def test_requests_of_very_many_records_are_left_to_python():
    assert kernel.module.read_otlp_protobuf(b"\x0a\x04\x12\x02\x12\x00") is not None
    of_scope = b"\x12\x00" * 20_001
    length = lambda octets: bytes([len(octets) & 127 | 128, len(octets) >> 7 & 127 | 128, len(octets) >> 14])  # noqa: E731
    of_resource = b"\x12" + length(of_scope) + of_scope
    assert kernel.module.read_otlp_protobuf(b"\x0a" + length(of_resource) + of_resource) is None
