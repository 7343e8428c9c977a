"""For every alert a history in which it must fire, and ones close to it in which it must be silent.

A history is the values of series, a `step` apart, in the notation of `promtool test rules`: `a+bxn` is a, then n more, each b higher; `axn` is a
n+1 times. `job` and `instance` are those of one target where nothing else is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

TARGET: Final = {"job": "miniwatch", "instance": "one:9464"}
JOB: Final = {"job": "miniwatch"}

History = dict[str, str]


@dataclass(frozen=True)
class Case:
    """`labels` are those of the alert beside its severity, at the time `at` of the history. `also` are more histories in which it fires: by another
    part of what it asks for, in a process that has nothing of the rest.
    """

    fires: History
    silent: list[History]
    labels: dict[str, str] = field(default_factory=lambda: TARGET)
    at: str = "40m"
    step: str = "1m"
    also: list[History] = field(default_factory=list)


def _gauge(metric: str, fires: float, *silent: float, of: str = "", at: str = "40m", **labels: str) -> Case:
    """Of a value that stays as it is for four hours."""
    name = f"{metric}{{{of}}}"
    return Case({name: f"{fires}x240"}, [{name: f"{one}x240"} for one in silent], {**TARGET, **labels}, at)


def _rises(metric: str, by: int, silent: int, of: str = "", labels: dict[str, str] = TARGET, at: str = "40m") -> Case:
    """Of a counter that rises by so much half an hour after the beginning: `increase` reckons a little more than there was, or less."""
    name = f"{metric}{{{of}}}"
    return Case({name: f"0x29 {by}x240"}, [{name: f"0x29 {silent}x240"}], labels, at)


def _burns(errors: History, calm: History, *silent: History, at: str = "90m", also: History | None = None) -> Case:
    return Case(errors, [calm, *silent], JOB, at, also=[also] if also else [])


def _latency(slow_of_1000: int) -> History:
    return {
        'miniwatch_event_latency_seconds_bucket{le="2.5"}': f"0+{1000 - slow_of_1000}x600",
        "miniwatch_event_latency_seconds_count{}": "0+1000x600",
    }


def _loss(lost_of_10000: int) -> History:
    return {
        'miniwatch_events_dead_lettered_total{reason="broken-json"}': f"0+{lost_of_10000}x600",
        'miniwatch_events_received_total{source="http:"}': "0+10000x600",
        "miniwatch_turns_total{}": "0+1x600",
    }


def _quiet_latency(slow: int, minute: int) -> History:
    """One event a minute, and at some minute so many more, all of them slow."""
    return {
        'miniwatch_event_latency_seconds_bucket{le="2.5"}': "0+1x600",
        "miniwatch_event_latency_seconds_count{}": f"0+1x{minute} {minute + slow}+1x500",
    }


def _quiet_loss(lost: int, minute: int) -> History:
    """The same of lines that cannot be read."""
    return {
        'miniwatch_events_dead_lettered_total{reason="broken-json"}': f"0x{minute} {lost}x500",
        'miniwatch_events_received_total{source="http:"}': f"0+1x{minute} {minute + lost}+1x500",
        "miniwatch_turns_total{}": "0+1x600",
    }


def _delivery(late_of_1000: int, alerts: int = 1) -> History:
    return {
        'miniwatch_delivery_age_seconds_bucket{channel="webhook:a",le="60.0"}': f"0+{(1000 - late_of_1000) * alerts / 1000}x600",
        'miniwatch_delivery_age_seconds_count{channel="webhook:a"}': f"0+{alerts}x600",
        'miniwatch_deliveries_total{channel="webhook:a",outcome="dead"}': "0x600",
        'miniwatch_delivery_age_seconds_bucket{channel="enforcer:e",le="60.0"}': "0x600",
        'miniwatch_delivery_age_seconds_count{channel="enforcer:e"}': "0+1x600",
    }


def _ended(clock: str, missed: int, met: int, severity: str = "critical") -> History:
    series = f'miniwatch_incident_clocks_settled{{clock="{clock}",severity="{severity}",outcome="%s"}}'
    return {series % "missed": f"{missed}x60", series % "met": f"{met}x60"}


_CLOCKS: Final = 'miniwatch_incident_clocks{{clock="acknowledge",severity="{}",state="{}"}}'
_RESENT: Final = 'miniwatch_alerts_resent_total{{channel="alertmanager:main:1",outcome="{}"}}'
_RUNS: Final = 'miniwatch_jobs_total{{task="retention",outcome="{}"}}'
_FAILING: Final = 'miniwatch_job_failing{task="retention"}'
_STREAMS: Final = 'miniwatch_streams{instance="worker:9465"}'
_WORKER_LEADS: Final = 'miniwatch_leads{instance="worker:9465"}'
_OVERLOOKED: Final = 'miniwatch_events_overlooked_total{by="statistics"}'
_STORED: Final = "miniwatch_disk_free_bytes{}"
_SIZE: Final = {"miniwatch_disk_size_bytes{}": "100x900"}
_ALERT: Final = {"channel": "webhook:a"}
_BLIP: Final = "0+1000x80"

CASES: Final[dict[str, Case]] = {
    # Whether it runs and does its work
    "MiniwatchDown": Case({"up{}": "1x36 0x9"}, [{"up{}": "1x38 0x9"}, {"up{}": "0x38 1x9"}], at="40m"),
    "MiniwatchAbsent": Case({'up{job="others"}': "1x60"}, [{"up{}": "0x60"}], JOB),
    "MiniwatchDead": _gauge("miniwatch_alive", 0, 1),
    "MiniwatchNotReady": Case({"miniwatch_ready{}": "1x33 0x9"}, [{"miniwatch_ready{}": "1x35 0x9"}]),
    "MiniwatchNobodyDecides": Case(
        {_STREAMS: "4x60", _WORKER_LEADS: "0x60", "miniwatch_leads{}": "0x60"},  # who should decide stands by
        [
            {_STREAMS: "4x60", _WORKER_LEADS: "0x60", "miniwatch_leads{}": "1x60"},
            {
                _STREAMS: "4x60",
                _WORKER_LEADS: "0x60",
                "miniwatch_leads{}": "1x36 0x20",
            },  # another is about to take over
            {"miniwatch_streams{}": "0x60", "miniwatch_leads{}": "1x60"},  # one process does all of it
            {"miniwatch_streams{}": "0x60", "miniwatch_leads{}": "0x60"},  # one only shows what is there
        ],
        JOB,
        also=[
            {_STREAMS: "4x60", _WORKER_LEADS: "0x60"},  # nobody is there who could
            {_STREAMS: "4x60", _WORKER_LEADS: "0x60", "miniwatch_leads{}": "1x25 _x35"},  # he who did is gone
            {_STREAMS: "4x60"},
        ],
    ),
    "MiniwatchDegraded": Case({"miniwatch_degraded{}": "0x23 1x20"}, [{"miniwatch_degraded{}": "0x26 1x20"}]),
    "MiniwatchRestarting": Case(
        {"process_start_time_seconds{}": "1x15 2x5 3x5 4x30"}, [{"process_start_time_seconds{}": "1x15 2x5 3x30"}]
    ),
    "MiniwatchVersionsDiffer": Case(
        {
            'miniwatch_build_info{version="1"}': "1x300",
            'miniwatch_build_info{version="2",instance="two:9464"}': "1x300",
        },
        [
            {
                'miniwatch_build_info{version="1"}': "1x300",
                'miniwatch_build_info{version="1",instance="two:9464"}': "1x300",
            }
        ],
        JOB,
        "90m",
    ),
    "MiniwatchFault": Case(
        {_OVERLOOKED: f"{'_ ' * 35}1x20", "miniwatch_http_failed_total{}": "0x60"},
        [
            {
                _OVERLOOKED: "5x60",
                "miniwatch_http_failed_total{}": "3x60",
                'miniwatch_line_faults_total{source="s"}': "2x60",
            }
        ],
        also=[
            {"miniwatch_http_failed_total{}": "0x29 1x30"},
            {'miniwatch_line_faults_total{source="s"}': "0x29 1x30"},
            {'miniwatch_line_faults_total{source="s"}': "0x29 1x30", "miniwatch_http_failed_total{}": "0x60"},
            {_OVERLOOKED: "0x29 1x30", "miniwatch_http_failed_total{}": "0x60"},
        ],
    ),
    "MiniwatchJobsFail": Case(
        {_RUNS.format("done"): "1x1440 1x1440", _RUNS.format("failed"): "0x1440 1x1440", _FAILING: "0x1440 1x1440"},
        [
            {_RUNS.format("failed"): "0x1440 1x1440", _FAILING: "0x1440 1x9 0x1440"},  # the next run succeeded
            {_RUNS.format("failed"): "0x1485 1x1440", _FAILING: "0x1485 1x1440"},  # a moment ago: it may be done again
            {_RUNS.format("failed"): "0x1440 1x9 2x1440", _RUNS.format("done"): "0+30x1500", _FAILING: "0x1500"},
        ],
        {**TARGET, "task": "retention"},
        "1490m",
        also=[{_RUNS.format("failed"): "0x1440 3x1440", _RUNS.format("done"): "0+30x1500", _FAILING: "0x1500"}],
    ),
    "MiniwatchLogLost": _rises("miniwatch_log_lines_lost_total", 1, 0),
    "MiniwatchFilesRunOut": Case(
        {"process_open_fds{}": "81x60", "process_max_fds{}": "100x60"},
        [{"process_open_fds{}": "80x60", "process_max_fds{}": "100x60"}],
    ),
    # What comes in, and how far it gets
    "MiniwatchSourceFails": Case(
        {'miniwatch_source_failing{source="s"}': "0x33 1x9"},
        [{'miniwatch_source_failing{source="s"}': "0x36 1x9"}],
        {**TARGET, "source": "s"},
    ),
    "MiniwatchSourceUnsteady": _rises(
        "miniwatch_source_failures_total", 6, 5, 'source="s"', {**TARGET, "source": "s"}, at="59m"
    ),
    "MiniwatchLags": _gauge("miniwatch_source_lag_bytes", 268435457, 268435456, of='source="s"', source="s"),
    "MiniwatchSlow": Case(
        {
            'miniwatch_event_latency_seconds_bucket{le="10.0"}': "0+98x60",
            'miniwatch_event_latency_seconds_bucket{le="30.0"}': "0+100x60",
            'miniwatch_event_latency_seconds_bucket{le="+Inf"}': "0+100x60",
        },
        [
            {
                'miniwatch_event_latency_seconds_bucket{le="5.0"}': "0+98x60",
                'miniwatch_event_latency_seconds_bucket{le="10.0"}': "0+99x60",
                'miniwatch_event_latency_seconds_bucket{le="+Inf"}': "0+100x60",
            }
        ],
    ),
    "MiniwatchInputSilent": _gauge("miniwatch_input_age_seconds", 901, 900),
    "MiniwatchLedgerOff": _gauge("miniwatch_ledger_imbalance", 1, 0),
    "MiniwatchDeadLetters": Case(
        {
            'miniwatch_events_dead_lettered_total{reason="broken-json"}': "0+11x60",
            'miniwatch_events_received_total{source="s"}': "0+200x60",
        },
        [
            {
                'miniwatch_events_dead_lettered_total{reason="broken-json"}': "0+10x60",
                'miniwatch_events_received_total{source="s"}': "0+200x60",
            },
            {
                'miniwatch_events_dead_lettered_total{reason="broken-json"}': "0+6x60",
                'miniwatch_events_received_total{source="s"}': "0+6x60",
            },
        ],
    ),
    "MiniwatchDeadLettersGone": _rises(
        "miniwatch_dead_letters_dropped_total", 1, 0, 'source="s"', {**TARGET, "source": "s"}
    ),
    "MiniwatchStoreStalled": _gauge("miniwatch_store_stalled", 1, 0),
    "MiniwatchStoreFails": _rises("miniwatch_store_failures_total", 4, 3, at="44m"),
    "MiniwatchSnapshotOld": Case(
        {
            "miniwatch_snapshot_timestamp_seconds{}": "0x10 600x60",
            "process_start_time_seconds{}": "0x60",
            'miniwatch_events_received_total{source="s"}': "0+1x60",
        },
        [
            {  # saved a quarter of an hour ago
                "miniwatch_snapshot_timestamp_seconds{}": "0x10 1500x60",
                "process_start_time_seconds{}": "0x60",
                'miniwatch_events_received_total{source="s"}': "0+1x60",
            },
            {  # nothing comes in
                "miniwatch_snapshot_timestamp_seconds{}": "0x10 600x60",
                "process_start_time_seconds{}": "0x60",
                'miniwatch_events_received_total{source="s"}': "7x60",
            },
            {  # begun a quarter of an hour ago
                "miniwatch_snapshot_timestamp_seconds{}": "0x60",
                "process_start_time_seconds{}": "1500x60",
                'miniwatch_events_received_total{source="s"}': "0+1x60",
            },
        ],
    ),
    "MiniwatchEventsLate": Case(
        {
            'miniwatch_events_late_total{source="s"}': "0+6x60",
            'miniwatch_events_received_total{source="s"}': "0+100x60",
        },
        [
            {
                'miniwatch_events_late_total{source="s"}': "0+5x60",
                'miniwatch_events_received_total{source="s"}': "0+100x60",
            }
        ],
        {**TARGET, "source": "s"},
    ),
    "MiniwatchEventsAhead": Case(
        {
            'miniwatch_events_future_total{source="s"}': "0+2x60",
            'miniwatch_events_received_total{source="s"}': "0+100x60",
        },
        [
            {
                'miniwatch_events_future_total{source="s"}': "0+1x60",
                'miniwatch_events_received_total{source="s"}': "0+100x60",
            }
        ],
        {**TARGET, "source": "s"},
    ),
    "MiniwatchClockOff": _gauge("miniwatch_clock_off_seconds", 61, 60),
    "MiniwatchKernelFails": _rises("miniwatch_kernel_failures_total", 1, 0, 'source="s"', {**TARGET, "source": "s"}),
    "MiniwatchForgets": Case(
        {'miniwatch_forgotten_total{detector="rules"}': "0+1x60"},
        [{'miniwatch_forgotten_total{detector="rules"}': "9x60"}],
        {**TARGET, "detector": "rules"},
    ),
    "MiniwatchFindingsWait": _gauge("miniwatch_findings_waiting", 1001, 1000),
    "MiniwatchFindingsOutOfOrder": _rises("miniwatch_findings_out_of_order_total", 1, 0),
    "MiniwatchLagUntold": _rises("miniwatch_lag_commit_failures_total", 11, 10, at="44m"),
    # Whether rules, packs and models do what they should
    "MiniwatchRulesSuspended": _rises("miniwatch_rules_suspended_total", 1, 0),
    "MiniwatchRulesRefused": _gauge("miniwatch_rules", 1, 0, of='state="refused"', state="refused"),
    "MiniwatchReloadFailed": _rises(
        "miniwatch_rule_reloads_total", 1, 0, 'outcome="failed"', {**TARGET, "outcome": "failed"}
    ),
    "MiniwatchPackTrouble": _rises(
        "miniwatch_pack_changes_total", 1, 0, 'outcome="returned"', {**TARGET, "outcome": "returned"}
    ),
    "MiniwatchModelTrouble": _rises(
        "miniwatch_model_changes_total", 1, 0, 'outcome="refused"', {**TARGET, "outcome": "refused"}
    ),
    "MiniwatchTrainingFails": Case(
        {'miniwatch_model_trainings_total{outcome="failed"}': "0x29 2x100"},
        [{'miniwatch_model_trainings_total{outcome="failed"}': "0x29 1x100"}],
        {**TARGET, "outcome": "failed"},
        "2850m",
        "30m",
    ),
    "MiniwatchModelDrifts": _gauge("miniwatch_model_drift_index", 0.26, 0.25, of='feature="f"', at="90m", feature="f"),
    "MiniwatchFindingsHeldBack": _rises(
        "miniwatch_findings_held_back_total", 101, 100, 'detector="d"', {**TARGET, "detector": "d"}, at="59m"
    ),
    "MiniwatchRuleImprecise": Case(
        {'miniwatch_rule_precision_ratio{rule="r"}': "0.49x60", 'miniwatch_rule_judged_findings{rule="r"}': "20x60"},
        [
            {'miniwatch_rule_precision_ratio{rule="r"}': "0.5x60", 'miniwatch_rule_judged_findings{rule="r"}': "20x60"},
            {'miniwatch_rule_precision_ratio{rule="r"}': "0.1x60", 'miniwatch_rule_judged_findings{rule="r"}': "19x60"},
        ],
        {**TARGET, "rule": "r"},
    ),
    "MiniwatchFindsNothing": Case(
        {
            'miniwatch_findings_total{severity="high",kind="rule"}': "3x160",
            'miniwatch_events_received_total{source="s"}': "0+7000x160",
        },
        [
            {
                'miniwatch_findings_total{severity="high",kind="rule"}': "3x150 4x10",
                'miniwatch_events_received_total{source="s"}': "0+7000x160",
            },
            {
                'miniwatch_findings_total{severity="high",kind="rule"}': "3x160",
                'miniwatch_events_received_total{source="s"}': "0+6900x160",
            },
        ],
        JOB,
        "1560m",
        "10m",
    ),
    # Whether what is decided is done
    "MiniwatchActsHeld": Case({"miniwatch_acts_held{}": "0x8 1x60"}, [{"miniwatch_acts_held{}": "0x11 1x60"}]),
    "MiniwatchGuardTripped": _rises("miniwatch_rules_shadowed_total", 1, 0),
    "MiniwatchManyHeld": _rises(
        "miniwatch_decisions_held_total", 51, 50, 'reason="held-budget"', {**TARGET, "reason": "held-budget"}, at="59m"
    ),
    "MiniwatchDecisionsWait": _gauge("miniwatch_decisions_waiting", 21, 20, at="90m"),
    "MiniwatchDecisionsLapsed": _rises(
        "miniwatch_decisions_unanswered_total", 1, 0, 'outcome="lapsed"', {**TARGET, "outcome": "lapsed"}
    ),
    "MiniwatchAlertsUndelivered": Case(
        {'miniwatch_outbox_oldest_seconds{channel="webhook:a"}': "601x60"},
        [
            {'miniwatch_outbox_oldest_seconds{channel="webhook:a"}': "600x60"},
            {'miniwatch_outbox_oldest_seconds{channel="enforcer:e"}': "601x60"},
        ],
        {**JOB, **_ALERT},
    ),
    "MiniwatchEnforcersUntold": Case(
        {'miniwatch_outbox_oldest_seconds{channel="enforcer:e"}': "601x60"},
        [
            {'miniwatch_outbox_oldest_seconds{channel="enforcer:e"}': "600x60"},
            {'miniwatch_outbox_oldest_seconds{channel="webhook:a"}': "601x60"},
        ],
        {**JOB, "channel": "enforcer:e"},
    ),
    "MiniwatchDeliveriesFail": Case(
        {
            'miniwatch_deliveries_total{channel="webhook:a",outcome="sent"}': "0+9x60",
            'miniwatch_deliveries_total{channel="webhook:a",outcome="failed"}': "0+10x60",
        },
        [
            {
                'miniwatch_deliveries_total{channel="webhook:a",outcome="sent"}': "0+10x60",
                'miniwatch_deliveries_total{channel="webhook:a",outcome="failed"}': "0+10x60",
            },
            {
                'miniwatch_deliveries_total{channel="webhook:a",outcome="sent"}': "0x60",
                'miniwatch_deliveries_total{channel="webhook:a",outcome="failed"}': "0x29 4x30",
            },
        ],
        {**JOB, **_ALERT},
    ),
    "MiniwatchGivenUp": Case(
        {'miniwatch_outbox_given_up{channel="webhook:a"}': "0x38 1x600"},
        [{'miniwatch_outbox_given_up{channel="webhook:a"}': "0x10 3x27 0x600"}],
        {**JOB, **_ALERT},
    ),
    "MiniwatchTopicTrouble": Case(
        {'miniwatch_topic_trouble{channel="topic:t"}': "0x28 1x60"},
        [{'miniwatch_topic_trouble{channel="topic:t"}': "0x31 1x60"}],
        {**JOB, "channel": "topic:t"},
    ),
    "MiniwatchAnchorFails": _rises(
        "miniwatch_audit_anchors_total", 4, 3, 'outcome="failed"', {**TARGET, "outcome": "failed"}, at="59m"
    ),
    "MiniwatchTokensTried": _rises("miniwatch_http_refused_total", 101, 100, 'reason="bad-token"', at="39m"),
    # Whether people on call keep what is owed
    "MiniwatchCriticalOverdue": Case(
        {_CLOCKS.format("critical", "overdue"): "1x60"},
        [
            {_CLOCKS.format("critical", "running"): "1x60"},
            {_CLOCKS.format("high", "overdue"): "1x60"},
        ],
        {**JOB, "clock": "acknowledge", "severity": "critical"},
    ),
    "MiniwatchIncidentsOverdue": Case(
        {_CLOCKS.format("high", "overdue"): "_x29 1x100", _CLOCKS.format("low", "overdue"): "_x29 2x100"},
        [
            {_CLOCKS.format("high", "overdue"): "_x31 1x100"},
            {_CLOCKS.format("critical", "overdue"): "1x120"},
        ],
        {**JOB, "clock": "acknowledge"},
        "90m",
    ),
    "MiniwatchAnswersBurn": Case(
        {**_ended("acknowledge", 8, 42), **_ended("acknowledge", 8, 42, "low")},
        [
            _ended("acknowledge", 15, 85),
            _ended("acknowledge", 1, 3),  # too few to say anything
            _ended("resolve", 100, 0),
            {**_ended("acknowledge", 16, 84), **_ended("acknowledge", 0, 84, "low")},
        ],
        {**JOB, "clock": "acknowledge"},
    ),
    "MiniwatchAlertsNotKeptUp": Case(
        {_RESENT.format("failed"): "0+10x60", _RESENT.format("sent"): "0+1x25 25x40"},
        [
            {_RESENT.format("failed"): "0+10x60", _RESENT.format("sent"): "0+1x60"},
            {_RESENT.format("failed"): "7x60", _RESENT.format("sent"): "7x60"},
        ],
        {**JOB, "channel": "alertmanager:main:1"},
    ),
    "MiniwatchAlertsLeftOut": Case(
        {'miniwatch_alerts_left_out{channel="alertmanager:main:1"}': "0x23 1x60"},
        [
            {'miniwatch_alerts_left_out{channel="alertmanager:main:1"}': "0x26 1x60"},
            {'miniwatch_alerts_left_out{channel="alertmanager:main:1"}': "0x60"},
        ],
        {**JOB, "channel": "alertmanager:main:1"},
    ),
    # Room and search
    "MiniwatchDiskFull": Case({**_SIZE, _STORED: "9.9x60"}, [{**_SIZE, _STORED: "10x60"}]),
    "MiniwatchDiskFills": Case(
        {**_SIZE, _STORED: "49-0.0102x900"},  # in three days 44
        [{**_SIZE, _STORED: "49-0.009x900"}, {**_SIZE, _STORED: "60-0.0138x600"}],
        at="600m",
    ),
    "MiniwatchSpoolFills": Case(
        {"miniwatch_spool_bytes{}": "51x60", "miniwatch_spool_limit_bytes{}": "100x60"},
        [
            {"miniwatch_spool_bytes{}": "50x60", "miniwatch_spool_limit_bytes{}": "100x60"},
            {"miniwatch_spool_bytes{}": "0x60", "miniwatch_spool_limit_bytes{}": "0x60"},
        ],
    ),
    "MiniwatchSpoolFull": Case(
        {'miniwatch_http_bodies_total{outcome="full"}': "0+1x60"},
        [{'miniwatch_http_bodies_total{outcome="full"}': "0x38 1x10"}],
        {**TARGET, "outcome": "full"},
    ),
    "MiniwatchSearchBehind": _gauge("miniwatch_search_lag_seconds", 901, 900, of='what="events"', what="events"),
    "MiniwatchSearchRefuses": _rises(
        "miniwatch_search_set_aside_total", 1, 0, 'what="events"', {**TARGET, "what": "events"}
    ),
    "MiniwatchSearchUnattended": Case(
        {"miniwatch_search_unattended{}": "1x60"}, [{"miniwatch_search_unattended{}": "0x60"}], JOB
    ),
    # Objectives
    "MiniwatchLatencyBurnsFast": _burns(
        _latency(61),
        _latency(59),
        {  # a bad minute in a calm hour
            'miniwatch_event_latency_seconds_bucket{le="2.5"}': f"{_BLIP} 80500 81500+1000x30",
            "miniwatch_event_latency_seconds_count{}": "0+1000x120",
        },
        _quiet_latency(15, 80),
        at="83m",
        also=_quiet_latency(30, 80),
    ),
    "MiniwatchLatencyBurnsSlowly": _burns(
        _latency(11), _latency(9), _quiet_latency(15, 60), also=_quiet_latency(30, 60)
    ),
    "MiniwatchLossBurnsFast": _burns(
        _loss(61),
        _loss(59),
        {
            'miniwatch_events_dead_lettered_total{reason="broken-json"}': "0x80 900x30",
            'miniwatch_events_received_total{source="http:"}': "0+10000x120",
            "miniwatch_turns_total{}": "0+1x120",
        },
        _quiet_loss(1, 80),
        _quiet_loss(15, 80),
        at="83m",
        also=_quiet_loss(30, 80),
    ),
    "MiniwatchLossBurnsSlowly": _burns(_loss(11), _loss(9), _quiet_loss(15, 60), also=_quiet_loss(30, 60)),
    "MiniwatchDeliveryBurnsFast": _burns(
        _delivery(61),
        _delivery(59),
        {
            'miniwatch_delivery_age_seconds_bucket{channel="webhook:a",le="60.0"}': "0x600",
            'miniwatch_delivery_age_seconds_count{channel="webhook:a"}': "0x70 4x200",
            'miniwatch_deliveries_total{channel="webhook:a",outcome="dead"}': "0x600",
        },
        at="73m",
    ),
    "MiniwatchDeliveryBurnsSlowly": _burns(_delivery(11), _delivery(9)),
}
