"""How far the stream is, and where its time goes."""

from __future__ import annotations

from typing import Final

from miniwatch_dashboards.page import Ask, Page, Panel, Row

PIPELINE: Final = Page(
    "miniwatch-pipeline",
    "Miniwatch: pipeline and lag",
    "How far the stream is, and where its time goes.",
    (
        Row(
            "Sources",
            (
                Panel(
                    "Lag",
                    "Bytes that are there and not read yet.",
                    "bytes",
                    (Ask("max by (source) (miniwatch_source_lag_bytes{<>})", "{{source}}"),),
                ),
                Panel(
                    "Bytes read",
                    "Raw bytes read and committed.",
                    "Bps",
                    (
                        Ask(
                            "sum by (source) (rate(miniwatch_received_bytes_total{<>}[$__rate_interval]))", "{{source}}"
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Time behind",
                    "How far event time is behind the clock on the wall; it grows also where nothing comes.",
                    "s",
                    (Ask("time() - max by (source) (miniwatch_watermark_timestamp_seconds{<>})", "{{source}}"),),
                ),
                Panel(
                    "Failing sources",
                    "1 while a source cannot be read.",
                    "short",
                    (Ask("max by (source) (miniwatch_source_failing{<>})", "{{source}}"),),
                ),
                Panel(
                    "Age of the input",
                    "Time since the middle event of the latest turn arrived. Beyond guards.input_late_s_max, acts are held.",
                    "s",
                    (Ask("miniwatch_input_age_seconds{<>}", "{{instance}}"),),
                ),
                Panel(
                    "Requests that brought events",
                    "HTTP requests with events, by what became of them; full: told to come later.",
                    "reqps",
                    (Ask("sum by (outcome) (rate(miniwatch_http_bodies_total{<>}[$__rate_interval]))", "{{outcome}}"),),
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Turns",
            (
                Panel(
                    "Time by stage",
                    "Share of its time that a process spends in each stage; where those of one process are near 1 together, it does nothing else.",
                    "percentunit",
                    (
                        Ask(
                            "sum by (instance, stage) (rate(miniwatch_stage_seconds_sum{<>}[$__rate_interval]))",
                            "{{stage}} {{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Slow turns by stage",
                    "Time that one turn in a hundred spends in each stage.",
                    "s",
                    (
                        Ask(
                            "histogram_quantile(0.99, sum by (stage, le) (rate(miniwatch_stage_seconds_bucket{<>}[$__rate_interval])))",
                            "{{stage}}",
                        ),
                    ),
                ),
                Panel(
                    "Busy",
                    "Share of its time in which a pipeline has something to do, what it waits for disk and record included. At 1 it falls behind.",
                    "percentunit",
                    (
                        Ask(
                            "clamp_min(1 - rate(miniwatch_pipeline_waiting_seconds_total{<>}[$__rate_interval]), 0)",
                            "{{instance}}",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Turns",
                    "Turns of the pipeline committed.",
                    "ops",
                    (Ask("sum by (instance) (rate(miniwatch_turns_total{<>}[$__rate_interval]))", "{{instance}}"),),
                    width=8,
                ),
                Panel(
                    "Heartbeat",
                    "Time since the pipeline's last sign of life.",
                    "s",
                    (Ask("miniwatch_heartbeat_age_seconds{<>}", "{{instance}}"),),
                    width=8,
                ),
                Panel(
                    "Store",
                    "1 while the record cannot be written and reading has stopped; and how often the store refused.",
                    "short",
                    (
                        Ask("max by (instance) (miniwatch_store_stalled{<>})", "stalled {{instance}}"),
                        Ask(
                            "sum by (instance) (increase(miniwatch_store_failures_total{<>}[$__rate_interval]))",
                            "refused {{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Events by label",
                    "Late: no window saw them. Duplicates: no detector did. Future: their time was clamped.",
                    "ops",
                    (
                        Ask("sum(rate(miniwatch_events_late_total{<>}[$__rate_interval]))", "late"),
                        Ask("sum(rate(miniwatch_events_duplicate_total{<>}[$__rate_interval]))", "duplicate"),
                        Ask("sum(rate(miniwatch_events_future_total{<>}[$__rate_interval]))", "future"),
                    ),
                ),
            ),
        ),
        Row(
            "Workers",
            (
                Panel(
                    "Partitions",
                    "Partitions that each process works on.",
                    "short",
                    (Ask("miniwatch_streams{<>}", "{{instance}}"),),
                    width=6,
                ),
                Panel(
                    "Who decides",
                    "1 for the process that decides what is done about findings. One has to, where there are partitions; others stand by.",
                    "short",
                    (Ask("miniwatch_leads{<>}", "{{instance}}"),),
                    width=6,
                ),
                Panel(
                    "Findings waiting",
                    "Findings of other processes that wait to be answered.",
                    "short",
                    (Ask("miniwatch_findings_waiting{<>}", "{{instance}}"),),
                    width=6,
                ),
                Panel(
                    "Clock",
                    "How far a machine's clock has jumped, or is behind what was written by it.",
                    "s",
                    (Ask("miniwatch_clock_off_seconds{<>}", "{{instance}}"),),
                    width=6,
                ),
            ),
        ),
    ),
)
