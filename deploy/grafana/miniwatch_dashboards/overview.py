"""Is all well, and if not, where to look."""

from __future__ import annotations

from typing import Final

from miniwatch_dashboards.page import Ask, Page, Panel, Row

OVERVIEW: Final = Page(
    "miniwatch-overview",
    "Miniwatch: overview",
    "Is all well, and if not, where to look.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Up",
                    "Processes that answer.",
                    "short",
                    (Ask("sum(up{<>})", "up"),),
                    "figure",
                    4,
                    bad_from=1,
                    bad_below=True,
                ),
                Panel(
                    "Ready",
                    "1 where nothing keeps a process from its work; the least of all. /readyz says why not.",
                    "short",
                    (Ask("min(miniwatch_ready{<>})", "ready"),),
                    "figure",
                    4,
                    bad_from=1,
                    bad_below=True,
                ),
                Panel(
                    "Ledger off by",
                    "Events that are not accounted for; anything but 0 is a mistake of ours.",
                    "short",
                    (Ask("max(miniwatch_ledger_imbalance{<>})", "events"),),
                    "figure",
                    4,
                    bad_from=1,
                ),
                Panel(
                    "Acts held",
                    "1 while what is decided does not begin: paused, in shadow, or we are not well enough.",
                    "short",
                    (Ask("max(miniwatch_acts_held{<>})", "held"),),
                    "figure",
                    4,
                    bad_from=1,
                ),
                Panel(
                    "Decisions waiting",
                    "Decisions that wait for a person.",
                    "short",
                    (Ask("max(miniwatch_decisions_waiting{<>})", "waiting"),),
                    "figure",
                    4,
                    bad_from=20,
                ),
                Panel(
                    "Oldest message",
                    "For how long the oldest message has not been taken by its receiver.",
                    "s",
                    (Ask("max(miniwatch_outbox_oldest_seconds{<>})", "oldest"),),
                    "figure",
                    4,
                    bad_from=600,
                ),
            ),
        ),
        Row(
            "What goes on",
            (
                Panel(
                    "Events",
                    "Lines read and committed, by source.",
                    "ops",
                    (
                        Ask(
                            "sum by (source) (rate(miniwatch_events_received_total{<>}[$__rate_interval]))",
                            "{{source}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Latency of events",
                    "Time from an event's arrival until it is committed: of half, of 99 in 100.",
                    "s",
                    (
                        Ask(
                            "histogram_quantile(0.5, sum by (le) (rate(miniwatch_event_latency_seconds_bucket{<>}[$__rate_interval])))",
                            "half",
                        ),
                        Ask(
                            "histogram_quantile(0.99, sum by (le) (rate(miniwatch_event_latency_seconds_bucket{<>}[$__rate_interval])))",
                            "99 in 100",
                        ),
                    ),
                ),
                Panel(
                    "Findings",
                    "Findings by severity.",
                    "short",
                    (
                        Ask(
                            "sum by (severity) (increase(miniwatch_findings_total{<>}[$__rate_interval]))",
                            "{{severity}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Decisions",
                    "Decisions by what they do.",
                    "short",
                    (Ask("sum by (type) (increase(miniwatch_decisions_total{<>}[$__rate_interval]))", "{{type}}"),),
                    stacked=True,
                ),
                Panel(
                    "Incidents",
                    "Incidents opened, by severity.",
                    "short",
                    (
                        Ask(
                            "sum by (severity) (increase(miniwatch_incidents_opened_total{<>}[$__rate_interval]))",
                            "{{severity}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Dead letters",
                    "Lines that could not become events, by reason.",
                    "ops",
                    (
                        Ask(
                            "sum by (reason) (rate(miniwatch_events_dead_lettered_total{<>}[$__rate_interval]))",
                            "{{reason}}",
                        ),
                    ),
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Objectives: share of the budget's kind of error, over an hour",
            (
                Panel(
                    "Slow events",
                    "Events that took more than 2.5 s; the objective is 1 % at most.",
                    "percentunit",
                    (Ask('job:miniwatch_slo_latency_errors:ratio_rate1h{job="$job"}', "slow"),),
                    width=8,
                ),
                Panel(
                    "Lines not watched",
                    "Lines that could not become events, or that something could not look at; the objective is 0.1 % at most.",
                    "percentunit",
                    (Ask('job:miniwatch_slo_loss_errors:ratio_rate1h{job="$job"}', "not watched"),),
                    width=8,
                ),
                Panel(
                    "Late alerts",
                    "Alerts to people that took more than a minute, or were given up; the objective is 1 % at most.",
                    "percentunit",
                    (Ask('job:miniwatch_slo_delivery_errors:ratio_rate1h{job="$job"}', "late"),),
                    width=8,
                ),
            ),
        ),
    ),
)
