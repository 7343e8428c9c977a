"""A server of the front, on a port of its own, with a record of its own."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from monitor.config import load_config
from monitor.console.health import Health
from monitor.front import front_of
from monitor.sealing import Seal
from monitor.sources.spooled import SpoolSource
from monitor.spool.spool import Spool
from monitor.spool.taking import Taker
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store
from monitor.tokens import Role, new_token

GOOD = Health(heartbeat_age_s=0.1)
YEAR_US = 365 * 86_400_000_000


class Site:
    """A running front whose health a test can set, and which knows the tokens that it makes."""

    def __init__(self, pages=(), take=None, unsure=(), **keys):
        self.health = GOOD
        self.now = 1_772_500_000_000_000
        self.log = io.StringIO()
        self.telemetry = Telemetry(stream=self.log)
        self.folder = TemporaryDirectory()
        self.store = scratch_store(Path(self.folder.name))
        written = {"http.listen": "127.0.0.1:0", **{f"http.{name}": value for name, value in keys.items()}}
        config = load_config(None, {}, written)
        self.front = front_of(
            config, self.store, self.telemetry, lambda: self.now, lambda: self.health, pages, take, unsure
        )
        self.front.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.front.server.port}"

    def get(self, path: str, token: str | None = None, **options) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **options.pop("headers", {})}
        return httpx.request(options.pop("method", "GET"), f"{self.url}{path}", headers=headers, **options)

    def token(self, *roles: Role, lasts_us: int = YEAR_US) -> str:
        """The text of a token that is known from now on."""
        made, text = new_token("test", roles, created=self.now, expires=self.now + lasts_us, actor="operator:test")
        self.store.add_token(made, "")
        self.front.guard._known._read()
        return text

    def refused(self) -> list[tuple[str, str, str]]:
        """What the audit has of refusals: client, page and why."""
        self.front._write()
        entries = [link.entry for link in self.store.audit_entries()]
        return [(one.actor, one.subject, one.reason) for one in entries if one.action == "http.refuse"]


class Door:
    """A site with a spool behind it, and a token that may send to one of its pages."""

    def __init__(self, make_site, folder, path, spool_bytes_max=1 << 20, **keys):
        self.path = path
        self.spool = Spool(folder, Seal(bytes(32)), bytes_max=spool_bytes_max, floor=0, clock=lambda: 7)
        taker = Taker(self.spool)
        taker.start()
        unsure = [digest for digest, _ in self.spool.unsure]
        self.site = make_site(take=taker.take, unsure=unsure, **keys)
        self.token = self.site.token(Role.INGEST)

    def post(self, content, **headers) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.site.get(self.path, self.token, method="POST", content=content, headers=named)

    @property
    def kept(self) -> bytes:
        source = SpoolSource(self.spool, follow=False)
        source.open(None)
        found = []
        while (batch := source.read(1 << 20, 0.0)) is not None:
            found.append(batch.data)
        return b"".join(found)


@pytest.fixture
def make_door(make_site, tmp_path):
    return partial(Door, make_site, tmp_path / "spool")


@pytest.fixture
def make_site() -> Iterator[type[Site]]:
    made = []

    def make(*arguments, **keys):
        made.append(Site(*arguments, **keys))
        return made[-1]

    yield make
    for site in made:
        site.front.stop()
        site.store.close()
        site.folder.cleanup()


@pytest.fixture
def site(make_site) -> Site:
    return make_site()
