"""What workers and who answers them tell of themselves: each what it knows, and what is found once."""

import pytest
from partition_site import Site, local_lineup, log_of, told_lines
from test_answers import Answers

from monitor.partitions.pipeline import LogSilent

FIRST, SECOND = "kafka:calls/0", "kafka:calls/1"
WATERMARK = "miniwatch_watermark_timestamp_seconds"


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path, log_of(told_lines(11, 5_000), 2), local_lineup())
    yield site
    site.kept.store.close()


def counted(telemetry, name):
    """All series of a counter together."""
    told = [sample for family in telemetry.registry.collect() for sample in family.samples]
    return sum(one.value for one in told if one.name == name)


def test_a_finding_is_counted_by_who_answers_it_and_not_by_the_worker_that_found_it(site):
    site.read_alone()
    answers = Answers(site)
    answers.work()
    found = len(list(site.kept.store.findings()))
    for name in ("miniwatch_findings_total", "miniwatch_rule_findings_total"):
        assert counted(site.telemetry, name) == 0
        assert counted(answers.daemon.telemetry, name) == found > 5
    answers.close()


def test_a_worker_tells_nothing_more_of_how_far_a_partition_is_that_it_gave_up(site):
    worker, group = site.worker("a")
    group.assign(FIRST, SECOND)
    site.read_out(worker)
    reached = site.telemetry.registry.get_sample_value
    assert reached(WATERMARK, {"source": FIRST}) is not None
    group.revoke(FIRST)
    worker.change()
    assert reached(WATERMARK, {"source": FIRST}) is None
    assert reached(WATERMARK, {"source": SECOND}) is not None
    assert set(worker.lags) == {SECOND}


@pytest.mark.parametrize("away", ["revoke", "lose"])
def test_a_partition_that_could_not_be_taken_up_fails_no_longer_once_it_is_anothers(site, away):
    worker, group = site.worker("a")

    def silent(*_):
        raise LogSilent("it gives nothing")

    worker._open = silent
    group.assign(FIRST)
    worker.change()
    assert worker.failing == {FIRST: "it gives nothing"}
    getattr(group, away)(FIRST)
    worker.change()
    assert worker.failing == {}
