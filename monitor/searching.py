"""The search as it is configured. Nothing of Elasticsearch is loaded where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from monitor.config import Config
from monitor.process import Role, holder_name

if TYPE_CHECKING:
    from monitor.indexer import Indexer
    from monitor.kept import Kept
    from monitor.stores.elasticsearch import SearchSettings
    from monitor.stores.elasticsearch.reading import SearchReader
    from monitor.stores.sql import SqlStore
    from monitor.telemetry import Telemetry

CATCH_UP_S: float = 300.0
"""How long a run that leaves at its end waits for the search to have all; what is left then comes with the next run."""


def search_settings(config: Config) -> SearchSettings:
    """What is needed to know of the configuration to write there and to read."""
    from monitor.stores.elasticsearch import SearchSettings  # noqa: PLC0415 - for those alone who have one

    keys = config.elasticsearch
    return SearchSettings(
        urls=keys.urls,
        namespace=keys.namespace,
        api_key=keys.api_key.get_secret_value() if keys.api_key else None,
        username=keys.username,
        password=keys.password.get_secret_value() if keys.password else None,
        ca_file=keys.ca_file,
        compress=keys.compression,
        timeout_s=keys.timeout_s,
        bulk_bytes_max=keys.bulk_bytes_max,
        bulks_max=keys.bulks_max,
        rest_s_max=keys.rest_s_max,
        shards=keys.shards,
        replicas=keys.replicas,
        refresh_s=keys.refresh_s,
        mode=keys.mode,
        retention=keys.retention,
        events_days=config.retention.events_days,
        findings_days=config.retention.findings_days,
    )


def indexer_of(
    config: Config, kept: Kept, telemetry: Telemetry, clock: Callable[[], int], role: Role
) -> Indexer | None:
    """What brings events and findings to the search; None where none is configured, or others do it."""
    if not config.elasticsearch.urls or role is Role.API:
        return None
    from monitor.indexer import Indexer  # noqa: PLC0415 - for those alone who have one: it takes most of a second

    answers, alone = role is not Role.DETECT, role is Role.ALL
    return Indexer(kept, search_settings(config), telemetry, clock, holder_name(), answers=answers, alone=alone)


def reader_of(config: Config, store: SqlStore) -> SearchReader | None:
    """What lists and backtests are read with; None where that is not the search."""
    if config.elasticsearch.lists != "elasticsearch":
        return None
    from monitor.stores.elasticsearch.connection import Connection  # noqa: PLC0415 - as above
    from monitor.stores.elasticsearch.reading import SearchReader  # noqa: PLC0415

    return SearchReader(Connection(search_settings(config)), store.installation())
