"""A site whose record tests fill, and a bouncer that asks it."""

import pytest

from detectors.finding import Scope
from monitor.responding.lifting import revoke
from monitor.stores import Turn
from monitor.testing import stored_decision
from monitor.tokens import Role
from playbooks.decision import Act

SECOND = 1_000_000


class Local:
    """A site as CrowdSec's programs see it."""

    def __init__(self, site):
        self.site = site
        self.store = site.store
        self.key = site.token(Role.BOUNCER)
        self.made = 0

    def decide(self, value="192.0.2.1", scope=Scope.ADDRESS, lasts_s=4 * 3600, kind=Act.CAPTCHA, **more):
        self.made += 1
        given = {"scope": scope, "value": value, "type": kind, **more}
        expires = self.site.now + lasts_s * SECOND
        decision = stored_decision(f"d{self.made}", time=self.site.now, expires=expires, **given)
        self.store.commit(Turn(number=self.store.last_turn() + 1, decisions=[decision]))
        return decision.id

    def lift(self, key):
        revoke(self.store, key, actor="operator:ann", reason="a mistake", now=self.site.now)

    def ask(self, path, **options):
        headers = {"X-Api-Key": self.key, "User-Agent": "bouncer/1.0", **options.pop("headers", {})}
        return self.site.get(path, headers=headers, **options)

    def stream(self, query=""):
        answer = self.ask(f"/v1/decisions/stream{query}")
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert list(told) == ["new", "deleted"]
        return [[one["value"] for one in told[name] or ()] for name in ("new", "deleted")]

    def values(self, query=""):
        found = self.ask(f"/v1/decisions{query}").json()
        return found and [one["value"] for one in found]


@pytest.fixture
def local(site):
    return Local(site)
