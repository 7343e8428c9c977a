"""The topics of a configuration, each with what is written to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from detectors.finding import Severity
from monitor.config import Config
from monitor.enforcers.telling import publications_of
from monitor.intake.opening import kafka_settings
from monitor.stores import GivenUp, Message
from monitor.telemetry import Telemetry
from monitor.topics.decisions import DecisionsFeed, DecisionsStore
from monitor.topics.findings import FindingsFeed, FindingsStore
from monitor.topics.publisher import Feed, Publisher


class Publishing:
    """All publishers together."""

    def __init__(self, publishers: Sequence[Publisher]) -> None:
        self._publishers = publishers

    def only_while(self, leads: Callable[[], bool]) -> None:
        """Write nothing while another process decides."""
        for publisher in self._publishers:
            publisher.leads = leads

    def start(self) -> None:
        for publisher in self._publishers:
            publisher.start()

    def wake(self) -> None:
        """Say that there may be something new."""
        for publisher in self._publishers:
            publisher.wake()

    def stop(self, wait_s: float = 1.0) -> None:
        """Write nothing further; what is under way may take so long, all topics together."""
        until = time.monotonic() + wait_s
        for publisher in self._publishers:
            publisher.ask_to_stop()
        for publisher in self._publishers:
            publisher.stop(max(0.0, until - time.monotonic()))

    def deliver_all(self, wait_s: float) -> bool:
        """Write what is due, without threads; False when that took too long or a topic could not be written."""
        until = time.monotonic() + wait_s
        written = [publisher.write_all(until) for publisher in self._publishers]
        return all(written)

    def troubles(self) -> tuple[str, ...]:
        """What keeps topics from being written, in words."""
        return tuple(
            f"{publisher.channel} cannot be written: {publisher.trouble}"
            for publisher in self._publishers
            if publisher.trouble
        )


class TopicsStore(DecisionsStore, FindingsStore, Protocol):
    """The part of the record that topics work on."""


def publishing_of(
    config: Config,
    store: TopicsStore,
    clock: Callable[[], int],
    telemetry: Telemetry,
    given_up: Callable[[Message, str, int], GivenUp],
) -> Publishing:
    """Put together what a configuration asks for; without topics nothing of Kafka is loaded."""
    if not config.topics:
        return Publishing(())
    from monitor.topics.kafka import KafkaTopic  # noqa: PLC0415 - most have no use for it

    settings = kafka_settings(config)
    publications = {each.name: each for each in publications_of(config)}
    publishers = []
    for keys in config.topics:
        feed: Feed
        if keys.of == "findings":
            feed = FindingsFeed(store, keys.name, Severity(keys.min_severity), keys.again_s, clock, telemetry)
        else:
            feed = DecisionsFeed(store, publications[keys.name], keys.compare_h * 3600, clock, telemetry, given_up)
        publishers.append(Publisher(feed, KafkaTopic(keys, settings), telemetry))
    return Publishing(publishers)
