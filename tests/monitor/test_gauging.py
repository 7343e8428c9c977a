"""How things stand, looked at by the clock."""

import io

from monitor.gauging import Gauging
from monitor.kept import Kept
from monitor.stores import Message, Turn
from monitor.surroundings.condition import Condition
from monitor.telemetry import Telemetry

NOW = 1_772_500_000_000_000


class Looked:
    """What is looked at, in a data folder of its own."""

    def __init__(self, folder):
        self.kept = Kept.open(folder)
        self.telemetry = Telemetry(stream=io.StringIO())
        self.gauging = Gauging(
            kept=self.kept, telemetry=self.telemetry, clock=lambda: NOW, channels=("webhook:a", "webhook:b")
        )

    def value(self, name, **labels):
        return self.telemetry.registry.get_sample_value(f"miniwatch_{name}", labels)


def test_storage_is_told_in_bytes(tmp_path):
    looked = Looked(tmp_path)
    looked.gauging.storage()
    assert 0 < looked.value("disk_free_bytes") <= looked.value("disk_size_bytes")
    assert looked.value("record_bytes") >= (tmp_path / "miniwatch.db").stat().st_size
    assert looked.value("archive_events") == 0


def test_a_message_that_nobody_takes_grows_older_also_while_it_rests_after_a_failure(tmp_path):
    looked = Looked(tmp_path)
    messages = [Message(key=f"k{n}", channel="webhook:a", body=b"{}", created=NOW - n * 10_000_000) for n in (1, 3)]
    looked.kept.store.commit(Turn(number=1, time=NOW, messages=messages))
    looked.kept.store.message_failed("k3", "refused", NOW + 3_600_000_000, dead=False)
    looked.gauging.waiting()
    assert looked.value("outbox_waiting", channel="webhook:a") == 2
    assert looked.value("outbox_oldest_seconds", channel="webhook:a") == 30
    assert looked.value("outbox_waiting", channel="webhook:b") == 0
    for message in messages:
        looked.kept.store.message_sent(message.key, "", NOW)
    looked.gauging.waiting()
    assert looked.value("outbox_oldest_seconds", channel="webhook:a") == 0


def test_what_was_given_up_is_told_until_it_is_sent_again_or_dropped(tmp_path):
    looked = Looked(tmp_path)
    messages = [Message(key=f"k{n}", channel="webhook:a", body=b"{}", created=NOW) for n in (1, 2)]
    looked.kept.store.commit(Turn(number=1, time=NOW, messages=messages))
    for message in messages:
        looked.kept.store.message_failed(message.key, "refused", NOW, dead=True)
    looked.gauging.waiting()
    assert looked.value("outbox_given_up", channel="webhook:a") == 2
    assert looked.value("outbox_given_up", channel="webhook:b") == 0
    looked.kept.store.drop_given_up("webhook:a", "operator:ada", "nobody reads it", NOW)
    looked.gauging.waiting()
    assert looked.value("outbox_given_up", channel="webhook:a") == 0


def test_what_holds_acts_and_how_the_clock_goes_are_told(tmp_path):
    looked = Looked(tmp_path)
    condition = Condition(
        lambda: NOW, clock_off_s=60.0, lines_min=1, last_written=NOW + 90_000_000, running_s=lambda: 0.0
    )
    looked.gauging.condition(condition, ("acts are paused",))
    assert (looked.value("acts_held"), looked.value("clock_off_seconds")) == (1, 90)
    looked.gauging.condition(condition, ())
    assert looked.value("acts_held") == 0
