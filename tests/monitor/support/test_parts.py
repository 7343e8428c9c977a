"""The parts of a report: numbers and words of the program, whatever is planted in what they are made of."""

import io
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted import PLANTED, is_in

from monitor.config import load_config
from monitor.stores import Message, Progress, Turn
from monitor.support import lines, parts
from monitor.support.lines import LINES_MAX, last_lines, lines_told
from monitor.support.packing import PART_BYTES_MAX, bounded
from monitor.support.veil import Veil, own_words
from monitor.telemetry.metrics import CATALOGUE
from monitor.telemetry.page import MetricsPage
from monitor.testing import scratch_store, stored_decision, stored_finding

WORDS = own_words()
KNOWN = lines.known_fields()


@given(st.sampled_from(sorted(KNOWN)), PLANTED, PLANTED, PLANTED)
def test_no_line_of_the_log_tells_what_was_planted_in_it(event, one, other, third):
    fields = {name: [one, {other: third}, [third]][place % 3] for place, name in enumerate(sorted(KNOWN[event]))}
    planted = [
        json.dumps({"timestamp": one, "level": other, "event": event, **fields, third: third}),
        json.dumps({"event": one, other: third}),
        json.dumps([one, other]),
        f'  File "{one}", line 3, in {other}',
        f"2026-03-02T08:00:00Z [warning  ] source_failed error={one} {other}",
        third,
    ]
    told = lines_told(planted, Veil(WORDS))
    assert len(told.splitlines()) == len(planted)
    for each in (one, other, third):
        assert not is_in(each, told)


def test_what_happened_is_told_with_its_numbers():
    line = {
        "timestamp": "2026-03-02T08:00:00.5Z",
        "level": "warning",
        "event": "future_events",
        "source": "file:/a",
        "events": 50,
    }
    told = json.loads(lines_told([json.dumps(line)], Veil(WORDS)))
    assert told == {**line, "source": "file:<source 1>"}


def test_of_a_log_the_end_is_read(monkeypatch):
    monkeypatch.setattr(lines, "BYTES_READ_MAX", 40)
    assert last_lines(io.BytesIO(b"first line that is long\nsecond one\n\nthird one\nlast\n")) == [
        "second one",
        "third one",
        "last",
    ]
    many = io.BytesIO(b"x\n" * (LINES_MAX + 5))
    monkeypatch.setattr(lines, "BYTES_READ_MAX", 1 << 20)
    assert len(last_lines(many)) == LINES_MAX


@given(st.data())
@settings(max_examples=30)
def test_no_label_of_a_metric_tells_what_was_planted_in_it(data):
    planted, page = [], []
    for metric in CATALOGUE:
        labels = {label: data.draw(PLANTED) for label in metric.labels}
        planted += labels.values()
        told = ",".join(f'{label}="{said}"' for label, said in labels.items())
        page.append(f"{metric.name}{{{told}}} 1.0" if told else f"{metric.name} 1.0")
    foreign = data.draw(PLANTED)
    page += [f'zebulonsky_total{{a="{foreign}"}} 1.0', "process_open_fds 7.0"]
    told = parts.metrics_told(MetricsPage("\n".join(page) + "\n"), Veil(WORDS))
    assert "process_open_fds 7.0" in told
    assert all(metric.name in told for metric in CATALOGUE)
    assert "zebulonsky" not in told
    for each in (*planted, foreign):
        assert not is_in(each, told)


@given(PLANTED, PLANTED, PLANTED)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_no_count_of_the_record_tells_whose_it_is(tmp_path_factory, one, other, third):
    store = scratch_store(tmp_path_factory.mktemp("record"))
    reached = Progress(partition=f"file:{one}", end=9, received=3, processed=3)
    message = Message(key=one, channel=f"webhook:{other}", body=third.encode(), created=1)
    finding = stored_finding(one, 100, rule=other, title=third)
    decision = stored_decision(third, 100, rule=one)
    store.commit(Turn(number=1, progress=[reached], messages=[message], findings=[finding], decisions=[decision]))
    told = json.dumps(parts.record(store, Veil(WORDS)), ensure_ascii=False)
    store.close()
    assert '"findings": 1' in told
    assert "file:<source 1>" in told
    for each in (one, other, third):
        assert not is_in(each, told)


def test_of_settings_numbers_switches_and_own_words_are_told(tmp_path):
    file = tmp_path / "zebulonsky.toml"
    file.write_text(
        'mode = "shadow"\n[batch]\nrows_max = 777\n[[sources]]\nuri = "file:/srv/zebulonsky/a?follow&format=combined"\n'
        '[kafka]\ntls = true\nsasl_mechanism = "PLAIN"\nsasl_user = "zebulonsky"\n[elasticsearch]\nurls = ["https://zebulonsky.example:9200"]\n'
        '[store]\nurl = "postgresql://zebulonsky@zebulonsky/x"\n[[webhooks]]\nname = "zebulonsky"\nurl = "https://zebulonsky.example/t0ken"\n'
        'min_severity = "high"\n'
    )
    config = load_config(file, {"MINIWATCH_PEOPLE__KEY": "ab" * 16})
    told = {one.key: (one.value, one.origin) for one in config.outline()}
    assert told["mode"] == ('"shadow"', "file, line 1")
    assert told["batch.rows_max"] == ("777", "file, line 3")
    assert told["sources[0].uri"] == ("file:<text>?follow&format=combined", "file, line 5")
    assert told["kafka.sasl_mechanism"] == ('"PLAIN"', "file, line 8")
    assert told["kafka.sasl_user"][0] == told["webhooks[0].name"][0] == "<text>"
    assert told["store.url"][0] == "postgresql:<text>"
    assert told["elasticsearch.urls"][0] == "<a list of 1>"
    assert told["webhooks[0].min_severity"][0] == '"high"'
    assert told["people.key"] == ("<secret>", "environment")
    assert told["clock.lateness_s_max"] == ("2.0", "default")
    assert "zebulonsky" not in json.dumps(told)
    assert len(told) == len(config.describe())


def test_a_part_is_no_larger_than_it_may_be_and_says_so():
    content = bounded(b"x" * (PART_BYTES_MAX + 1))
    assert len(content) == PART_BYTES_MAX
    assert content.endswith(b"the rest is left out: this part is too large\n")
    assert bounded(b"x") == b"x"
