"""From the sources that a configuration names to all that turns their lines into events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from detectors import kernel
from monitor import native
from monitor.config import Config
from monitor.containment import Fault, FaultWatch
from monitor.decoders import Decoder
from monitor.decoders.combined import CombinedDecoder
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.intake import Intake
from monitor.intake.timeline import Bounds
from monitor.sources import Source
from monitor.sources.kafka.address import is_kafka, parse_address, refuse_readable_password
from monitor.sources.kafka.settings import KafkaSettings
from monitor.sources.spooled import PARTITION, SpoolSource
from monitor.sources.uri import parse_source
from monitor.spool.spool import Spool
from monitor.stores import Progress
from monitor.telemetry import Telemetry, happenings

if TYPE_CHECKING:
    from monitor.sources.kafka.opening import WholeTopic

Hashed = tuple[Source, bool]
"""A source, and whether people are hashed in it already."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What is read: the sources that there are, and topics to which some may be added."""

    sources: list[Hashed]
    _topics: list[tuple[WholeTopic, bool]] = field(default_factory=list)

    def added(self) -> list[Hashed]:
        """Sources that there are since it was asked last."""
        return [(source, hashed) for topic, hashed in self._topics for source in topic.added()]


def sources_of(config: Config, run: str, spool: Spool | None = None, *, until_end: bool = False) -> Opened:
    """The sources that a configuration names; raises `SourceError`.

    Without a spool, ``http:`` is none of them. With `until_end`, those that can go on for ever end where they end now.
    """
    found: list[Hashed] = []
    topics: list[tuple[WholeTopic, bool]] = []
    for named in config.sources:
        limit = config.decode.line_bytes_max
        if named.uri == PARTITION:
            found += [(SpoolSource(spool, line_bytes_max=limit), named.hashed)] if spool is not None else []
            continue
        if is_kafka(named.uri):
            topic = _topic_of(config, named.uri, named.format, until_end=until_end)
            topics.append((topic, named.hashed))
            found += [(source, named.hashed) for source in topic.sources]
            continue
        parsed = parse_source(named.uri, run=run, format=named.format, line_bytes_max=limit)
        found += [(source, named.hashed) for source in parsed]
    return Opened(found, topics)


def kafka_settings(config: Config) -> KafkaSettings:
    """What the configuration says of Kafka, as its sources want to be told."""
    keys = config.kafka
    named = {name: getattr(keys, name) for name in KafkaSettings.__struct_fields__ if name != "sasl_password"}
    return KafkaSettings(**named, sasl_password=keys.sasl_password.get_secret_value() if keys.sasl_password else "")


def _topic_of(config: Config, uri: str, line_format: str, *, until_end: bool) -> WholeTopic:
    from monitor.sources.kafka.opening import open_topic  # noqa: PLC0415 - who reads no Kafka does not load its client

    address = parse_address(uri, format=line_format, client=config.kafka.client)
    settings = kafka_settings(config)
    refuse_readable_password(address, settings.sasl_mechanism, tls=settings.tls)
    return open_topic(address, settings, until_end=until_end, line_bytes_max=config.decode.line_bytes_max)


def intakes_of(
    config: Config,
    people: PeopleHash,
    sources: Sequence[Hashed],
    telemetry: Telemetry,
) -> list[Intake]:
    """Sources with all that turns their lines into events."""
    bounds = Bounds(config.clock.lateness_s_max, config.clock.skew_s_max, config.clock.step_s_max)
    limit = config.dead_letters.bytes_max
    intakes = []
    for source, hashed in sources:
        ndjson = NdjsonDecoder(dead_letter_bytes_max=limit)
        decoder: Decoder = CombinedDecoder(dead_letter_bytes_max=limit) if source.format == "combined" else ndjson
        door = Door(people, ndjson, hashed=hashed, dead_letter_bytes_max=limit)
        intake = Intake(source, decoder, door, bounds, Progress(partition=source.partition, end=0))
        intake.watch = FaultWatch(partial(_line_faulted, telemetry, source.partition))
        intake.dead_letter_bytes_max = limit
        if source.format == "ndjson" and kernel.available():
            failed = partial(_kernel_failed, telemetry, source.partition)
            intake.native = native.NativeNdjson(people, hashed=hashed, dead_letter_bytes_max=limit, failed=failed)
        intakes.append(intake)
    return intakes


def _kernel_failed(telemetry: Telemetry, source: str, error: str) -> None:
    telemetry.emit(happenings.KernelFailed(source=source, error=error))


def _line_faulted(telemetry: Telemetry, source: str, fault: Fault) -> None:
    telemetry.emit(happenings.LineFaulted(source=source, error=fault.error, place=fault.place, position=fault.position))
