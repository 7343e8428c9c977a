import io
import json
import logging
import subprocess
import sys
import time

import msgspec
import pytest
from lacking import lacking

from detectors.finding import Severity
from monitor.notifiers import NotifierError
from monitor.notifiers.alert import NEW, Occasion, Word, alert_body
from monitor.notifiers.apprise import Apprise
from monitor.notifiers.notice import Notice
from monitor.stores import Message
from monitor.testing import stored_incident

try:
    import apprise
except ImportError:
    lacking("Apprise is not installed (the extra `apprise`)", whole_file=True)

INCIDENT = stored_incident("i1", severity=Severity.CRITICAL)
SECRET = "T0KENT0KEN"


def message(word=NEW):
    return Message(key="k1", channel="apprise:chat", body=alert_body(INCIDENT, [], [], word), created=0)


def target(receiver):
    return f"json://127.0.0.1:{receiver.server_port}/{SECRET}"


def refused(carrier):
    with pytest.raises(NotifierError) as caught:
        carrier.send(message())
    return caught.value


def test_an_alert_is_carried_in_words(receiver):
    Apprise(target(receiver)).send(message())
    [told] = receiver.told
    assert (told["title"], told["type"]) == ("Trouble", "failure")
    assert "miniwatch incidents show i1" in told["message"]


def test_what_is_over_is_green_and_names_who_closed_it(receiver):
    Apprise(target(receiver)).send(message(Word(occasion=Occasion.CLOSED, by="ann", said="Their own test")))
    [told] = receiver.told
    assert (told["title"], told["type"]) == ("Closed by ann: Trouble", "success")
    assert "Their own test" in told["message"]


def test_a_notice_is_carried_too(receiver):
    notice = Notice(what="w", key="p", severity=Severity.MEDIUM, title="Look", text="at this", time=0, look="there")
    Apprise(target(receiver)).send(Message(key="k", channel="apprise:chat", body=notice.body, created=0))
    [told] = receiver.told
    assert (told["title"], told["message"], told["type"]) == ("Look", "at this\nthere", "warning")


def test_what_is_not_taken_is_tried_again_and_the_address_is_in_no_error_and_no_log(receiver):
    receiver.behave = lambda handler: handler.answer(500)
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger().addHandler(handler)
    logging.getLogger("apprise").addHandler(handler)
    try:
        error = refused(Apprise(target(receiver)))
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger("apprise").removeHandler(handler)
    assert error.retryable
    assert SECRET not in str(error) + log.getvalue()


def test_an_address_that_apprise_does_not_know_waits_to_be_mended_and_is_not_repeated():
    error = refused(Apprise(f"nothing-of-the-kind://{SECRET}"))
    assert error.retryable
    assert SECRET not in str(error)


def test_a_receiver_that_dawdles_costs_no_more_than_the_time_limit(receiver):
    receiver.behave = lambda _handler: time.sleep(2)
    error = refused(Apprise(target(receiver), timeout_s=0.3))
    assert (str(error), error.retryable) == ("no answer within 0.3 s", True)


def _sent_until_taken(carrier, *messages):
    """Try messages in turn, as the outbox does, until all are taken; how many tries that took."""
    waiting, tries = list(messages), 0
    while waiting and tries < 50:
        tries += 1
        try:
            carrier.send(waiting[0])
            waiting.pop(0)
        except NotifierError:
            waiting.append(waiting.pop(0))
    return tries


@pytest.mark.parametrize("takes_s", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("many", [1, 3])
def test_a_slow_receiver_gets_no_message_twice(receiver, takes_s, many):
    receiver.behave = lambda handler: (time.sleep(takes_s), handler.answer(200))
    carrier = Apprise(target(receiver), timeout_s=0.2)
    tries = _sent_until_taken(carrier, *(msgspec.structs.replace(message(), key=f"k{each}") for each in range(many)))
    assert (len(receiver.came), tries < 50) == (many, True)


def test_what_a_slow_receiver_refuses_in_the_end_is_sent_again(receiver):
    answers = iter([500, 200])
    receiver.behave = lambda handler: (time.sleep(0.4), handler.answer(next(answers)))
    assert _sent_until_taken(Apprise(target(receiver), timeout_s=0.1), message()) > 2
    assert len(receiver.came) == 2


def test_nothing_queues_up_behind_one_that_hangs(receiver):
    receiver.behave = lambda _handler: time.sleep(1)
    carrier = Apprise(target(receiver), timeout_s=0.1)
    for each in range(4):
        with pytest.raises(NotifierError):
            carrier.send(msgspec.structs.replace(message(), key=f"k{each}"))
    time.sleep(1.2)
    assert len(receiver.came) == 1


@pytest.mark.parametrize(
    "address", ["wecombot://BOTKEY0123456789", "slack://TokenA/TokenB/TokenC", "mailtos://u:p@example.com"]
)
def test_apprise_has_a_carrier_for_what_we_name(address):
    assert apprise.Apprise().add(
        address.replace("TokenA", "T1JJ3T3L2")
        .replace("TokenB", "A1BRTD4JD")
        .replace("TokenC", "TIiajkdnlazkcOXrIdevi7FQ")
    )


def test_apprise_is_loaded_with_the_first_message_only():
    code = "import json, sys, monitor.app; print(json.dumps('apprise' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
