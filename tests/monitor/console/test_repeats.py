"""Who got no answer may send again, and it is there once; who says the same twice is heard twice."""

import socket
import threading
import time
from concurrent.futures import Future

import pytest

from monitor.console import repeats
from monitor.spool.given import Outcome, Taken
from monitor.tokens import Role

PATH = "/v1/events"
BODY = b'{"a":1}\n'


@pytest.fixture
def door(make_door):
    return make_door(PATH)


class Held:
    """Stands for a disk that takes its time."""

    def __init__(self):
        self.waiting = []

    def take(self, given):
        self.waiting.append((given, promised := Future()))
        return promised

    def wait(self, number):
        until = time.monotonic() + 10
        while len(self.waiting) < number and time.monotonic() < until:
            time.sleep(0.005)
        assert len(self.waiting) == number

    def answer(self, place):
        self.waiting[place][1].set_result(Taken(Outcome.TAKEN))


def sent(site, token, body=BODY):
    connection = socket.create_connection(("127.0.0.1", site.front.server.port), timeout=10)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def posted(site, token, answers, body=BODY):
    def work():
        answers.append(site.get(PATH, token, method="POST", content=body, timeout=10).json())

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_the_same_lines_twice_are_twice_the_lines(door):
    for _ in range(3):
        assert door.post(BODY).json() == {"taken": 1}
    assert door.kept == BODY * 3


def test_who_went_before_the_answer_and_comes_again_is_answered_once(make_site):
    held = Held()
    site = make_site(take=held.take)
    token = site.token(Role.INGEST)
    gone = sent(site, token)
    held.wait(1)
    gone.close()
    time.sleep(0.1)
    held.answer(0)
    time.sleep(0.1)
    answers = []
    posted(site, token, answers).join()
    assert answers == [{"taken": 1}]
    assert len(held.waiting) == 1
    third = posted(site, token, answers)
    held.wait(2)
    held.answer(1)
    third.join()


def test_who_went_and_comes_again_while_the_disk_works_is_answered_with_it(make_site):
    held = Held()
    site = make_site(take=held.take)
    token = site.token(Role.INGEST)
    gone = sent(site, token)
    held.wait(1)
    gone.close()
    time.sleep(0.1)
    answers = []
    second = posted(site, token, answers)
    time.sleep(0.2)
    assert len(held.waiting) == 1
    held.answer(0)
    second.join()
    assert answers == [{"taken": 1}]
    third = posted(site, token, answers)
    held.wait(2)
    held.answer(1)
    third.join()


def test_two_clients_that_say_the_same_at_once_are_both_heard(make_site):
    held = Held()
    site = make_site(take=held.take)
    token = site.token(Role.INGEST)
    answers = []
    threads = [posted(site, token, answers) for _ in range(2)]
    held.wait(2)
    held.answer(0)
    held.answer(1)
    for thread in threads:
        thread.join()
    assert answers == [{"taken": 1}] * 2


def test_after_a_kill_what_may_not_have_been_answered_is_taken_once(make_door, door):
    door.post(BODY)
    again = make_door(PATH)
    again.token = door.token
    again.site.store.add_token(door.site.store.tokens()[0], "")
    again.site.front.guard._known._read()
    assert again.post(BODY).json() == {"taken": 1}
    assert again.kept == BODY
    assert again.post(BODY).json() == {"taken": 1}
    assert again.kept == BODY * 2


def test_what_was_lost_is_remembered_within_bounds_and_for_ten_minutes(make_site, monkeypatch):
    monkeypatch.setattr(repeats, "LOST_MAX", 2)
    held = Held()
    site = make_site(take=held.take)
    token = site.token(Role.INGEST)
    for number in range(3):
        gone = sent(site, token, b"%d\n" % number)
        held.wait(number + 1)
        gone.close()
        time.sleep(0.05)
        held.answer(number)
        time.sleep(0.05)
    answers = []
    posted(site, token, answers, b"1\n").join()
    assert len(held.waiting) == 3
    site.now += repeats.LOST_US
    threads = [posted(site, token, answers, b"%d\n" % number) for number in (0, 2)]
    held.wait(5)
    held.answer(3)
    held.answer(4)
    for thread in threads:
        thread.join()
