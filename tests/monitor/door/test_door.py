"""The door: nobody's id and no secret gets past it, and what is harmless stays as it is."""

import json
import re
from urllib.parse import quote

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import INDEX, LINE, PEOPLE
from monitor.decoders import DeadLetter, DeadLetterReason, Decoded
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.door.redaction import kind_of_digits, suspects
from monitor.sources import RawBatch

FIELDS = frozenset({*INDEX, *PEOPLE, "message", "url.full", "http.request.body.content", "redaction.kinds"})
HASH = PeopleHash(b"k" * 32)
OPENID = "oABCDEFGHIJKLMNOPQRSTUVWXYZ1"


def admit(*events, hashed=False, escape=False):
    events = [{"@timestamp": "2026-03-02T08:00:00Z", **event} for event in events]
    return door(*(json.dumps(event, ensure_ascii=escape) for event in events), hashed=hashed)


def door(*lines, hashed=False):
    data = ("\n".join(lines) + "\n").encode()
    decoder = NdjsonDecoder()
    raw = RawBatch("memory:1", "ndjson", data, 0, len(data))
    admitted = Door(HASH, decoder, hashed=hashed).admit(decoder.decode(raw, FIELDS), FIELDS)
    assert admitted.dead_letters == []
    return admitted.frame.rows(named=True)


def test_a_person_is_hashed_wherever_they_stand_in_their_event():
    (row,) = admit(
        {"user": {"id": OPENID}, "message": f"hello {OPENID}", "url": {"full": f"https://a.example/?u={OPENID}"}}
    )
    assert row["user.id"] == HASH(OPENID)
    assert OPENID not in row[LINE]
    assert row["message"] == f"hello {HASH(OPENID)}"
    assert row["url.full"].endswith(HASH(OPENID))


@pytest.mark.parametrize("value", ["bob", 12345, 'a"b\\c-long-enough', "ü" * 9, "a/b/c/d/e"])
def test_a_person_is_hashed_however_the_id_is_written(value):
    (row,) = admit({"user": {"id": value}}, escape=True)
    assert row["user.id"] == HASH(str(value))
    assert json.loads(row[LINE])["user"]["id"] == HASH(str(value))


def test_a_short_id_is_not_replaced_inside_of_other_words():
    (row,) = admit({"user": {"id": "bob"}, "message": "bobsleigh"})
    assert row["message"] == "bobsleigh"


@pytest.mark.parametrize(
    "person",
    ["miniprogram", "miniprogram.api", "getLocation", "wx0123456789abcdef", "2026-03-02T08", "@timestamp", "id"],
)
@pytest.mark.parametrize("field", PEOPLE)
def test_a_person_called_like_a_part_of_the_event_hides_nothing_of_it(field, person):
    event = {
        "event": {"dataset": "miniprogram.api", "action": "getLocation"},
        "miniprogram.app_id": "wx0123456789abcdef",
    }
    (row,) = admit({**event, field: person})
    told = json.loads(row[LINE])
    assert told == {"@timestamp": "2026-03-02T08:00:00Z", **event, field: HASH(person)}
    assert (row["event.dataset"], row["event.action"]) == ("miniprogram.api", "getLocation")
    assert row["miniprogram.app_id"] == "wx0123456789abcdef"
    assert row[field] == HASH(person)


@pytest.mark.parametrize(
    "place", ["event.original", "http.request.headers.referer", "miniprogram.api_args", "note", "miniprogram.extra.who"]
)
def test_a_person_is_hashed_in_free_text_and_outside_of_the_schema(place):
    (row,) = admit({"user": {"id": OPENID}, place: f"u={OPENID}"})
    assert json.loads(row[LINE])[place] == f"u={HASH(OPENID)}"


JOINED = [
    "alice.w@mail.example",
    "01:1a:2b:3c:4d:5e",
    "tiihtNczf5v6AKRyjwEUhQ==",
    "tii+tNczf5v6A/Ry2wEUhQ==",
    "001234.0a1b2c3d4e5f60718293.0412",
]


@pytest.mark.parametrize("person", JOINED)
@pytest.mark.parametrize("field", ["message", "url.full", "http.request.body.content", "note"])
def test_an_id_with_marks_in_it_is_hashed_wherever_it_stands(person, field):
    small = re.sub("%..", lambda found: found[0].lower(), quote(person, safe="/:"))
    for spelt in (person, quote(person, safe=""), small):
        (row,) = admit({"user": {"id": person}, field: f"https://a.example/?u={spelt}&v=1"})
        assert json.loads(row[LINE])[field] == f"https://a.example/?u={HASH(person)}&v=1"


@pytest.mark.parametrize("place", ["payment.order_id", "url.domain", "event.action", "host.name", "miniprogram.api"])
def test_a_structural_field_that_equals_a_person_stays(place):
    (row,) = admit({"user": {"id": OPENID}, place: OPENID})
    assert json.loads(row[LINE])[place] == OPENID


@pytest.mark.parametrize(
    "person",
    [
        *("http://evil.example", "uploadFile", '"url":"http://evil', "/v1/upload", "付款码付款码付款码"),
        *("../../../../etc/passwd1", "192.168.10.10:8080", "javascript:alert1", "1+uNiOn+select+1+from+t9"),
        *("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "shop1.evil-2.example", "https://a.b/c1d2e3f4a5b6c7"),
    ],
)
@pytest.mark.parametrize("field", ["url.full", "message", "miniprogram.api_args", "http.request.body.content"])
def test_what_is_no_id_hides_nothing_that_rules_read(person, field):
    for text in (person, f"a {person} b"):
        (row,) = admit({"device": {"id": person}, field: text})
        assert json.loads(row[LINE]) == {
            "@timestamp": "2026-03-02T08:00:00Z",
            "device": {"id": HASH(person)},
            field: text,
        }


@pytest.mark.parametrize("place", ["user.target.id", "host.user.name", "note", "session.id"])
@pytest.mark.parametrize("person", ["bob", "Bob Jones", OPENID])
def test_a_person_who_is_all_of_a_field_outside_of_the_schema_is_hashed(person, place):
    (row,) = admit({"user": {"id": person}, place: person})
    assert json.loads(row[LINE])[place] == HASH(person)


@pytest.mark.parametrize("number", ["1e999", "1" * 400, "1" * 5000, "-0", "1.50"])
def test_a_number_keeps_its_spelling_beside_a_person_who_must_be_looked_for(number):
    line = (
        '{"@timestamp":"2026-03-02T08:00:00Z","device":{"id":"getLocation"},"note":"getLocation","x":NUMBER}'.replace(
            "NUMBER", number
        )
    )
    (row,) = door(line)
    assert row[LINE] == line.replace("getLocation", HASH("getLocation"))


@pytest.mark.parametrize("number", ["1e999", "1" * 5000])
def test_a_line_whose_redaction_is_no_json_keeps_its_numbers(number):
    line = '{"@timestamp":"2026-03-02T08:00:00Z","message":"password=\\\\","x":NUMBER}'.replace("NUMBER", number)
    (row,) = door(line)
    assert row[LINE].endswith(number + "}")


def test_a_hash_of_the_line_is_no_secret():
    (row,) = admit({"auth": {"code": OPENID}, "x": {"code": OPENID, "openid": OPENID}})
    assert json.loads(row[LINE])["x"] == {"code": HASH(OPENID), "openid": HASH(OPENID)}
    assert row["auth.code"] == HASH(OPENID)


def test_a_count_that_equals_a_person_stays_a_count():
    (row,) = admit({"user": {"id": "12345678"}, "event": {"duration": 12345678}, "note": 12345678})
    told = json.loads(row[LINE])
    assert (told["event"]["duration"], told["note"]) == (12345678, HASH("12345678"))


def test_people_who_share_a_part_of_their_ids_are_each_their_own_hash():
    (row,) = admit({"user": {"id": OPENID}, "device": {"id": OPENID[:10]}, "payment": {"payer_id": OPENID}})
    told = json.loads(row[LINE])
    assert told["user"]["id"] == told["payment"]["payer_id"] == HASH(OPENID)
    assert told["device"]["id"] == HASH(OPENID[:10])


@pytest.mark.parametrize(("person", "message"), [(12345, "12345"), (True, "true")])
def test_a_person_who_is_no_text_is_hashed_though_a_text_says_the_same(person, message):
    (row,) = admit({"user": {"id": person}, "message": message})
    assert json.loads(row[LINE])["user"]["id"] == HASH(message)


def test_a_number_of_thousands_of_digits_beside_a_person_is_no_accident():
    line = '{"@timestamp":"2026-03-02T08:00:00Z","user":{"id":"abcdefgh"},"a":"abcdefgh","b":' + "1" * 5000 + "}\n"
    raw = RawBatch("memory:1", "ndjson", line.encode() * 600, 0, 600 * len(line))
    decoder = NdjsonDecoder()
    admitted = Door(HASH, decoder).admit(decoder.decode(raw, FIELDS), FIELDS)
    assert admitted.frame.height + len(admitted.dead_letters) == 600


class Refusing:
    """A decoder that takes nothing once people are hashed."""

    def decode(self, raw, _fields):
        return Decoded(pl.DataFrame(), [DeadLetter("", 0, DeadLetterReason.WRONG_TYPE, "no", raw.data, len(raw.data))])


def test_a_letter_that_the_door_makes_is_cut_at_its_bound():
    line = b'{"@timestamp":"2026-03-02T08:00:00Z","user":{"id":"abcdefg1"},"message":"abcdefg1"}'
    decoded = NdjsonDecoder().decode(RawBatch("memory:1", "ndjson", line + b"\n", 0, len(line) + 1), FIELDS)
    (letter,) = Door(HASH, Refusing(), dead_letter_bytes_max=20).admit(decoded, FIELDS).dead_letters
    assert (letter.raw, letter.length) == (line[:20], len(line))


@pytest.mark.parametrize("field", ["source.user.id", "client.user.id", "destination.user.id"])
def test_a_person_on_one_side_of_a_connection_is_hashed(field):
    (row,) = admit({field: OPENID, "message": f"hello {OPENID}"})
    assert json.loads(row[LINE])[field] == row[field] == HASH(OPENID)
    assert row["message"] == f"hello {HASH(OPENID)}"


def test_a_source_that_hashes_itself_is_left_alone():
    (row,) = admit({"user": {"id": "0" * 32}}, hashed=True)
    assert row["user.id"] == "0" * 32


@pytest.mark.parametrize(
    ("message", "kinds", "gone"),
    [
        ("call 13812345678, or 13912345678", ["phone"], "13812345678"),
        ("id 11010519491231002X.", ["id_card"], "11010519491231002X"),
        ("card 6222020000000000000", ["bank_card"], "6222020000000000000"),
        ("session_key=tiihtNczf5v6AKRyjwEUhQ==", ["session_key"], "tiihtNczf5v6AKRyjwEUhQ"),
        ('{"access_token": "abcdefghijklm"}', ["access_token"], "abcdefghijklm"),
        ("AppSecret: 0123456789abcdef0123456789abcdeX", ["app_secret"], "0123456789abcdef"),
        ("password=hunter22", ["password"], "hunter22"),
        ("Authorization: Bearer abcdefghijk1234", ["access_token"], "abcdefghijk1234"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_", ["jwt"], "eyJzdWIiOiIxMjM0In0"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----", ["private_key"], "MIIEabc"),
        ("openid=oZZZZZZZZZZZZZZZZZZZZZZZZZZ2", ["openid"], "oZZZZZZZZZ"),
    ],
)
def test_a_secret_is_replaced_and_its_kind_is_told(message, kinds, gone):
    (row,) = admit({"message": message})
    assert gone not in row[LINE]
    assert json.loads(row["redaction.kinds"]) == kinds
    assert row["message"] == json.loads(row[LINE])["message"]


def test_a_phone_that_stands_as_a_number_leaves_json_behind():
    (row,) = admit({"contact": {"phone": 13812345678, "all": [13812345678, 13912345678]}})
    assert "13812345678" not in row[LINE]
    json.loads(row[LINE])


@pytest.mark.parametrize(
    "message",
    [
        "138****5678",
        "password=***",
        "order 4200001234202603021234567890",
        "at 1772438400500",
        "tel 12345678901",
        "code: 0",
    ],
)
def test_masks_and_plain_numbers_stay(message):
    (row,) = admit({"message": message, "event": {"duration": 13812345678}})
    assert row["message"] == message
    assert row["redaction.kinds"] is None


def test_login_codes_and_tokens_are_hashed_into_their_columns():
    body = json.dumps({"js_code": "0a1BcDeFgHiJkLmNoP", "token": "tok_abcdefghijkl"})
    (row,) = admit({"http": {"request": {"body": {"content": body}}}})
    assert row["auth.code"] == HASH("0a1BcDeFgHiJkLmNoP")
    assert row["auth.token"] == HASH("tok_abcdefghijkl")
    assert "0a1BcDeFgHiJkLmNoP" not in row[LINE]


def test_ordinary_lines_are_no_suspects():
    rows = admit(
        {"event": {"id": "9f" * 16}, "session": {"id": "s1"}, "url": {"full": "https://shop.example/v1/item/471325"}}
    )
    assert not suspects(pl.Series(LINE, [rows[0][LINE]])).any()


@settings(max_examples=150, deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_-]{7,12}[0-9]|[A-Za-z_-]{20}", fullmatch=True), st.text(max_size=30), st.booleans())
def test_no_id_survives_in_any_text_of_its_line(person, around, escape):
    around = around.encode("utf-8", "replace").decode()
    (row,) = admit({"user": {"id": person}, "message": around + person}, escape=escape)
    told = json.loads(row[LINE])
    if person not in HASH(person):
        assert person not in told["user"]["id"]
        assert person not in told["message"].replace(HASH(person), "")


def test_digits_are_judged_by_their_check_digits():
    assert kind_of_digits("11010519491231002X") == "id_card"
    assert kind_of_digits("110105194912310021") is None
    assert kind_of_digits("6222020000000000000") == "bank_card"
    assert kind_of_digits("6222020000000000001") is None
