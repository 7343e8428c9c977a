"""The catalogue: every metric that the daemon exports, by its Prometheus name."""

from __future__ import annotations

from typing import Final

from detectors.finding import Severity
from monitor.decoders import DeadLetterReason
from monitor.telemetry.meter import NAMES_MAX, SECONDS, WAITS, Metric, Values
from playbooks.clocks import ClockKind
from playbooks.decision import Act, Mode, Reason

SEVERITIES: Final = tuple(severity.value for severity in Severity)
KINDS: Final = ("rule", "statistical", "learned", "integrity")
VERDICTS: Final = ("true", "false", "benign-known")
REASONS: Final = tuple(reason.value for reason in Reason)
STAGES: Final = ("read", "decode", "detect", "decide", "archive", "commit")

SOURCES_MAX: Final = 100
"""Sources, or partitions, that have series of their own."""

CHANNELS_MAX: Final = 20
"""Webhooks, enforcers and topics that have."""

WATCHERS_MAX: Final = 30
"""Detectors, and what else looks at events, that have; jobs and features are as many as the program has, and no more."""

JOBS_MAX: Final = 50
FEATURES_MAX: Final = 50

_SOURCE: Final = {"source": SOURCES_MAX}


def _counter(name: str, meaning: str, unit: str, labels: dict[str, Values] | None = None) -> Metric:
    return Metric(name=f"miniwatch_{name}_total", kind="counter", unit=unit, meaning=meaning, labels=labels or {})


def _gauge(name: str, meaning: str, unit: str, labels: dict[str, Values] | None = None) -> Metric:
    return Metric(name=f"miniwatch_{name}", kind="gauge", unit=unit, meaning=meaning, labels=labels or {})


def _timing(name: str, meaning: str, labels: dict[str, Values], buckets: tuple[float, ...] = SECONDS) -> Metric:
    return Metric(
        name=f"miniwatch_{name}_seconds",
        kind="histogram",
        unit="seconds",
        meaning=meaning,
        labels=labels,
        buckets=buckets,
    )


BUILD: Final = _gauge("build_info", "The version that runs; always 1.", "", {"version": 1, "python": 1})
EVENTS_RECEIVED: Final = _counter("events_received", "Lines read and committed.", "events", {**_SOURCE})
EVENTS_PROCESSED: Final = _counter("events_processed", "Lines that became events.", "events", {**_SOURCE})
EVENTS_DEAD: Final = _counter(
    "events_dead_lettered",
    "Lines that could not become events.",
    "events",
    {"reason": tuple(reason.value for reason in DeadLetterReason)},
)
LETTERS_DROPPED: Final = _counter(
    "dead_letters_dropped",
    "Lines whose dead letters went because their source had more than are kept.",
    "lines",
    {**_SOURCE},
)
EVENTS_LATE: Final = _counter("events_late", "Events behind the watermark: no window saw them.", "events", {**_SOURCE})
EVENTS_DUPLICATE: Final = _counter(
    "events_duplicate", "Events seen before: no detector saw them.", "events", {**_SOURCE}
)
EVENTS_REFUSED: Final = _counter(
    "events_own_refusals", "Events that are our own gateway's refusals: no detector saw them.", "events", {**_SOURCE}
)
EVENTS_FUTURE: Final = _counter("events_future", "Events whose time was clamped.", "events", {**_SOURCE})
BYTES_RECEIVED: Final = _counter("received_bytes", "Raw bytes read and committed.", "bytes", {**_SOURCE})
TURNS: Final = _counter("turns", "Turns of the pipeline committed.", "turns")
STAGE_SECONDS: Final = _timing("stage", "Time that one turn spent in a stage.", {"stage": STAGES})
WAITED: Final = _counter(
    "pipeline_waiting_seconds",
    "Time in which the pipeline had nothing to do; of the rest it was busy, what it waited for disk and record included.",
    "seconds",
)
SOURCE_LAG: Final = _gauge("source_lag_bytes", "Bytes that are there and not yet read.", "bytes", {**_SOURCE})
WATERMARK: Final = _gauge(
    "watermark_timestamp_seconds", "Event time up to which nothing is awaited.", "seconds since 1970", {**_SOURCE}
)
SOURCE_FAILING: Final = _gauge("source_failing", "1 while a source cannot be read.", "", {**_SOURCE})
EVENT_LATENCY: Final = _timing(
    "event_latency",
    "Time from an event's arrival until the turn with it was committed: its findings, and what was decided about them in this process, stand.",
    {},
    WAITS,
)
INPUT_AGE: Final = _gauge(
    "input_age_seconds",
    "Time since the middle event of the latest turn with events arrived; 0 before the first. Of who answers workers: up to when their middle partition knows what arrived; 0 while another answers.",
    "seconds",
)
KERNEL_FAILURES: Final = _counter(
    "kernel_failures",
    "Batches that the native kernel could not read; Python read them, slower.",
    "batches",
    {**_SOURCE},
)
LINE_FAULTS: Final = _counter(
    "line_faults",
    "Lines that brought out a fault of the program; each is a dead letter.",
    "lines",
    {**_SOURCE},
)
EVENTS_OVERLOOKED: Final = _counter(
    "events_overlooked",
    "Events that a detector, the registry or the memory of duplicates could not look at for a fault of the program.",
    "events",
    {"by": WATCHERS_MAX},
)
RULES_SUSPENDED: Final = _counter("rules_suspended", "Rules left out because they brought out a fault.", "rules", {})
RULES_SHADOWED: Final = _counter("rules_shadowed", "Rules that a guard moved to shadow.", "rules", {})
SOURCE_FAILURES: Final = _counter("source_failures", "Times that a source could not be read.", "failures", {**_SOURCE})
IMBALANCE: Final = _gauge(
    "ledger_imbalance",
    "received - processed - dead-lettered - in flight, of all sources, each without its sign; 0.",
    "events",
)
ALIVE: Final = _gauge("alive", "What /healthz says at this moment: 1 while the pipeline moves.", "")
READY: Final = _gauge(
    "ready", "What /readyz says at this moment: 1 while nothing keeps the daemon from its work and it keeps up.", ""
)
DEGRADED: Final = _gauge("degraded", "1 while something beside the stream does not work, such as the search.", "")
HEARTBEAT_AGE: Final = _gauge("heartbeat_age_seconds", "Time since the pipeline's last sign of life.", "seconds")
LEADS: Final = _gauge("leads", "1 for the process that decides; 0 while another does, and for workers.", "")
ACTS_HELD: Final = _gauge(
    "acts_held", "1 while acts do not begin: paused, rules in shadow, or not well enough ourselves.", ""
)
CLOCK_OFF: Final = _gauge(
    "clock_off_seconds",
    "How far this machine's clock has jumped lately, or is behind what was written by it; else 0.",
    "seconds",
)
FINDINGS: Final = _counter("findings", "Findings made.", "findings", {"severity": SEVERITIES, "kind": KINDS})
FINDINGS_BY_RULE: Final = _counter("rule_findings", "Findings made, by rule.", "findings", {"rule": NAMES_MAX})
FINDINGS_IN_SHADOW: Final = _counter(
    "shadow_findings", "Findings of rules that are being tried, by rule.", "findings", {"rule": NAMES_MAX}
)
FINDINGS_MARKED: Final = _gauge(
    "marked_findings",
    "Findings in the record that people have marked.",
    "findings",
    {"kind": KINDS, "verdict": VERDICTS},
)
PRECISION: Final = _gauge(
    "precision_ratio",
    "The true ones among findings that were marked true or false; absent where none was.",
    "ratio",
    {"kind": KINDS},
)
RULE_JUDGED: Final = _gauge(
    "rule_judged_findings",
    "Findings marked true or false, by rule in force; of the rules of which most are.",
    "findings",
    {"rule": NAMES_MAX},
)
RULE_PRECISION: Final = _gauge(
    "rule_precision_ratio",
    "The true ones among findings of a rule in force that were marked true or false; absent where none was.",
    "ratio",
    {"rule": NAMES_MAX},
)
FINDINGS_WAITING: Final = _gauge(
    "findings_waiting", "Findings of other processes that wait to be answered here.", "findings"
)
FINDINGS_OUT_OF_ORDER: Final = _counter(
    "findings_out_of_order",
    "Findings answered without waiting longer for a stream that may have earlier ones.",
    "findings",
    {},
)
LAG_COMMIT_FAILURES: Final = _counter(
    "lag_commit_failures", "Times that Kafka did not take what it was told of how far we are.", "failures", {}
)
STREAMS: Final = _gauge("streams", "Partitions that this process works on.", "partitions")
INCIDENTS: Final = _counter("incidents_opened", "Incidents opened.", "incidents", {"severity": SEVERITIES})
DECISIONS: Final = _counter(
    "decisions",
    "Decisions made, held ones included.",
    "decisions",
    {"type": tuple(act.value for act in Act), "mode": tuple(mode.value for mode in Mode), "reason": REASONS},
)
HELD: Final = _counter(
    "decisions_held",
    "Decisions withheld by a guard.",
    "decisions",
    {"reason": tuple(reason for reason in REASONS if reason.startswith("held-"))},
)
CONSIDERED: Final = _counter("findings_considered", "What became of findings.", "findings", {"reason": REASONS})
EXPIRED: Final = _counter("decisions_expired", "Decisions that ran out.", "decisions")
DECISIONS_WAITING: Final = _gauge(
    "decisions_waiting", "Decisions that wait for a person (at most the bound of one look).", "decisions"
)
UNANSWERED: Final = _counter(
    "decisions_unanswered",
    "Held decisions that nobody answered in time, and what became of them.",
    "decisions",
    {"outcome": ("lapsed", "began")},
)
STORE_STALLED: Final = _gauge("store_stalled", "1 while the store cannot be written and reading has stopped.", "")
STORE_FAILURES: Final = _counter("store_failures", "Times that the store refused.", "failures")
DELIVERIES: Final = _counter(
    "deliveries",
    "Tries to deliver a message.",
    "tries",
    {"channel": CHANNELS_MAX, "outcome": ("sent", "failed", "dead")},
)
TOPIC_TROUBLE: Final = _gauge(
    "topic_trouble",
    "1 while a topic cannot be written; what is due to it waits in the record.",
    "",
    {"channel": CHANNELS_MAX},
)
DELIVERY_SECONDS: Final = _timing("delivery", "Time that one try to deliver took.", {"channel": CHANNELS_MAX})
DELIVERY_AGE: Final = _timing(
    "delivery_age",
    "Time from the making of a message until it was taken, tries and waiting included; topics are not in it.",
    {"channel": CHANNELS_MAX},
    WAITS,
)
HTTP_REFUSED: Final = _counter(
    "http_refused",
    "HTTP requests refused, by why.",
    "requests",
    {"reason": ("no-token", "bad-token", "revoked", "expired", "role", "locked-out", "rate")},
)
HTTP_BODIES: Final = _counter(
    "http_bodies",
    "Requests that brought events, by what became of them.",
    "requests",
    {"outcome": ("taken", "repeated", "other", "full")},
)
HTTP_LINES: Final = _counter("http_lines", "Lines acknowledged over HTTP.", "lines")
SPOOL_BYTES: Final = _gauge("spool_bytes", "What the spool of HTTP takes on disk.", "bytes")
SPOOL_MAX: Final = _gauge(
    "spool_limit_bytes", "What the spool of HTTP may take on disk; 0 where there is none.", "bytes"
)
HTTP_FAILED: Final = _counter("http_failed", "HTTP requests that brought out a fault of the program.", "requests")
OUTBOX_GIVEN_UP: Final = _gauge(
    "outbox_given_up",
    "Messages that were given up, and that nobody has had sent again or dropped since.",
    "messages",
    {"channel": CHANNELS_MAX},
)
OUTBOX_PENDING: Final = _gauge(
    "outbox_pending", "Messages due and not yet delivered (at most the bound of one look).", "messages"
)
OUTBOX_WAITING: Final = _gauge(
    "outbox_waiting",
    "Messages that were not taken yet, those that rest after a failure included.",
    "messages",
    {"channel": CHANNELS_MAX},
)
OUTBOX_OLDEST: Final = _gauge(
    "outbox_oldest_seconds",
    "For how long the oldest message that was not taken yet has waited; 0 where none waits.",
    "seconds",
    {"channel": CHANNELS_MAX},
)
SNAPSHOTS: Final = _counter("snapshots", "Snapshots saved.", "snapshots")
SNAPSHOT_BYTES: Final = _gauge("snapshot_bytes", "Size of the latest snapshot.", "bytes")
SNAPSHOT_TIME: Final = _gauge(
    "snapshot_timestamp_seconds",
    "When the latest snapshot of this process was saved; 0 before its first.",
    "seconds since 1970",
)
DISK_FREE: Final = _gauge("disk_free_bytes", "Room left for the daemon on the disk of its data folder.", "bytes")
DISK_SIZE: Final = _gauge("disk_size_bytes", "Size of the disk of the data folder.", "bytes")
ARCHIVE_BYTES: Final = _gauge("archive_bytes", "Size of all files of the archive.", "bytes")
ARCHIVE_EVENTS: Final = _gauge("archive_events", "Events in the archive.", "events")
RECORD_BYTES: Final = _gauge("record_bytes", "Size of the record on disk; 0 where PostgreSQL has it.", "bytes")
RECOVERY_SECONDS: Final = _gauge("recovery_seconds", "Time that the latest recovery took.", "seconds")
RULES: Final = _gauge("rules", "Rules by whether they are active.", "rules", {"state": ("active", "refused")})
RELOADS: Final = _counter(
    "rule_reloads", "Changes of rules while running, by what came of them.", "reloads", {"outcome": ("taken", "failed")}
)
PACK_CHANGES: Final = _counter(
    "pack_changes",
    "Changes of rule packs, by what came of them; returned: taken back by itself.",
    "changes",
    {"outcome": ("done", "refused", "returned")},
)
MODEL_CHANGES: Final = _counter(
    "model_changes",
    "Changes of models, by what came of them; refused: also one that could not be used at the start; returned: taken back by itself.",
    "changes",
    {"outcome": ("done", "refused", "returned")},
)
MODEL_DRIFT: Final = _gauge(
    "model_drift_index",
    "How far a feature has moved since the model in force was trained, as the last whole day shows: the population stability "
    "index; above 0.25 a new model is due.",
    "",
    {"feature": FEATURES_MAX},
)
TRAININGS: Final = _counter(
    "model_trainings",
    "Models trained by the clock, by what came of it.",
    "trainings",
    {"outcome": ("done", "failed")},
)
CLOCK_KINDS: Final = tuple(kind.value for kind in ClockKind)
CLOCKS: Final = _gauge(
    "incident_clocks",
    "Clocks of incidents that nobody has stopped: running, or overdue.",
    "clocks",
    {"clock": CLOCK_KINDS, "severity": SEVERITIES, "state": ("running", "overdue")},
)
CLOCKS_SETTLED: Final = _gauge(
    "incident_clocks_settled",
    "Clocks of incidents that ended within the last 24 hours: met (stopped in time) or missed (ran out, stopped since or not).",
    "clocks",
    {"clock": CLOCK_KINDS, "severity": SEVERITIES, "outcome": ("met", "missed")},
)
ANSWER_SHARES: Final = ("50", "90")
ANSWER_SECONDS: Final = _gauge(
    "incident_answer_seconds",
    "Within how long this share, in percent, of the clocks were stopped that people stopped within the last 24 hours.",
    "seconds",
    {"clock": CLOCK_KINDS, "severity": SEVERITIES, "share": ANSWER_SHARES},
)
CLOCK_WARNINGS: Final = _counter(
    "incident_clock_warnings",
    "Warnings that part of an incident's time is over, by the share in percent.",
    "warnings",
    {"clock": CLOCK_KINDS, "share": ("50", "75", "90")},
)
CLOCK_BREACHES: Final = _counter(
    "incident_clock_breaches",
    "Clocks of incidents that ran out.",
    "clocks",
    {"clock": CLOCK_KINDS, "severity": SEVERITIES},
)
ALERTS_RESENT: Final = _counter(
    "alerts_resent",
    "Posts to members of Alertmanager by which alerts that are not over were sent again.",
    "posts",
    {"channel": CHANNELS_MAX, "outcome": ("sent", "failed")},
)
ALERTS_STANDING: Final = _gauge(
    "alerts_standing", "Alerts that are kept up at Alertmanager.", "alerts", {"channel": CHANNELS_MAX}
)
ALERTS_LEFT_OUT: Final = _gauge(
    "alerts_left_out",
    "Alerts that stand and are not kept up at Alertmanager, since more severe or newer ones are as many as are kept up.",
    "alerts",
    {"channel": CHANNELS_MAX},
)
CACHE_REFUSALS: Final = _counter(
    "cache_refusals", "Files of the rule cache that could not be used or written.", "files"
)
APPS: Final = _gauge("registry_apps", "Apps in the registry.", "apps")
FORGOTTEN: Final = _counter(
    "forgotten", "Things given up because a detector's bound was met.", "things", {"detector": WATCHERS_MAX}
)
HELD_BACK: Final = _counter(
    "findings_held_back",
    "Findings that were not told: more in an hour than a detector may tell, or of too many apps at once.",
    "findings",
    {"detector": WATCHERS_MAX},
)
RETENTION_ROWS: Final = _counter("retention_removed", "Rows removed because their time was over.", "rows")
JOBS_RUN: Final = _counter(
    "jobs", "Runs of scheduled jobs.", "runs", {"task": JOBS_MAX, "outcome": ("done", "failed", "missed")}
)
JOB_FAILING: Final = _gauge(
    "job_failing",
    "1 while the latest run of a scheduled job is one that failed, or was missed.",
    "",
    {"task": JOBS_MAX},
)
ANCHORS: Final = _counter(
    "audit_anchors", "Anchors of the audit, by what came of them.", "anchors", {"outcome": ("made", "failed")}
)
_WHAT: Final = {"what": ("events", "findings")}
SEARCH_DOCUMENTS: Final = _counter("search_documents", "Documents written to the search.", "documents", {**_WHAT})
SEARCH_PLAIN: Final = _counter(
    "search_plain", "Events written by the archive's columns alone: their lines clash with the mapping.", "documents"
)
SEARCH_DOUBLES: Final = _counter("search_doubles", "Second copies deleted after a roll over.", "documents")
SEARCH_SET_ASIDE: Final = _counter(
    "search_set_aside", "Documents that the search refuses for good.", "documents", {**_WHAT}
)
SEARCH_SECONDS: Final = _timing("search_write", "Time that one step of writing took.", {**_WHAT})
SEARCH_FAILURES: Final = _counter(
    "search_failures",
    "Times that the search could not be written, by why.",
    "failures",
    {"kind": ("unreachable", "busy", "full", "refused", "failing", "nonsense", "foreign", "store")},
)
SEARCH_UP: Final = _gauge(
    "search_up", "1 while the search takes what it is given; 0 before, and where there is none.", ""
)
SEARCH_LAG: Final = _gauge(
    "search_lag_documents",
    "What is kept, is this process's to bring to the search, and is not there yet.",
    "documents",
    {**_WHAT},
)
SEARCH_LAG_SECONDS: Final = _gauge(
    "search_lag_seconds", "For how long there has been something that is not searchable.", "seconds", {**_WHAT}
)
SEARCH_UNATTENDED: Final = _gauge(
    "search_unattended", "Events in archive folders that no process brings to the search.", "events"
)
LIBRARY_WARNINGS: Final = _counter("library_warnings", "Warnings of libraries.", "warnings")
LINES_SUPPRESSED: Final = _counter(
    "log_lines_suppressed", "Log lines left out by the limit.", "lines", {"happening": NAMES_MAX}
)
LINES_LOST: Final = _counter("log_lines_lost", "Log lines that could not be written.", "lines")

OF_WHO_LEADS: Final = (FINDINGS_WAITING, TOPIC_TROUBLE, OUTBOX_PENDING, ALERTS_STANDING, ALERTS_LEFT_OUT)
"""Gauges that only the process moves that decides: of one that does not any more, they would say for ever how it was."""

CATALOGUE: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))


def metrics_table() -> str:
    """The catalogue as a Markdown table, for the documentation."""
    rows = ["| metric | type | labels | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for metric in sorted(CATALOGUE, key=lambda metric: metric.name):
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.meaning} |")
    return "\n".join(rows) + "\n"
