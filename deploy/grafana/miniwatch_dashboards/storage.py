"""What is kept, how it grows, and what it all costs."""

from __future__ import annotations

from typing import Final

from miniwatch_dashboards.page import Ask, Page, Panel, Row

STORAGE: Final = Page(
    "miniwatch-storage",
    "Miniwatch: storage and cost",
    "What is kept, how it grows, and what it all costs.",
    (
        Row(
            "Disk",
            (
                Panel(
                    "Free",
                    "Share of the disk of the data folder that is free.",
                    "percentunit",
                    (Ask("miniwatch_disk_free_bytes{<>} / miniwatch_disk_size_bytes{<>}", "{{instance}}"),),
                ),
                Panel(
                    "Kept",
                    "What archive, record, spool and the latest snapshot of each process take.",
                    "bytes",
                    (
                        Ask("max(miniwatch_archive_bytes{<>})", "archive"),
                        Ask("max(miniwatch_record_bytes{<>})", "record"),
                        Ask("sum(miniwatch_spool_bytes{<>})", "spool"),
                        Ask("sum(miniwatch_snapshot_bytes{<>})", "snapshot"),
                    ),
                ),
                Panel(
                    "Bytes an event",
                    "What one event takes in the archive.",
                    "bytes",
                    (Ask("max(miniwatch_archive_bytes{<>}) / (max(miniwatch_archive_events{<>}) > 0)", "archive"),),
                ),
                Panel(
                    "Events kept",
                    "Events in the archive.",
                    "short",
                    (Ask("max(miniwatch_archive_events{<>})", "events"),),
                ),
                Panel(
                    "Spool",
                    "Share of what the spool of HTTP may take that is used.",
                    "percentunit",
                    (Ask("miniwatch_spool_bytes{<>} / (miniwatch_spool_limit_bytes{<>} > 0)", "{{instance}}"),),
                ),
                Panel(
                    "Age of the snapshot",
                    "Time since what detectors remember was written down; it grows while nothing comes.",
                    "s",
                    (Ask("time() - (miniwatch_snapshot_timestamp_seconds{<>} > 0)", "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Cost",
            (
                Panel(
                    "Processor",
                    "Processors that each process keeps busy.",
                    "short",
                    (Ask("rate(process_cpu_seconds_total{<>}[$__rate_interval])", "{{instance}}"),),
                ),
                Panel(
                    "Processor time of a thousand events",
                    "What a thousand events cost; it says little where few come.",
                    "s",
                    (
                        Ask(
                            "1000 * sum(rate(process_cpu_seconds_total{<>}[$__rate_interval])) / sum(rate(miniwatch_events_received_total{<>}[$__rate_interval]))",
                            "a thousand events",
                        ),
                    ),
                ),
                Panel(
                    "Memory",
                    "Resident memory of each process.",
                    "bytes",
                    (Ask("process_resident_memory_bytes{<>}", "{{instance}}"),),
                ),
                Panel(
                    "File descriptors",
                    "Share of those that a process may have open.",
                    "percentunit",
                    (Ask("process_open_fds{<>} / process_max_fds{<>}", "{{instance}}"),),
                ),
                Panel(
                    "Tasks",
                    "Runs of what is done by the clock that failed or were missed.",
                    "short",
                    (
                        Ask(
                            'sum by (task, outcome) (increase(miniwatch_jobs_total{<>,outcome=~"failed|missed"}[$__rate_interval]))',
                            "{{task}} {{outcome}}",
                        ),
                    ),
                ),
                Panel(
                    "Log lines left out",
                    "Lines that the limit left out, and such that could not be written.",
                    "short",
                    (
                        Ask("sum(increase(miniwatch_log_lines_suppressed_total{<>}[$__rate_interval]))", "left out"),
                        Ask("sum(increase(miniwatch_log_lines_lost_total{<>}[$__rate_interval]))", "lost"),
                    ),
                ),
            ),
        ),
        Row(
            "Search",
            (
                Panel(
                    "Behind",
                    "For how long something has been kept that cannot be found by search.",
                    "s",
                    (Ask("max by (what) (miniwatch_search_lag_seconds{<>})", "{{what}}"),),
                    width=8,
                ),
                Panel(
                    "Written",
                    "Documents written to the search.",
                    "ops",
                    (Ask("sum by (what) (rate(miniwatch_search_documents_total{<>}[$__rate_interval]))", "{{what}}"),),
                    width=8,
                ),
                Panel(
                    "Failures",
                    "Times that the search could not be written, by why.",
                    "short",
                    (
                        Ask(
                            "sum by (kind) (increase(miniwatch_search_failures_total{<>}[$__rate_interval]))",
                            "{{kind}}",
                        ),
                    ),
                    width=8,
                ),
            ),
        ),
    ),
)
