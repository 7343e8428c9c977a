"""Kafka is told how far we are; that it refuses is counted each time, and told once it has for a while."""

from monitor.sources.kafka.lag import SILENT_S, LagTold, Told


class Now:
    at = 100.0

    def __call__(self):
        return self.at


def test_every_refusal_is_counted_and_only_a_long_silence_is_told_once_with_its_end():
    now = Now()
    lag = LagTold(now)
    lag.heard("a rebalance")
    lag.heard("a rebalance")
    assert lag.look() == Told(failures=2)
    lag.heard(None)
    lag.heard("no right")
    now.at += SILENT_S
    lag.heard("no right to it")
    assert lag.look() == Told(failures=2, error="no right to it")
    lag.heard("no right to it")
    assert lag.look() == Told(failures=1)
    lag.heard(None)
    assert lag.look() == Told(is_over=True)
    assert lag.look() == Told()


def test_what_is_refused_now_and_then_is_not_told():
    now = Now()
    lag = LagTold(now)
    for _ in range(20):
        lag.heard("a rebalance")
        now.at += SILENT_S / 2
        lag.heard(None)
        assert lag.look() == Told(failures=1)
