"""The real servers that tests ask for by name.

`kafka`, `elasticsearch` and `postgres` are shared by all tests of a session (of each worker, where there are several): a test there
takes names of its own for what it makes, and leaves the server running. Who stops, kills or pauses one asks for `fresh_kafka`,
`fresh_elasticsearch` or `fresh_postgres`, which is that test's alone. Where a server cannot be had the test is skipped and says why;
on CI, which must have them all, it fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from postgres import Postgres
from server import Elasticsearch, Kafka, running


@pytest.fixture(scope="session")
def kafka():
    yield from running(Kafka)


@pytest.fixture(scope="session")
def elasticsearch():
    yield from running(Elasticsearch)


@pytest.fixture(scope="session")
def postgres():
    yield from running(Postgres)


@pytest.fixture
def fresh_kafka():
    yield from running(Kafka)


@pytest.fixture
def fresh_elasticsearch():
    yield from running(Elasticsearch)


@pytest.fixture
def fresh_postgres():
    yield from running(Postgres)
