"""Rules and events for races between rule engines: made from a seed, in the proportions of rules in the wild.

Of the predicates of public Sigma rules about two thirds are `contains`, a sixth `endswith`, a twelfth plain values; a fifth
of the rules exclude something, a quarter says `1 of`, and few use patterns. Half of the values of an event's larger fields
are distinct, some literals stand in nearly every value and most in none, and at least one event in a hundred matches.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

FIELDS: Final = (
    "url.full",
    "url.path",
    "url.query",
    "user_agent.original",
    "http.request.referrer",
    "miniprogram.page",
    "message",
)
"""Fields that rules look at, the most often asked first."""

_SYLLABLES: Final = tuple(consonant + vowel for consonant in "bdfghklmnprstvz" for vowel in "aeiou")
_COMMON: Final = ("https://", "/api/", "pages/", "Mozilla", ".js", "id=", "mini", "request", ".example", "Mobile")
"""Literals that stand in most values; real rules have them too."""

_AGENTS: Final = tuple(
    f"Mozilla/5.0 ({system}) Mobile MicroMessenger/8.0.{build} MiniProgramEnv/{name}"
    for name, system in (("ios", "iPhone; CPU iPhone OS 17_4"), ("android", "Linux; Android 14; V2312A"))
    for build in range(30)
)


class Material:
    """Rules and events of one seed. The literals that rules look for are sown thinly among the events."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.words = [self._word() for _ in range(6_000)]

    def _word(self) -> str:
        return "".join(self._chance.choices(_SYLLABLES, k=self._chance.randrange(2, 5)))

    def rules(self, count: int) -> list[dict[str, Any]]:
        """So many rules, as documents."""
        return [self._rule(number) for number in range(count)]

    def _rule(self, number: int) -> dict[str, Any]:
        shape = self._chance.random()
        if shape < 0.45:
            detection: dict[str, Any] = {"selection": self._selection("contains"), "condition": "selection"}
        elif shape < 0.65:
            detection = {
                "selection_end": self._selection("endswith"),
                "selection_word": self._selection("contains|all", size=2),
                "condition": "all of selection_*",
            }
        elif shape < 0.82:
            detection = {
                "selection": {**self._selection("contains", common=True), **self._selection("contains", size=3)},
                "filter_usual": self._selection("startswith"),
                "filter_plain": self._selection("", size=2),
                "condition": "selection and not 1 of filter_*",
            }
        elif shape < 0.95:
            detection = {
                "selection_a": self._selection("contains"),
                "selection_b": self._selection("endswith"),
                "condition": "1 of selection_*",
            }
        else:
            detection = {"selection": self._rare_kind(), "condition": "selection"}
        return {
            "title": f"Race rule {number}",
            "id": str(uuid.UUID(int=number + 1)),
            "status": "test",
            "logsource": {"product": "miniprogram", "service": "network"},
            "detection": detection,
            "level": "medium",
        }

    def _selection(self, modifier: str, size: int = 0, *, common: bool = False) -> dict[str, Any]:
        weights = range(len(FIELDS), 0, -1)
        field = self._chance.choices(FIELDS, weights)[0]
        size = size or min(int(self._chance.expovariate(0.2)) + 1, 30)
        values = [self._chance.choice(_COMMON)] if common else [self._literal() for _ in range(size)]
        return {f"{field}|{modifier}" if modifier else field: values}

    def _literal(self) -> str:
        first, second = self._chance.sample(self.words, 2)
        return self._chance.choice(
            [f"/{first}/{second}", f"{first}={second}", f"{first}.{second}", f"{first}-{second[:2]}"]
        )

    def _rare_kind(self) -> dict[str, Any]:
        first, second = self._chance.sample(self.words, 2)
        return self._chance.choice(
            [
                {"url.full|re": rf"{first}[0-9]{{2,6}}\.{second}"},
                {"url.full": f"*{first}*{second}?x*"},
                {"source.ip|cidr": f"203.0.{self._chance.randrange(256)}.0/28"},
                {"http.response.status_code|gte": 590, "url.path|contains": f"/{first}"},
                {"miniprogram.page|re|i": rf"^pages/{first}(/{second})?$"},
            ]
        )

    def events(self, count: int, literals: Sequence[tuple[str, str]], share: float = 0.03) -> Iterator[bytes]:
        """Lines; about `share` of them hold one of these (field, literal)."""
        chance = self._chance
        pages = [f"pages/{first}/{second}" for first, second in zip(self.words[:400], self.words[400:800], strict=True)]
        for number in range(count):
            host = f"{chance.choice(self.words[:500])}.example"
            path = f"/api/{chance.choice(self.words)}/{chance.choice(self.words)}"
            if chance.random() < 0.5:
                path += f"/{chance.randrange(10**7)}"
            query = f"id={chance.randrange(10**6) if chance.random() < 0.5 else chance.randrange(50)}&lang=zh&v={chance.choice(self.words)}"
            values = {
                "url.path": path,
                "url.query": query,
                "user_agent.original": chance.choice(_AGENTS),
                "http.request.referrer": f"https://servicewechat.com/wx{chance.randrange(3000):016x}/{chance.randrange(9)}/",
                "miniprogram.page": chance.choice(pages),
                "message": f"request of {chance.choice(self.words)} took {chance.randrange(3000)} ms",
            }
            sown = chance.choice(literals) if chance.random() < share else None
            if sown and sown[0] in values:
                values[sown[0]] += sown[1]
            full = f"https://{host}{values['url.path']}?{values['url.query']}"
            if sown and sown[0] == "url.full":
                full += sown[1]
            yield _line(number, host, full, values, chance).encode() + b"\n"


def _line(number: int, host: str, full: str, values: dict[str, str], chance: random.Random) -> str:
    app = f"wx{chance.randrange(3000):016x}"
    return json.dumps(
        {
            "@timestamp": f"2026-03-02T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.{number % 1000:03d}Z",
            "event": {
                "id": f"e{number:07d}",
                "dataset": "miniprogram.network",
                "action": "request",
                "outcome": "success",
                "duration": chance.randrange(10**9),
            },
            "miniprogram": {"app_id": app, "api": "request", "page": values["miniprogram.page"], "phase": "event"},
            "url": {"full": full, "domain": host, "path": values["url.path"], "query": values["url.query"]},
            "user_agent": {"original": values["user_agent.original"]},
            "http": {
                "request": {"method": "GET", "referrer": values["http.request.referrer"]},
                "response": {"status_code": chance.choice([200, 200, 200, 304, 404, 500, 599])},
            },
            "source": {"ip": f"{chance.choice(['198.51.100', '203.0.113'])}.{chance.randrange(256)}"},
            "message": values["message"],
        },
        separators=(",", ":"),
    )


def literals_of(rules: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What may be sown so that some of these rules match: a field and a text."""
    found = []
    for rule in rules:
        for name, selection in rule["detection"].items():
            if not name.startswith("selection"):
                continue
            for key, values in selection.items():
                field, _, modifier = key.partition("|")
                if modifier in ("contains", "endswith") and isinstance(values, list):
                    found += [(field, value) for value in values]
    return found
