"""Alerts by HTTP, against a receiver that takes them, fails, throttles, lies and dawdles."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time

import pytest
from webhooks import NOW, Handler, Receiver

from monitor.notifiers import NotifierError
from monitor.notifiers.posting import RETRY_AFTER_S_MAX
from monitor.notifiers.webhook import Webhook
from monitor.stores import Message

MESSAGE = Message(key="k1", channel="webhook:ops", body=b'{"a":1}', created=0)


def _refused(webhook: Webhook) -> NotifierError:
    with pytest.raises(NotifierError) as caught:
        webhook.send(MESSAGE)
    return caught.value


def test_a_message_is_posted_signed_and_under_its_key(receiver: Receiver):
    assert receiver.webhook().send(MESSAGE).detail == "HTTP 204"
    [(headers, body)] = receiver.came
    expected = hmac.new(b"sesame", f"{NOW}.".encode() + body, hashlib.sha256).hexdigest()
    assert body == MESSAGE.body
    assert headers["Idempotency-Key"] == "k1"
    assert headers["Miniwatch-Signature"] == f"t={NOW},v1={expected}"


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(408, True), (425, True), (429, True), (500, True), (503, True), (400, False), (404, False), (302, False)],
)
def test_the_status_says_whether_to_try_again(receiver: Receiver, status: int, retryable: bool):
    receiver.behave = lambda handler: handler.answer(status, b"because", Location="http://127.0.0.1:1/")
    error = _refused(receiver.webhook())
    assert (error.retryable, str(error)) == (retryable, f"HTTP {status} because")
    assert len(receiver.came) == 1


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (302, True),
        (401, True),
        (403, True),
        (404, True),
        (410, True),
        (503, True),
        (400, False),
        (413, False),
        (422, False),
    ],
)
def test_whoever_tells_people_tries_again_what_an_address_or_a_secret_was_wrong_for(
    receiver: Receiver, status: int, retryable: bool
):
    receiver.behave = lambda handler: handler.answer(status)
    assert _refused(receiver.webhook(outlives_mistakes=True)).retryable is retryable


@pytest.mark.parametrize(
    ("retry_after", "wait_s"),
    [
        ("30", 30),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("9999999", RETRY_AFTER_S_MAX),
        ("9" * 400, RETRY_AFTER_S_MAX),
        ("-5", 0),
        ("soon", None),
        ("9" * 5000, None),
        ("Tue, 99 Nov 99999 22:14:20 GMT", None),
        ("Tue, 14 Nov 99999999999999999999 22:14:20 GMT", None),
    ],
)
def test_the_wait_that_a_receiver_asks_for_is_honoured_within_bounds(receiver: Receiver, retry_after: str, wait_s):
    receiver.behave = lambda handler: handler.answer(429, Retry_After=retry_after)
    assert _refused(receiver.webhook()).retry_after_s == wait_s


def test_an_answer_without_end_is_not_read_to_its_end(receiver: Receiver):
    def endless(handler: Handler) -> None:
        handler.send_response(500)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    receiver.behave = lambda handler: _until_broken(endless, handler)
    error = _refused(receiver.webhook())
    assert error.retryable
    assert len(str(error)) < 3000


def _until_broken(act, handler: Handler) -> None:
    try:
        act(handler)
    except OSError:
        handler.close_connection = True


def test_a_receiver_that_dawdles_costs_no_more_than_the_time_limit(receiver: Receiver):
    def drip(handler: Handler) -> None:
        handler.send_response(500)
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    receiver.behave = lambda handler: _until_broken(drip, handler)
    began = time.monotonic()
    assert "no answer within 0.5 s" in str(_refused(receiver.webhook(timeout_s=0.5)))
    assert time.monotonic() - began < 2


def test_a_receiver_that_speaks_no_http_or_is_not_there_is_tried_again(receiver: Receiver):
    receiver.behave = lambda handler: handler.wfile.write(b"SSH-2.0-liar\r\n")
    assert _refused(receiver.webhook()).retryable
    nobody = Webhook("http://127.0.0.1:1/hook/T0KEN", None, lambda: 0)
    error = _refused(nobody)
    assert error.retryable
    assert "T0KEN" not in str(error)


def test_a_receiver_that_repeats_the_secret_address_does_not_get_it_into_the_log(receiver: Receiver):
    receiver.behave = lambda handler: handler.answer(404, b"no route for " + handler.path.encode())
    assert str(_refused(receiver.webhook())) == "HTTP 404 no route for <path>"


def test_closing_cuts_off_what_is_under_way(receiver: Receiver):
    receiver.behave = lambda _handler: time.sleep(3)
    webhook = receiver.webhook()
    threading.Timer(0.3, webhook.close).start()
    began = time.monotonic()
    assert "cut off" in str(_refused(webhook))
    assert time.monotonic() - began < 2
