from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from monitor.stores.elasticsearch import SearchError, SearchSettings
from monitor.stores.elasticsearch.bulk import Sending
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.documents import Bodies
from monitor.testing.search import Says, all_taken, documents_in, stub_node


def _sending(count=10):
    lines = [b'{"create":{"_id":"%d"}}\n{"n":%d}\n' % (n, n) for n in range(count)]
    return Sending(Bodies.of(lines), np.ones(count, dtype=bool))


def _send(node, sending, **keys):
    connection = Connection(SearchSettings(urls=(node.url,), **keys))
    with ThreadPoolExecutor(2) as pool:
        sending.send(connection, "logs-x-y", pool, lambda: True)


def _each(fate):
    """A node that says of each document what `fate` says by its id."""

    def answer(asked):
        items = [{"create": fate(about["create"]["_id"])} for about, _ in documents_in(asked)]
        return Says(body={"errors": any(item["create"]["status"] >= 300 for item in items), "items": items})

    return answer


def _refusal(status, kind, reason="because"):
    return {"status": status, "error": {"type": kind, "reason": reason}}


def test_documents_that_are_taken_are_done():
    with stub_node(all_taken) as node:
        sending = _sending()
        _send(node, sending)
    assert (sending.done, sending.pending.any(), sending.unanswered) == (10, False, False)


def test_a_document_that_is_there_already_is_done():
    fate = {"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "exists"}}
    with stub_node(_each(lambda _id: fate)) as node:
        sending = _sending()
        _send(node, sending)
    assert not sending.pending.any()
    assert sending.refused == []


def test_what_is_turned_away_for_now_is_sent_again_alone():
    tried = []

    def fate(key):
        tried.append(key)
        return (
            _refusal(429, "es_rejected_execution_exception")
            if tried.count(key) == 1 and key == "3"
            else {"status": 201}
        )

    with stub_node(_each(fate)) as node:
        sending = _sending()
        with pytest.raises(SearchError) as told:
            _send(node, sending)
        assert (told.value.kind, told.value.retryable) == ("busy", True)
        _send(node, sending)
    assert not sending.pending.any()
    assert tried.count("3") == 2
    assert len(tried) == 11


def test_a_document_that_the_mapping_refuses_is_refused_once():
    with stub_node(
        _each(lambda key: _refusal(400, "document_parsing_exception") if key == "3" else {"status": 201})
    ) as node:
        sending = _sending()
        _send(node, sending)
    assert [(one.row, one.reason, one.detail) for one in sending.refused] == [
        (3, "document_parsing_exception", "because")
    ]
    assert not sending.pending.any()


@pytest.mark.parametrize(
    ("status", "kind", "fault"),
    [
        (403, "security_exception", "refused"),
        (403, "cluster_block_exception", "full"),
        (429, "cluster_block_exception", "full"),
        (404, "index_not_found_exception", "failing"),
    ],
)
def test_what_is_not_about_the_document_stops_all_and_is_told(status, kind, fault):
    with stub_node(_each(lambda _key: _refusal(status, kind))) as node:
        sending = _sending()
        with pytest.raises(SearchError) as told:
            _send(node, sending)
    assert told.value.kind == fault
    assert sending.pending.all()


@pytest.mark.parametrize(
    ("says", "fault"),
    [
        (Says(429, {"error": "slow down"}, {"Retry-After": "7"}), "busy"),
        (Says(401, {"error": {"type": "security_exception", "reason": "who are you"}}), "refused"),
        (Says(500, {"error": "oh"}), "failing"),
        (Says(502, b"<html>bad gateway", {"Content-Type": "text/html"}, is_elasticsearch=False), "busy"),
        (Says(200, {"errors": False, "items": []}), "nonsense"),
        (Says(200, {"took": 1}), "nonsense"),
        (Says(200, b"welcome", {"Content-Type": "text/plain"}), "nonsense"),
        (Says(200, {"errors": True, "items": [{"create": {"status": 201}}] * 10}), "nonsense"),
        (Says(200, {"errors": False, "items": [{"create": {"status": 400}}] * 10}), "nonsense"),
        (Says(200, {"errors": False, "items": [{"create": {"status": 201}}] * 10}, is_elasticsearch=False), "foreign"),
    ],
)
def test_a_request_that_fails_as_a_whole_leaves_all_to_be_sent_again(says, fault):
    with stub_node(lambda _asked: says) as node:
        sending = _sending()
        with pytest.raises(SearchError) as told:
            _send(node, sending)
        assert told.value.kind == fault
        assert told.value.rest_s == (7.0 if says.headers.get("Retry-After") else 0.0)
        assert sending.pending.all()
        assert sending.unanswered
        node.answer = all_taken
        _send(node, sending)
    assert sending.done == 10


def test_a_request_that_is_too_large_is_halved_until_it_fits():
    def answer(asked):
        return all_taken(asked) if len(documents_in(asked)) <= 3 else Says(413, {"error": "too large"})

    with stub_node(answer) as node:
        sending = _sending()
        _send(node, sending)
    assert sending.done == 10


def test_a_single_document_that_is_too_large_is_refused():
    with stub_node(lambda asked: Says(413) if b'"n":4' in asked.body else all_taken(asked)) as node:
        sending = _sending()
        _send(node, sending)
    assert [(one.row, one.reason) for one in sending.refused] == [(4, "too large")]


def test_nobody_there_is_told_as_unreachable():
    with stub_node(all_taken) as node:
        pass
    with pytest.raises(SearchError) as told:
        _send(node, _sending())
    assert told.value.kind == "unreachable"


def test_requests_keep_to_their_bytes():
    with stub_node(all_taken) as node:
        _send(node, _sending(100), bulk_bytes_max=200)
    assert max(len(asked.body) for asked in node.asked) <= 200
    assert sum(len(documents_in(asked)) for asked in node.asked) == 100


def test_what_is_sent_can_be_compressed_and_carries_the_key():
    with stub_node(all_taken) as node:
        _send(node, _sending(), compress=True, api_key="s3cret")
    assert node.asked[0].headers["content-encoding"] == "gzip"
    assert node.asked[0].headers["authorization"] == "ApiKey s3cret"
