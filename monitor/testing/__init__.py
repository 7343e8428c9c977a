"""Stand-ins for the outside world, and the laws that every member of a family keeps."""

from monitor.testing.sources import (
    SOURCE_LINE_BYTES_MAX,
    MemorySource,
    check_batches,
    check_resume,
    check_source,
)
from monitor.testing.stores import (
    check_store,
    failing_at,
    scratch_store,
    store_state,
    stored_decision,
    stored_finding,
    stored_incident,
    whole_turn,
)

__all__ = [
    "SOURCE_LINE_BYTES_MAX",
    "MemorySource",
    "check_batches",
    "check_resume",
    "check_source",
    "check_store",
    "failing_at",
    "scratch_store",
    "store_state",
    "stored_decision",
    "stored_finding",
    "stored_incident",
    "whole_turn",
]
