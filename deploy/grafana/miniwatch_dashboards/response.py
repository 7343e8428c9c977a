"""What is decided, what guards hold, and whether those outside are told."""

from __future__ import annotations

from typing import Final

from miniwatch_dashboards.page import Ask, Page, Panel, Row

RESPONSE: Final = Page(
    "miniwatch-response",
    "Miniwatch: response and guards",
    "What is decided, what guards hold, and whether those outside are told.",
    (
        Row(
            "Decisions",
            (
                Panel(
                    "Made",
                    "Decisions by what they do and in which mode, held ones included.",
                    "short",
                    (
                        Ask(
                            "sum by (type, mode) (increase(miniwatch_decisions_total{<>}[$__rate_interval]))",
                            "{{type}} {{mode}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Held",
                    "Decisions that a guard withheld, by its reason.",
                    "short",
                    (
                        Ask(
                            "sum by (reason) (increase(miniwatch_decisions_held_total{<>}[$__rate_interval])) > 0",
                            "{{reason}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Waiting for people",
                    "Decisions that wait to be approved or rejected.",
                    "short",
                    (Ask("max by (job) (miniwatch_decisions_waiting{<>})", "waiting"),),
                ),
                Panel(
                    "Ended",
                    "Decisions that ran out, and held ones that nobody answered in time.",
                    "short",
                    (
                        Ask("sum(increase(miniwatch_decisions_expired_total{<>}[$__rate_interval]))", "ran out"),
                        Ask(
                            "sum by (outcome) (increase(miniwatch_decisions_unanswered_total{<>}[$__rate_interval]))",
                            "unanswered, {{outcome}}",
                        ),
                    ),
                ),
                Panel(
                    "Acts held",
                    "1 while acts do not begin.",
                    "short",
                    (Ask("miniwatch_acts_held{<>}", "{{instance}}"),),
                ),
                Panel(
                    "Rules moved to shadow",
                    "Rules that a guard moved to shadow.",
                    "short",
                    (
                        Ask(
                            "sum by (instance) (increase(miniwatch_rules_shadowed_total{<>}[$__rate_interval]))",
                            "{{instance}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Delivery",
            (
                Panel(
                    "Tries",
                    "Tries to deliver, by channel and outcome; dead: given up.",
                    "short",
                    (
                        Ask(
                            "sum by (channel, outcome) (increase(miniwatch_deliveries_total{<>}[$__rate_interval]))",
                            "{{channel}} {{outcome}}",
                        ),
                    ),
                ),
                Panel(
                    "Time until taken",
                    "Time from the making of a message until it was taken: of 99 in 100.",
                    "s",
                    (
                        Ask(
                            "histogram_quantile(0.99, sum by (channel, le) (rate(miniwatch_delivery_age_seconds_bucket{<>}[$__rate_interval])))",
                            "{{channel}}",
                        ),
                    ),
                ),
                Panel(
                    "Oldest message",
                    "For how long the oldest message of each channel has waited.",
                    "s",
                    (Ask("max by (channel) (miniwatch_outbox_oldest_seconds{<>})", "{{channel}}"),),
                ),
                Panel(
                    "Messages waiting",
                    "Messages that were not taken yet, those that rest after a failure included.",
                    "short",
                    (Ask("max by (channel) (miniwatch_outbox_waiting{<>})", "{{channel}}"),),
                ),
                Panel(
                    "Time of one try",
                    "Mean time that one try to deliver takes.",
                    "s",
                    (
                        Ask(
                            "sum by (channel) (rate(miniwatch_delivery_seconds_sum{<>}[$__rate_interval])) / sum by (channel) (rate(miniwatch_delivery_seconds_count{<>}[$__rate_interval]))",
                            "{{channel}}",
                        ),
                    ),
                ),
                Panel(
                    "Topics in trouble",
                    "1 while a Kafka topic cannot be written.",
                    "short",
                    (Ask("max by (channel) (miniwatch_topic_trouble{<>})", "{{channel}}"),),
                ),
            ),
        ),
        Row(
            "Access",
            (
                Panel(
                    "Requests refused",
                    "HTTP requests refused, by why.",
                    "reqps",
                    (Ask("sum by (reason) (rate(miniwatch_http_refused_total{<>}[$__rate_interval]))", "{{reason}}"),),
                    stacked=True,
                ),
                Panel(
                    "Anchors of the audit",
                    "Heads of the audit that were kept elsewhere, or could not be.",
                    "short",
                    (
                        Ask(
                            "sum by (outcome) (increase(miniwatch_audit_anchors_total{<>}[$__rate_interval]))",
                            "{{outcome}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
