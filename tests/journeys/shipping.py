"""Clients of the daemon as people write them, each in a process that may be killed: `shipping.py CLIENT URL TOKEN COUNT LOG`.

Every document or record that was acknowledged is written to LOG. Started again, a client begins anew or goes on as one would.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk, streaming_bulk
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource

BATCH: Final = 10
START_NS: Final = 1_772_445_600_000_000_000


def elasticsearch(url: str, token: str, count: int, log: Path) -> None:
    """Ships everything from the beginning, with ids: what was taken before is a conflict, which is as good."""

    client = Elasticsearch(url, basic_auth=("shipper", token), max_retries=0, http_compress=True, request_timeout=10)
    left = list(range(count))
    with log.open("a") as told:
        while left:
            batch = left[:BATCH]
            actions = [
                {
                    "_op_type": "create",
                    "_index": "logs",
                    "_id": str(number),
                    "@timestamp": "2026-03-02T10:00:00Z",
                    "number": number,
                }
                for number in batch
            ]
            try:
                done = list(streaming_bulk(client, actions, raise_on_error=False, yield_ok=True))
            except Exception:  # noqa: BLE001 - the daemon is not there: once more
                time.sleep(0.05)
                continue
            assert [result["create"]["status"] in {201, 409} for _, result in done] == [True] * len(batch)
            told.write("".join(f"{number}\n" for number in batch))
            told.flush()
            left = left[BATCH:]


def helpers_bulk(url: str, token: str, count: int, log: Path) -> None:
    """Ships in order without ids, each request until it is answered; killed, it leaves what it may have sent."""

    client = Elasticsearch(url, api_key=token, max_retries=0, request_timeout=10)
    for batch in _left(count, log):
        actions = [{"_index": "logs", "@timestamp": "2026-03-02T10:00:00Z", "number": number} for number in batch]
        while True:
            try:
                taken, _ = bulk(client, actions)
            except Exception:  # noqa: BLE001 - the daemon is not there: once more
                time.sleep(0.05)
                continue
            assert taken == len(batch)
            break
        _tell(log, batch)


def opentelemetry(url: str, token: str, count: int, log: Path) -> None:
    """Exports in order, each batch until it is answered; killed, it leaves what it may have sent."""

    logging.disable()
    exporter = OTLPLogExporter(
        f"{url}/v1/logs", headers={"Authorization": f"Bearer {token}"}, compression=Compression.Gzip, timeout=20
    )
    resource = Resource({"service.name": "shop"})
    for batch in _left(count, log):
        records = [
            ReadableLogRecord(
                LogRecord(
                    timestamp=START_NS + number,
                    severity_number=SeverityNumber.INFO,
                    body="a line",
                    attributes={"number": number},
                ),
                resource,
            )
            for number in batch
        ]
        while exporter.export(records) is not LogRecordExportResult.SUCCESS:
            time.sleep(0.05)
        _tell(log, batch)


def _left(count: int, log: Path) -> Iterator[range]:
    """Batches that were not begun yet; each is when it is given."""
    path = log.with_suffix(".begun")
    begun = set(path.read_text().split()) if path.exists() else set()
    for first in range(0, count, BATCH):
        batch = range(first, min(count, first + BATCH))
        if str(first) not in begun:
            _tell(path, batch)
            yield batch


def _tell(log: Path, batch: range) -> None:
    with log.open("a") as told:
        told.write("".join(f"{number}\n" for number in batch))


CLIENTS: Final = {client.__name__: client for client in (elasticsearch, helpers_bulk, opentelemetry)}

if __name__ == "__main__":
    CLIENTS[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
