"""Real clients ship into a real daemon; they are killed, and so is it: nothing acknowledged is lost, and nothing is there twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from served import Served, Shipper

COUNT = 400


@pytest.mark.drawn(2)
@pytest.mark.parametrize(
    ("client", "begins_anew"), [("elasticsearch", True), ("helpers_bulk", False), ("opentelemetry", False)]
)
def test_whoever_is_killed_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    tmp_path: Path, client: str, begins_anew: bool
) -> None:
    served = Served(tmp_path)
    shipper = Shipper([client, served.url, served.token, str(COUNT)], tmp_path / "acknowledged")
    shipper.thread.start()
    try:
        killed = served.killed_while(lambda: shipper.is_done, kills=5, seed=len(client))
        shipper.thread.join(120)
        assert shipper.is_done
    finally:
        shipper.stop()
    acknowledged = shipper.acknowledged
    found = served.ended(len(acknowledged))
    numbers = served.counted("number")
    assert {int(number) for number in acknowledged} <= numbers.keys()
    assert set(numbers.values()) == {1}
    assert found.totals["received"] == found.totals["processed"] == numbers.total()
    assert found.totals["duplicate"] == found.imbalance == 0
    assert not begins_anew or len(numbers) == COUNT
    assert killed > 0
    assert shipper.kills > 0
