"""``_bulk``: shippers that speak to Elasticsearch ship into us, and each item is answered for itself."""

import gzip
import json

import httpx
import msgspec
import pytest

from monitor.console import bulk_body, documents
from monitor.console.access import Refused
from monitor.spool import kept_ids
from monitor.spool import spool as spool_module
from monitor.tokens import Role

TIME = '"@timestamp":"2026-03-02T10:00:00Z"'


@pytest.fixture
def door(make_door):
    return make_door("/_bulk")


def body(*pairs, blank=False):
    """Actions and documents, as lines."""
    lines = [json.dumps(one) if isinstance(one, dict) else one for pair in pairs for one in pair]
    return ("\n\n" if blank else "\n").join(lines).encode() + b"\n"


def create(name, *, index="logs"):
    return {"create": {"_index": index, "_id": name}}


def statuses(answer):
    return [next(iter(item.values()))["status"] for item in answer.json()["items"]]


def document(number):
    return f'{{{TIME},"message":"line {number}"}}'


def test_documents_become_events_and_each_item_is_answered(door):
    answer = door.post(
        body(({"index": {"_index": "a"}}, document(1)), ({"create": {}}, document(2)), blank=True),
        Content_Type="application/json; charset=utf-8",
    )
    assert answer.status_code == 200
    assert answer.text.startswith('{"took":0,"errors":false,"items":[')
    assert [next(iter(item)) for item in answer.json()["items"]] == ["index", "create"]
    assert statuses(answer) == [201, 201]
    assert answer.headers["X-Elastic-Product"] == "Elasticsearch"
    assert door.kept.decode() == f"{document(1)}\n{document(2)}\n"


def test_a_repeated_create_is_a_conflict_and_no_second_event_also_after_a_restart(make_door, door):
    first = door.post(body((create("1"), document(1)), (create("2"), document(2)), (create("1"), document(3))))
    assert statuses(first) == [201, 201, 409]
    assert first.json()["errors"] is True
    kept = door.kept
    again = make_door("/_bulk")
    again.token = door.token
    again.site.store.add_token(door.site.store.tokens()[0], "")
    again.site.front.guard._known._read()
    answer = again.post(body((create("2"), document(9)), (create("4"), document(4))))
    assert statuses(answer) == [409, 201]
    assert answer.json()["items"][0]["create"]["error"]["type"] == "version_conflict_engine_exception"
    assert again.kept.startswith(kept)
    assert again.kept.count(b"\n") == 3


def test_ids_are_of_one_client_and_one_index(door):
    assert statuses(door.post(body((create("1"), document(1))))) == [201]
    assert statuses(door.post(body((create("1", index="other"), document(1))))) == [201]
    door.token = door.site.token(Role.INGEST)
    assert statuses(door.post(body((create("1"), document(1))))) == [201]
    assert statuses(door.post(body((create("1"), document(1)), (create("5"), document(5))))) == [409, 201]


def test_the_same_document_indexed_again_is_no_second_event_and_another_one_with_its_id_is(door):
    index = {"index": {"_index": "a", "_id": "7"}}
    assert statuses(door.post(body((index, document(1))))) == [201]
    assert statuses(door.post(body((index, document(1)), (index, document(2)), (index, document(2))))) == [
        200,
        201,
        200,
    ]
    assert door.kept.count(b"\n") == 2


def test_what_is_no_event_is_refused_for_itself(door):
    long = {"create": {"_id": "x" * 513}}
    pairs = [
        ({"update": {"_id": "1"}}, '{"doc":{}}'),
        ({"delete": {"_id": "1"}},),
        ({"index": {}}, document(1)),
        (long, document(2)),
    ]
    answer = door.post(body(*pairs))
    assert statuses(answer) == [400, 400, 201, 400]
    assert answer.json()["errors"] is True
    assert door.kept.decode() == document(1) + "\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no action in it"),
        (b"\n\n", "no action in it"),
        (b'{"index":{}}\n', "the last action has no document"),
        (b'{"index":{}}\n{}\n{"take":{}}\n{}\n', "item 1: an action is expected, one of index, create, update, delete"),
        (b'{"index":{},"create":{}}\n{}\n', "item 0: an action is expected, one of index, create, update, delete"),
        (b"\xff\xfe\n{}\n", "item 0: an action is expected, one of index, create, update, delete"),
        (b"[" * 100_000 + b"\n{}\n", "item 0: an action is expected, one of index, create, update, delete"),
        (b'{"index":{"_id":1e999}}\n{}\n', "item 0: an action is expected, one of index, create, update, delete"),
    ],
)
def test_what_is_no_bulk_request_is_refused_whole(door, content, reason):
    answer = door.post(content)
    assert answer.status_code == 400
    assert answer.json()["error"] == {"type": "illegal_argument_exception", "reason": reason}
    assert door.kept == b""


def test_more_items_than_may_be_are_to_be_sent_in_parts(monkeypatch):
    monkeypatch.setattr(bulk_body, "ITEMS_MAX", 3)
    whole = b'{"index":{}}\n{}\n'
    assert len(bulk_body.BulkReader("t", 1000, 1000).read(whole * 3, "").items) == 3
    for many in [whole * 4, b"\n" * 100]:
        with pytest.raises(Refused, match="more than 3 items"):
            bulk_body.BulkReader("t", 1000, 1000).read(many, "")


@pytest.mark.parametrize(
    ("before", "name", "after"),
    [
        (f"{{{TIME}}}", None, f"{{{TIME}}}"),
        (f"{{{TIME}}}", "1", f'{{"event":{{"id":"1"}},{TIME}}}'),
        (f'{{{TIME},"event":{{"id":"9"}}}}', "1", f'{{{TIME},"event":{{"id":"9"}}}}'),
        (f'{{{TIME},"event":{{"action":"x"}}}}', '"', f'{{"event.id":"\\"",{TIME},"event":{{"action":"x"}}}}'),
        (f'{{{TIME},"event.id":"9"}}', "1", f'{{{TIME},"event.id":"9"}}'),
        (f'{{{TIME},"host":"web-1"}}', None, f'{{{TIME},"host.name":"web-1"}}'),
        (f'{{{TIME},"host":{{"name":"web-1"}}}}', None, f'{{{TIME},"host":{{"name":"web-1"}}}}'),
        (f'{{{TIME},"log": "a text","message":"kept"}}', None, f'{{{TIME},"message":"kept"}}'),
        ('{"timereported":"2026-03-02T10:00:00+08:00"}', None, None),
        ('{"time":"soon","timestamp":1772500000000}', None, None),
        ('{"time":"soon"}', None, '{"time":"soon"}'),
        ("{", "1", "{"),
        ("[1]", "1", "[1]"),
        ('{"host":' + "[" * 5000, None, '{"host":' + "[" * 5000),
    ],
)
def test_documents_as_shippers_write_them_are_events(before, name, after):
    line = documents.line_of(before.encode(), None if name is None else json.dumps(name).encode())
    if after is not None:
        assert line.decode() == after
    else:
        assert isinstance(msgspec.json.decode(line)["@timestamp"], str | int)


def test_one_document_alone_may_be_sent(door):
    def send(method, path, content=None):
        return door.site.get(path, door.token, method=method, content=content or document(1).encode())

    pretty = json.dumps(json.loads(document(1)), indent=2).encode()
    assert send("POST", "/falco/_doc", pretty).status_code == 201
    assert [send("PUT", "/falco/_create/a").status_code for _ in range(2)] == [201, 409]
    assert [send("PUT", "/falco/_doc/b").json()["result"] for _ in range(2)] == ["created", "noop"]
    assert send("POST", "/falco/_doc", b" ").status_code == 400
    assert statuses(
        door.site.get("/falco/_bulk", door.token, method="PUT", content=body(({"create": {"_id": "a"}}, "{}")))
    ) == [409]
    assert door.kept.count(b"\n") == 3


def test_packed_bodies_and_full_spools_are_told_as_shippers_know_them(make_door):
    door = make_door("/_bulk", spool_bytes_max=2000)
    assert door.post(gzip.compress(body(({"index": {}}, document(1)))), Content_Encoding="gzip").status_code == 200
    full = door.post(body(({"index": {}}, '{"message":"' + "x" * 2000 + '"}')))
    assert (full.status_code, full.headers["Retry-After"]) == (429, "5")
    assert full.json() == {"error": {"type": "status_exception", "reason": "the spool is full"}, "status": 429}
    assert door.post(gzip.compress(bytes(1000))[:-4], Content_Encoding="gzip").status_code == 400


def test_what_shippers_ask_before_they_send_is_answered(door):
    def asked(path, method="GET", **more):
        return door.site.get(path, door.token, method=method, **more)

    assert asked("/").json()["version"]["number"].startswith("9.")
    assert asked("/", "HEAD").status_code == 200
    assert asked("/_license").json()["license"]["status"] == "active"
    assert asked("/_cluster/health").json()["status"] == "green"
    assert "green" in asked("/_cat/health").text
    assert asked("/_xpack").json()["features"]["ilm"]["available"]
    for path in ["/_index_template/x", "/_ilm/policy/x", "/_data_stream/x", "/_template/x"]:
        assert asked(path, "HEAD").status_code == 404
        assert asked(path, "PUT", content=b"{}").json() == {"acknowledged": True}
        assert asked(path, "HEAD").status_code == 200
    assert asked("/_index_template/y").status_code == 404
    assert door.site.get("/").status_code == 401
    kind = "application/vnd.elasticsearch+json;compatible-with=8"
    assert asked("/", headers={"Accept": kind}).headers["Content-Type"] == kind


def test_shippers_may_show_their_token_as_user_and_password_or_as_a_key(door):
    url = f"{door.site.url}/_bulk"
    content = body(({"index": {}}, document(1)))
    assert httpx.post(url, content=content, auth=("shipper", door.token)).status_code == 200
    assert httpx.post(url, content=content, headers={"Authorization": f"ApiKey {door.token}"}).status_code == 200


def test_ids_are_remembered_when_their_segment_is_gone(door, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1)
    for number in range(4):
        door.post(body((create(str(number)), document(number))))
        door.spool.forget(door.spool.end)
    assert len(list(door.spool.folder.glob(f"*{kept_ids.SUFFIX}"))) == 3
    assert [statuses(door.post(body((create(str(number)), document(0))))) for number in range(4)] == [[409]] * 4
