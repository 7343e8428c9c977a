"""The kernel against Python: every line, ordinary or hostile, gives the same row or the same dead letter by both ways."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from redactable import GONE, PIECES, STAYS

from detectors import kernel
from detectors.event import FIELDS as SCHEMA
from detectors.event import INDEX, PEOPLE, POSITION, Kind, kind_of
from monitor import native
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.decoders.shape import spellings
from monitor.door import Door, PeopleHash
from monitor.door.telltales import WORDS
from monitor.simulate import bad_lines, simulate
from monitor.sources import Oversized, RawBatch

pytestmark = pytest.mark.skipif(native.kernel is None, reason="the kernel is not installed: make native")

FIELDS = frozenset(
    {*INDEX, *PEOPLE, "event.sequence", "event.duration", "miniprogram.foreground", "error.code", "url.full"}
)
FIELDS |= {
    "process.cpu.pct",
    "http.request.headers.x-y.z",
    "miniprogram.extra.姓名",
    "message",
    "http.request.body.content",
}
LOOSE = FIELDS | {"privacy.kinds", "redaction.kinds", "http.request.headers"}
HASH = PeopleHash(b"k" * 32)
TIME = '"@timestamp":"2026-03-02T08:00:00.5Z"'
PERSON = "oABCDEFGHIJKLMNOPQRSTUVWXYZ1"


def raw_of(lines, start=100, oversized=()):
    data = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    return RawBatch("memory:1", "ndjson", data, start, start + len(data), oversized=oversized)


def by_python(raw, fields=FIELDS, *, hashed=False, few_lines=0):
    decoder = NdjsonDecoder(few_lines=few_lines)
    return Door(HASH, decoder, hashed=hashed).admit(decoder.decode(raw, fields), fields)


def alike(raw, fields=FIELDS, *, hashed=False):
    """The kernel, and Python's way for many lines and for few, give the same; what they give."""
    found = native.NativeNdjson(HASH, hashed=hashed).admit(raw, fields)
    for few_lines in (0, len(raw.data)):
        told = by_python(raw, fields, hashed=hashed, few_lines=few_lines)
        assert found.frame.schema == told.frame.schema
        for name in told.frame.columns:
            assert found.frame[name].to_list() == told.frame[name].to_list(), name
        assert found.dead_letters == told.dead_letters
    return found


class Unreadable:
    """A plan, and its own reader, to which every batch is one too many."""

    @property
    def reader(self):
        return self

    def read(self, _data, _people):
        raise native.kernel.Unread("the kernel failed")


def event(**fields):
    return ("{" + TIME + "".join(f",{json.dumps(key)}:{value}" for key, value in fields.items()) + "}").encode()


NASTY = {
    "nothing": b"",
    "blanks around": b' \t{"@timestamp":"2026-03-02T08:00:00Z"}\r',
    "a byte order mark": b'\xef\xbb\xbf{"@timestamp":"2026-03-02T08:00:00Z"}',
    "no object": b"[1]",
    "no time": b"{}",
    "two objects": event() + event(),
    "rubbish after": event() + b"x",
    "cut off": event(message='"abc')[:-4],
    "a comma too many": event(a="[1,]"),
    "a number that is none": event(a="01"),
    "not a number": event(a="NaN"),
    "a control character": event(a='"\x01"'),
    "bad UTF-8": event(a='"x"').replace(b"x", b"\xff"),
    "half a surrogate": event(message=r'"\ud83d"'),
    "a pair of surrogates": event(message=r'"\ud83d\ude00"'),
    "ordinary escapes": event(message=r'"\"\\\/\b\f\n\r\t\u0000\u4e2d"'),
    "an escaped letter in a key": event(message='"x"').replace(b"message", b"mess\\u0061ge"),
    "a key twice": event(message='"x"').replace(b'"message"', b'"message":null,"message"'),
    "an object twice": event(user='{"id":"u"},"user":{"name":"n"}'),
    "a field spelt twice": event(user='{"id":"u"}', **{"user.id": '"v"'}),
    "a field spelt twice, once as nothing": event(user='{"id":null}', **{"user.id": '"v"'}),
    "a spelling with blanks": event(user='{"x":1}').replace(b'"x":1', b'"x":1},"user.id"  :{"y":2'),
    "no object where one is due": event(user="7"),
    "a whole number for a text": event(error='{"code":-17}'),
    "a fraction for a text": event(error='{"code":1.50}'),
    "the least integer": event(event='{"sequence":-9223372036854775808}'),
    "more than an integer": event(event='{"sequence":9223372036854775808}'),
    "minus nothing": event(event='{"sequence":-0}', process='{"cpu":{"pct":-0}}'),
    "a whole number with a point": event(event='{"sequence":2.0}'),
    "a boundless number": event(process='{"cpu":{"pct":1e999}}'),
    "a small number": event(process='{"cpu":{"pct":5e-324}}'),
    "deep": event(a="[" * 100 + "]" * 100),
    "too deep": event(a="[" * 999 + "]" * 999),
    "a person elsewhere too": event(user=f'{{"id":"{PERSON}"}}', url=f'{{"full":"/?u={PERSON}"}}'),
    "a person who owns and pays": event(user=f'{{"id":"{PERSON}"}}', payment=f'{{"payer_id":"{PERSON}"}}'),
    "a person with blanks": event(user=f'{{"id": "{PERSON}"}}', payment=f'{{"payer_id" :"{PERSON}"}}'),
    "a person within a person": event(user=f'{{"id":"{PERSON[:9]}"}}', device=f'{{"id":"{PERSON}"}}'),
    "a short person": event(user='{"id":"ab"}', message='"ab and \\"ab\\""'),
    "a person called like a key": event(user='{"id":"user"}'),
    "a person called like the time": event(user='{"id":"@timestamp"}'),
    "a person called like the dataset": event(device='{"id":"miniprogram"}', event='{"dataset":"miniprogram.api"}'),
    "a person called like the app": event(device='{"id":"wx012345"}', miniprogram='{"app_id":"wx012345"}'),
    "a person who shares with another": event(
        user='{"id":"abcdefgh"}', device='{"id":"efghijkl"}', message='"abcdefghijkl"'
    ),
    "a person called like a number": event(user='{"id":"7"}', a="7"),
    "a person called like a number further down": event(user='{"id":"-17"}', a='[{"b": -17 }]'),
    "a person called like a number in a text": event(user='{"id":"7"}', message='"7 of 7"', a="17"),
    "a person called like nothing": event(user='{"id":"0"}', a="-0"),
    "a short person at the end of a text": event(user='{"id":"u1"}', message=r'"\"u1"'),
    "a short person who is all of a text": event(user='{"id":"u1"}', message='"u1"'),
    "a person who is true": event(user='{"id":true}', message='"true"'),
    "a person in another's escape": event(user='{"id":"4e2dabcd"}', message=r'"\u4e2dabcd"'),
    "a person in headers": event(
        user=f'{{"id":"{PERSON}"}}', http=f'{{"request":{{"headers":{{"cookie":"u={PERSON}"}}}}}}'
    ),
    "a person in no text": event(user='{"id":"12345678"}', message="12345678", event='{"duration":12345678}'),
    "a person who is a number": event(user='{"id":13812345678}'),
    "a number of thousands of digits": event(a="1" * 5000),
    "a count of thousands of digits": event(event='{"sequence":' + "1" * 5000 + "}"),
    "a text of thousands of digits": event(message="1" * 5000),
    "a number of hundreds of digits": event(message="1" * 310, a="-" + "1" * 299),
    "a person who is boundless": event(user='{"id":1e999}', message='"password=hunter22"'),
    "a person with a slash": event(user=r'{"id":"a\/b/c/d/e"}', message='"xa/b/c/d/e"'),
    "a person behind an escape": event(user='{"id":"n1234567"}', message=r'"\n1234567 token=abcdefghijkl"'),
    "a person in another alphabet": event(user='{"id":"用户一二三四五六七"}', message=r'"\u7528户一二三四五六七"'),
    "a person with a mail address": event(
        user='{"id":"alice.w@mail.example"}',
        url='{"full":"/?u=alice.w%40mail.example"}',
        message='"alice.w@mail.example"',
    ),
    "a person with a mail address and a percent": event(user='{"id":"alice.w@mail.example"}', message='"7%"'),
    "a person on one side": event(source=f'{{"user":{{"id":"{PERSON}"}}}}', message=f'"{PERSON}"'),
    "a list of codes": event(code='["short","081Kq7Lm3Np5Rt2Vw8"]'),
    "a code in XML": event(message='"<code> <![CDATA[ 081Kq7Lm3Np5Rt2Vw8 ]]> </code>"'),
    "a code on a line of XML": event(message=r'"<code>\n\t081Kq7Lm3Np5Rt2Vw8</code>"'),
    "a long count": event(event='{"duration":13812345678}'),
    "a secret": event(message='"password=hunter22 and 13812345678"'),
    "a token that is a number": event(token="1772409677000.5"),
    "a code in the middle": event(url='{"full":"/login?js_code=0a1B2c3D4e5F6g7H"}'),
}


@pytest.mark.parametrize("line", NASTY.values(), ids=NASTY)
def test_a_strange_line_means_the_same_by_both_ways_and_touches_no_other(line):
    alike(raw_of([event(message='"before"'), line, event(message='"after"')]))


@pytest.mark.parametrize(
    "time",
    [
        "2026-03-02T08:00:00Z",
        "2026-03-02T08:00:00.123456789Z",
        "2026-03-02T08:00:00.1234567891Z",
        "2024-02-29T23:59:59.9Z",
        "2023-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-03-02T24:00:00Z",
        "2026-03-02T23:59:60Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "1600-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999Z",
        "2026-03-02T08:00:00.Z",
        "2026-03-02T08:00:00",
        "2026-03-02t08:00:00z",
        "2026-03-02T08:00:00+08:00",
        "x",
    ],
)
def test_a_time_means_the_same_by_both_ways(time):
    alike(raw_of([b'{"@timestamp":"%s"}' % time.encode()]))


@given(st.integers(-10, 2**50) | st.integers(9 * 10**8, 2 * 10**10) | st.floats(allow_nan=False, allow_infinity=False))
@example(10**9 - 1)
@example(10**9)
@example(10**10 - 1)
@example(10**10)
@settings(max_examples=30, deadline=None)
def test_a_time_in_milliseconds_means_the_same_by_both_ways(number):
    alike(raw_of([b'{"@timestamp":%s}' % json.dumps(number).encode()]))


PEOPLES = st.sampled_from(
    [
        *(PERSON, PERSON[:9], PERSON[5:], "d-YH0BoEfgu0k2QEnXrhU3Mg", "u1", "event.id", "12345678", "7", "true"),
        *(
            "alice.w@mail.example",
            "01:1a:2b:3c:4d:5e",
            "tii+tNczf5v6A/Ry2wEUhQ==",
            "001234.0a1b2c3d4e5f60.04",
            "a@b.c1",
        ),
        *("tii%2btNczf5v6A%2FRy2wEUhQ%3d%3D", "192.168.10.10:8080", "http://a.b/c1d2e3f4a5b6", "1+union+select+1"),
        *("miniprogram", "@timestamp", "2026-03-02T08", "n1234567", "a b c d e", "用户一二三四五六七", "x/y/z/w"),
    ]
)
SECRETS = st.sampled_from(
    [
        "password=hunter22",
        '"password":"abc12345"',
        "session_key=HyVFkGl5F5OQWJZZaNzBBg==",
        "eyJhbGciOi.eyJzdWIi.abc",
        "call 13912345678 now",
        "4111111111111111",
        "11010519491231002X",
        "js_code=0a1b2c3d4e5f6g7h",
        "Authorization: Bearer abcdefgh12345678",
        "-----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----",
        "a13912345678",
    ]
)
TEXTS = PEOPLES | SECRETS | st.text(max_size=20) | st.lists(PEOPLES | SECRETS, max_size=3).map(" ".join)
NUMBERS = (
    st.integers(-(2**65), 2**65).map(str)
    | st.floats().map(json.dumps)
    | st.sampled_from(["0", "1007", "-1", "1E+2", "1e5"])
)
WRITTEN = st.builds(json.dumps, TEXTS, ensure_ascii=st.booleans()) | TEXTS.map(
    lambda text: json.dumps(text, ensure_ascii=False).replace("/", "\\/")
)
SCALARS = WRITTEN | NUMBERS | st.sampled_from(["true", "false", "null"])
KEYS = st.sampled_from(["a", "id", "user", "@timestamp", "password", "token", "姓名"])
TREES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(KEYS, below), max_size=3).map(
            lambda items: "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{value}" for key, value in items) + "}"
        )
    ),
    max_leaves=6,
)
FITTING = {
    Kind.TEXT: WRITTEN,
    Kind.INTEGER: st.integers(-5, 2**62).map(str),
    Kind.NUMBER: st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    Kind.BOOLEAN: st.sampled_from(["true", "false"]),
    Kind.TIME: st.sampled_from(['"2026-03-02T08:00:00Z"', '"2026-03-02T08:00:00.123456Z"', "1772409677000"]),
}
COLONS = st.sampled_from([":", ":", ":", ": ", " :", "  :\t", "\r:"])


@st.composite
def events(draw):
    """An event with some fields, in any spelling; most values fit."""
    tree = {"@timestamp": draw(FITTING[Kind.TIME])}
    for name in draw(st.lists(st.sampled_from(sorted({*FIELDS, *SCHEMA})), max_size=8, unique=True)):
        value = draw(st.one_of(*[FITTING.get(kind_of(name), TREES)] * 5, TREES))
        if name in PEOPLE and draw(st.booleans()):
            value = json.dumps(draw(PEOPLES), ensure_ascii=False)
        nested = max(spellings(name), key=len)
        put(tree, draw(st.sampled_from([nested] * 9 + list(spellings(name)))), value)
    if draw(st.integers(0, 5)) == 0:
        tree[draw(KEYS)] = draw(TREES)
    return written(tree, draw(COLONS)).encode("utf-8", "surrogatepass")


def put(tree, keys, value):
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            return
    tree.setdefault(keys[-1], value)


def written(tree, colon):
    if not isinstance(tree, dict):
        return tree
    return (
        "{"
        + ",".join(
            f"{json.dumps(key, ensure_ascii=False)}{colon}{written(below, colon)}" for key, below in tree.items()
        )
        + "}"
    )


@st.composite
def spoilt(draw):
    """An event with a few bytes taken out, put in, or doubled."""
    line = draw(events())
    for _ in range(draw(st.integers(0, 2))):
        first, after = sorted(draw(st.tuples(*[st.integers(0, len(line))] * 2)))
        pieces = [
            b"",
            b'"',
            b"\\",
            b"{",
            b"}",
            b",",
            b" ",
            b"\x00",
            b"\xff",
            b"\\u0041",
            b"\\ud83d",
            b"\\n",
            line[first:after],
        ]
        line = line[:first] + draw(st.sampled_from(pieces)) + line[draw(st.sampled_from([first, first + 1, after])) :]
    return line


@given(st.lists(events(), min_size=1, max_size=12), st.sampled_from([FIELDS, LOOSE]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_events_mean_the_same_by_both_ways(lines, fields, hashed):
    alike(raw_of(lines), fields, hashed=hashed)


@pytest.mark.parametrize("line", [*(line for line, _ in GONE.values()), *STAYS.values()], ids=[*GONE, *STAYS])
def test_secrets_mean_the_same_by_both_ways(line):
    alike(raw_of([line.replace("{", "{" + TIME + ",", 1).encode()]))


@given(st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=12), st.booleans())
@settings(max_examples=100, deadline=None)
def test_what_may_be_a_secret_means_the_same_by_both_ways(texts, escape):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    alike(raw_of([event(message=json.dumps(text, ensure_ascii=escape)) for text in texts]))


@given(st.lists(spoilt(), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_spoilt_lines_mean_the_same_by_both_ways(lines):
    alike(raw_of(lines))


def test_simulated_traffic_with_bad_lines_means_the_same_by_both_ways():
    blocks, _ = bad_lines(simulate(7, 4000), 4000, 7, share=0.02)
    alike(raw_of(b"".join(blocks).splitlines()))


@pytest.mark.parametrize(
    "word", [word for word in WORDS if not {'"', "\\"} & set(word.text)], ids=lambda word: word.text
)
def test_each_telling_word_makes_a_suspect_wherever_it_stands_and_in_capitals(word):
    joint = ":" if word.key == len(word.text) or word.text.endswith("'") else ""
    reader = native._Plan(FIELDS).reader
    said = [f"{before}{word.text}{joint}{'a' * 20}" for before in ("", "x" * 40)]
    told = [*said, *(text.upper() for text in said), "nothing"]
    lines = [f'{{{TIME},"message":"{text}"}}\n' for text in told]
    assert reader.read("".join(lines).encode(), None)[4] == [0, 1, 2, 3]


@pytest.mark.parametrize("pieces", [[], ["cre"], ["secr", "secre"], ["secret", ""], ["other"]])
def test_pieces_that_could_miss_a_word_are_refused(pieces):
    asked = ([0, 0], [(["@timestamp"], 0), (["message"], 1)], 0, [], [], [("secret", 6, 6), ("password", 8, 8)])
    with pytest.raises(ValueError, match="words that cannot be looked for"):
        native.kernel.Reader(*asked, pieces)


def test_the_kernel_leaves_none_of_the_ordinary_lines_to_python():
    data = b"".join(simulate(7, 4000))
    decoder = native.NativeNdjson(HASH)
    _, _, starts, odd, _ = decoder._plans(FIELDS).reader.read(data, decoder._people)
    assert odd == []
    assert len(np.frombuffer(starts, np.int64)) == data.count(b"\n")


def test_a_batch_that_the_kernel_cannot_read_is_told_and_read_by_python(monkeypatch):
    told = []
    decoder = native.NativeNdjson(HASH, failed=told.append)
    monkeypatch.setattr(decoder, "_plans", lambda _fields: Unreadable())
    assert decoder.admit(raw_of([event()]), FIELDS).frame.height == 1
    assert told == ["the kernel failed"]


def test_a_mistake_of_ours_is_not_taken_for_a_fault_of_the_kernel():
    def no_hash(_person):
        raise ValueError("our mistake")

    with pytest.raises(ValueError, match="our mistake"):
        native.NativeNdjson(no_hash).admit(raw_of([event(user='{"id":"abcdefgh"}')]), FIELDS)


def test_rows_and_dead_letters_keep_their_places_in_the_stream():
    lines = [event(), b"{", event(message='"password=hunter22"'), b"[]", event(user='{"id":7}')]
    gap = 10_000 + len(lines[0]) + 1
    found = alike(raw_of(lines, start=10_000, oversized=(Oversized(gap, 2_000_000, b"{"),)))
    starts = np.cumsum([10_000, *(len(line) + 1 for line in lines)])[:-1] + np.array([0, *[2_000_001] * 4])
    assert found.frame[POSITION].to_list() == starts[[0, 2, 4]].tolist()
    assert [letter.position for letter in found.dead_letters] == [gap, *starts[[1, 3]].tolist()]


def test_nothing_but_bad_lines_is_read_too():
    assert alike(raw_of([b"{", b"", b"\xff"])).frame.height == 0
    assert alike(raw_of([])).frame.height == 0


def test_the_environment_turns_it_off(monkeypatch):
    monkeypatch.setenv("MINIWATCH_NATIVE", "0")
    assert not kernel.available()
