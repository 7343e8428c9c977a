"""Elasticsearch: events and findings for people who search. The archive and the record stay what cannot be lost; this follows them."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from monitor.refusal import StoreError

EVENTS: Final = "events"
FINDINGS: Final = "findings"
KINDS: Final = (EVENTS, FINDINGS)
"""What is searched."""


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the cluster is, how it is asked, and how what is searched lies in it. Printed by nobody: it holds secrets."""

    urls: tuple[str, ...]
    namespace: str = "default"
    api_key: str | None = None
    username: str = ""
    password: str | None = None
    ca_file: str = ""
    compress: bool = False
    timeout_s: float = 30.0
    bulk_bytes_max: int = 4 * 1024 * 1024
    bulks_max: int = 2  # bulks under way at once
    rest_s_max: float = 60.0
    shards: int = 1
    replicas: int = 1
    refresh_s: float = 5.0
    mode: Literal["standard", "logsdb"] = "standard"
    retention: Literal["stream", "ilm", "none"] = "stream"
    events_days: int = 180
    findings_days: int = 1095

    def stream(self, what: str) -> str:
        """The data stream of events or findings, named as data streams of logs are."""
        return f"logs-miniwatch.{what}-{self.namespace}"


class SearchError(StoreError):
    """The search cannot do it. `kind` says in one word why; `rest_s` for how long the server wishes to be left alone."""

    def __init__(self, kind: SearchFault, message: str, *, retryable: bool, rest_s: float = 0.0) -> None:
        super().__init__(message, retryable=retryable)
        self.kind: Final = kind
        self.rest_s: Final = rest_s


SearchFault = Literal["unreachable", "busy", "full", "refused", "failing", "nonsense", "foreign"]
"""Not reached or no answer in time; asks for patience; takes no writes; rights are missing; an error of its own; an answer that makes
no sense; what is there is not ours.
"""
