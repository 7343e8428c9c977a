"""What the daemon says of itself: lines and metrics from one place, both within bounds."""

from __future__ import annotations

import io
import json
import logging

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from monitor.telemetry import Telemetry
from monitor.telemetry.happenings import (
    DeadLettered,
    FindingMade,
    FindingsAnswered,
    LateEvents,
    LinesTaken,
    StoreStalled,
    TurnCommitted,
)
from monitor.telemetry.lines import VALUE_CHARACTERS_MAX, line_writer
from monitor.telemetry.meter import NAMES_MAX
from monitor.telemetry.metrics import CATALOGUE, EVENT_LATENCY, SOURCES_MAX, metrics_table
from monitor.telemetry.oncall import AlertsKeptUp
from monitor.telemetry.standing import HealthLooked, NamesKnown
from monitor.telemetry.upkeep import OutboxLooked, RulesLoaded, StreamLeft, TopicFailed


class Talk:
    """A telemetry whose lines and seconds a test can see and set."""

    def __init__(self, **options):
        self.stream = io.StringIO()
        self.now = 0.0
        self.telemetry = Telemetry(stream=self.stream, monotonic=lambda: self.now, **options)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def value(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(name, labels)


def _look(talk: Talk, **more) -> None:
    """What a scrape begins with."""
    looked = {"leads": True, "stalled": False, "alive": True, "ready": True, "degraded": False}
    looked |= {"heartbeat_age_s": 0.0, "failing": frozenset(), "lag_bytes": {}}
    talk.telemetry.emit(HealthLooked(**{**looked, **more}))


def _taken(talk: Talk, source: str) -> None:
    talk.telemetry.emit(LinesTaken(turn=1, source=source, received=3, processed=3, bytes=9, watermark=5, lag_bytes=9))


def _dead_letter(position: int = 0) -> DeadLettered:
    return DeadLettered(source="stdin:", reason="broken-json", lines=2, position=position)


def test_a_happening_gives_its_line_and_its_metric():
    talk = Talk()
    talk.telemetry.emit(_dead_letter(7))
    [line] = talk.lines()
    assert (line["event"], line["level"], line["position"]) == ("dead_lettered", "warning", 7)
    assert line["timestamp"].endswith("Z")
    assert talk.value("miniwatch_events_dead_lettered_total", reason="broken-json") == 2


def test_a_turn_counts_its_events_and_its_stages():
    talk = Talk()
    talk.telemetry.emit(TurnCommitted(turn=1, stages_s={"decode": 0.2}))
    for source in ("stdin:", "http:"):
        taken = {"received": 3, "processed": 2, "bytes": 10, "watermark": 5_000_000, "lag_bytes": 9}
        talk.telemetry.emit(LinesTaken(turn=1, source=source, **taken))
    assert talk.value("miniwatch_turns_total") == 1
    assert talk.value("miniwatch_stage_seconds_count", stage="decode") == 1
    assert talk.value("miniwatch_events_received_total", source="stdin:") == 3
    assert talk.value("miniwatch_stage_seconds_sum", stage="decode") == 0.2
    assert talk.value("miniwatch_watermark_timestamp_seconds", source="stdin:") == 5
    assert talk.lines() == []  # debug, and neither told nor counted as left out at level info


def test_many_measurements_at_once_come_to_what_single_ones_do():
    talk = Talk()
    counts = [0] * (len(EVENT_LATENCY.buckets) + 1)
    counts[0], counts[4], counts[-1] = 5, 2, 1
    for _ in range(2):
        talk.telemetry.emit(TurnCommitted(turn=1, stages_s={}, latencies=tuple(counts), latency_s=3_002.0))
    name = "miniwatch_event_latency_seconds"
    assert [talk.value(f"{name}_bucket", le=le) for le in ("0.05", "0.5", "1.0", "1800.0", "+Inf")] == [
        10,
        10,
        14,
        14,
        16,
    ]
    assert (talk.value(f"{name}_count"), talk.value(f"{name}_sum")) == (16, 6_004)


def test_what_is_known_by_name_is_counted_from_zero():
    talk = Talk()
    talk.telemetry.emit(NamesKnown(sources=("stdin:",), channels=("webhook:a",)))
    assert talk.value("miniwatch_source_failures_total", source="stdin:") == 0
    assert talk.value("miniwatch_deliveries_total", channel="webhook:a", outcome="dead") == 0
    assert talk.value("miniwatch_delivery_age_seconds_count", channel="webhook:a") == 0
    assert talk.value("miniwatch_source_failing", source="stdin:") is None


def test_what_was_said_and_is_not_any_more_goes_and_what_is_beyond_the_bound_is_not_said():
    talk = Talk()
    for names in (range(SOURCES_MAX * 3), (1, 7)):
        failing = frozenset(f"file:{name}" for name in names if name == 7)
        _look(talk, failing=failing, lag_bytes={f"file:{name}": None for name in names})
    told = [sample for family in talk.telemetry.registry.collect() for sample in family.samples]
    found = {one.labels["source"]: one.value for one in told if one.name == "miniwatch_source_failing"}
    assert found == {"file:1": 0, "file:7": 1}


def test_of_a_partition_that_another_works_on_only_what_was_counted_stays():
    talk, there = Talk(), ("kafka:calls/0", "kafka:calls/1")
    for name in there:
        _taken(talk, name)
    _look(talk, lag_bytes=dict.fromkeys(there, 7))
    talk.telemetry.emit(StreamLeft(stream=there[0], turn=1, reason="it is another's", streams=1))
    _look(talk, lag_bytes=dict.fromkeys(there, 7))  # it had begun to look before
    _look(talk, lag_bytes={there[1]: 8})
    for name, lag in zip(there, (None, 8), strict=True):
        assert talk.value("miniwatch_source_lag_bytes", source=name) == lag
        assert (talk.value("miniwatch_watermark_timestamp_seconds", source=name) is None) == (lag is None)
        assert talk.value("miniwatch_events_received_total", source=name) == 3


def test_a_partition_that_left_makes_room_for_one_that_comes():
    talk, name = Talk(), "miniwatch_watermark_timestamp_seconds"
    for number in range(SOURCES_MAX + 1):
        _taken(talk, f"kafka:calls/{number}")
    assert talk.value(name, source="other") is not None
    talk.telemetry.emit(StreamLeft(stream="kafka:calls/0", turn=1, reason="", streams=SOURCES_MAX))
    assert talk.value(name, source="other") is None
    _taken(talk, f"kafka:calls/{SOURCES_MAX}")
    assert talk.value(name, source=f"kafka:calls/{SOURCES_MAX}") is not None


def test_who_does_not_decide_any_more_says_nothing_of_what_only_who_decides_knows():
    talk = Talk()
    for happening in (
        FindingsAnswered(findings=1, waiting=7, out_of_order=0),
        OutboxLooked(due=3),
        TopicFailed(channel="topic:t", error="e", lasting=False, attempt=1, retry_s=1.0),
        AlertsKeptUp(channel="alertmanager:a:1", alerts=4, posts=1, left_out=2),
        RulesLoaded(rules=5, refused=1),
    ):
        talk.telemetry.emit(happening)
    names = ("findings_waiting", "outbox_pending", "topic_trouble", "alerts_standing", "alerts_left_out")
    told = {f"miniwatch_{name}" for name in names}
    _look(talk)
    before = _values(talk, told)
    assert set(before) == told
    assert 0 not in before.values()
    assert talk.value("miniwatch_rules", state="refused") == 1
    _look(talk, leads=False)
    assert set(_values(talk, told).values()) == {0}  # what has no labels is always there
    assert talk.value("miniwatch_rules", state="refused") is None
    assert talk.value("miniwatch_rules", state="active") == 5
    assert talk.value("miniwatch_leads") == 0


def _values(talk: Talk, names: set[str]) -> dict[str, float]:
    told = [sample for family in talk.telemetry.registry.collect() for sample in family.samples]
    return {one.name: one.value for one in told if one.name in names}


def test_whether_the_store_stalls_is_what_is_so_at_this_moment():
    talk = Talk()
    talk.telemetry.emit(StoreStalled(error="it is away", retry_s=1))
    for stalled in (True, False):
        _look(talk, stalled=stalled)
        assert talk.value("miniwatch_store_stalled") == stalled


def test_lines_beyond_the_limit_are_told_as_a_number_and_never_silent():
    talk = Talk(lines_per_s_max=3)
    for position in range(10):
        talk.telemetry.emit(_dead_letter(position))
    assert len(talk.lines()) == 3
    talk.now = 1.0
    talk.telemetry.tick()
    assert talk.lines()[-1]["lines"] == 7
    assert talk.value("miniwatch_events_dead_lettered_total", reason="broken-json") == 20
    assert talk.value("miniwatch_log_lines_suppressed_total", happening="dead_lettered") == 7


def test_the_last_number_is_told_at_the_end():
    talk = Talk(lines_per_s_max=1)
    talk.telemetry.emit(_dead_letter())
    talk.telemetry.emit(_dead_letter())
    talk.telemetry.close()
    assert (talk.lines()[-1]["event"], talk.lines()[-1]["lines"]) == ("lines_suppressed", 1)


def test_names_beyond_the_bound_and_words_outside_their_set_are_other():
    talk = Talk()
    for number in range(NAMES_MAX + 50):
        talk.telemetry.emit(LateEvents(source=f"file:{number}", events=1))
    said = {"severity": "high", "scope": "AppId", "value": "wx1", "title": "T", "shadow": False}
    made = FindingMade(finding="f", rule="r", kind="divine", **said)
    talk.telemetry.emit(made)
    assert talk.value("miniwatch_events_late_total", source="other") == 50
    assert talk.value("miniwatch_events_late_total", source="file:0") == 1
    assert talk.value("miniwatch_findings_total", severity="high", kind="other") == 1


def test_the_page_of_metrics_parses_and_names_everything_by_prometheus_practice():
    page = generate_latest(Talk().telemetry.registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    for metric in CATALOGUE:
        name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
        assert families[name].type == metric.kind
        assert metric.name.startswith("miniwatch_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert f"| `{metric.name}` | {metric.kind} |" in metrics_table()


def test_metrics_with_known_labels_are_there_from_the_start():
    talk = Talk()
    assert talk.value("miniwatch_ledger_imbalance") == 0
    assert talk.value("miniwatch_events_dead_lettered_total", reason="too-deep") == 0
    assert talk.value("miniwatch_incident_clock_breaches_total", clock="respond", severity="critical") == 0
    assert talk.value("miniwatch_decisions_total", type="ban", mode="live", reason="playbook") is None  # there are many
    assert talk.value("process_cpu_seconds_total") is not None


def test_secrets_are_never_written_whatever_they_hide_in():
    stream = io.StringIO()
    fields = {"webhook_secret": "s1", "headers": {"Authorization": "s2"}, "given": SecretStr("s3"), "message": "m"}
    line_writer("info", "json", stream)("info", "told", fields)
    line = json.loads(stream.getvalue())
    assert [line["webhook_secret"], line["headers"]["Authorization"], line["given"]] == ["<secret>"] * 3
    assert line["message"] == "m"


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_text_can_forge_a_line_or_drive_a_terminal(log_format: str):
    talk = Talk(log_format=log_format)
    talk.telemetry.emit(StoreStalled(error="x\n2026 [info] all is well\x1b[2J\u202e", retry_s=1))
    text = talk.stream.getvalue()
    assert text.count("\n") == 1
    assert not {"\x1b", "\u202e"} & set(text)


def test_a_text_without_end_is_cut():
    talk = Talk()
    talk.telemetry.emit(StoreStalled(error="x" * 10_000, retry_s=1))
    assert len(talk.lines()[0]["error"]) < VALUE_CHARACTERS_MAX + 30


def test_a_log_that_cannot_be_written_is_counted_and_stops_nothing():
    talk = Talk()
    talk.stream.close()
    talk.telemetry.emit(_dead_letter())
    assert talk.value("miniwatch_log_lines_lost_total") == 1


def test_warnings_of_libraries_become_lines_of_ours():
    talk, root = Talk(), logging.getLogger()
    before = (root.handlers[:], root.level)
    try:
        talk.telemetry.adopt_library_lines()
        logging.getLogger("somebody").warning("beware of %s", "this")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    assert talk.lines()[0]["message"] == "beware of this"
