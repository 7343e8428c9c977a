"""What the race against CrowdSec runs on: a web server's log with known offenders, rules in both languages, and a model of each.

The rules are ours, written twice with the same meaning. The models are slow and plain; they say whom each way of counting must
find: `more_than` counts in a window that slides from event to event, `overflows` pours events into a leaky bucket.
"""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import yaml

BEGIN_S: Final = 36_000  # of the day: ten o'clock
LOG_S: Final = 2_000
WINDOW_S: Final = 10
NOT_FOUND_MAX: Final = 10
REFUSED_MAX: Final = 5
APP: Final = "wx5b1e7c90a4d2f836"
SENSITIVE: Final = ("/.env", "/.git/config", "/.aws/credentials", "/wp-config.php.bak", "/id_rsa")
UPWARDS: Final = ("../", "%2e%2e%2f")
TOOLS: Final = ("sqlmap", "nikto", "masscan")

_PHONE: Final = (
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/116.0 Mobile MicroMessenger/8.0.{}"
)


class Visit(NamedTuple):
    """One request in the log."""

    second: int
    address: str
    method: str
    path: str
    query: str
    status: int
    agent: str

    def line(self) -> str:
        """As nginx writes it, in the combined format."""
        hour, minute, second = self.second // 3_600, self.second // 60 % 60, self.second % 60
        return (
            f"{self.address} - - [10/Oct/2026:{hour:02d}:{minute:02d}:{second:02d} +0000] "
            f'"{self.method} {self.path}{self.query} HTTP/1.1" {self.status} {137 + len(self.path) * 53} '
            f'"https://servicewechat.com/{APP}/12/page-frame.html" "{self.agent}"\n'
        )

    def event(self) -> dict[str, object]:
        """As the decoder reads its line, as far as the rules look."""
        return {
            "@timestamp": f"2026-10-10T{self.second // 3_600:02d}:{self.second // 60 % 60:02d}:{self.second % 60:02d}Z",
            "event.dataset": "miniprogram.gateway",
            "event.action": "access",
            "source.ip": self.address,
            "http.request.method": self.method,
            "url.path": self.path,
            "http.response.status_code": self.status,
            "user_agent.original": self.agent,
        }


class Log:
    """A seeded log: honest clients of one shop, and among them those who are to be found, and those who come near."""

    def __init__(self, seed: int, lines: int) -> None:
        self._random = random.Random(seed)
        self._addresses = 0
        self.visits: list[Visit] = []
        self._offenders()
        self._near_misses()
        self._honest(max(0, lines - len(self.visits)))
        self.visits.sort(key=lambda visit: visit.second)

    def _address(self) -> str:
        self._addresses += 1
        return f"198.51.100.{self._addresses}" if self._addresses < 255 else f"203.0.113.{self._addresses - 254}"

    def _visit(self, second: int, address: str, path: str, status: int, **other: str) -> None:
        agent = other.get("agent", _PHONE.format(49))
        self.visits.append(
            Visit(second, address, other.get("method", "GET"), path, other.get("query", ""), status, agent)
        )

    def _start(self) -> int:
        return BEGIN_S + self._random.randrange(LOG_S - 120)

    def _offenders(self) -> None:
        draw = self._random
        for _ in range(60):  # scanners, who share one list of words
            address, second = self._address(), self._start()
            pace = draw.randint(3, 10)
            for number, word in enumerate(draw.sample(range(500), draw.randint(30, 120))):
                self._visit(second + number // pace, address, f"/old/page{word}.php", 404)
        for _ in range(60):  # guessers of passwords
            address, second = self._address(), self._start()
            for number in range(draw.randint(12, 40)):
                self._visit(second + number // 2, address, "/login", 401, method="POST")
        for _ in range(50):  # lookers for what was left lying about
            address, second = self._address(), self._start()
            for path in draw.sample(SENSITIVE, draw.randint(1, 4)):
                self._visit(second + draw.randrange(100), address, path, draw.choice((403, 404)))
        for _ in range(25):  # climbers out of the folder
            self._visit(self._start(), self._address(), f"/static/{draw.choice(UPWARDS) * 3}etc/passwd", 400)
        for _ in range(25):  # tools that say their name
            agent = f"{draw.choice(TOOLS)}/1.{draw.randrange(9)}"
            self._visit(
                self._start(), self._address(), "/api/items", 200, query=f"?id={draw.randrange(99)}", agent=agent
            )

    def _near_misses(self) -> None:
        """At an even pace, one more than is allowed in the window, which a bucket that drains meanwhile holds; and honest ones."""
        for _ in range(12):
            address, second = self._address(), self._start()
            for number in range(NOT_FOUND_MAX + 1):
                self._visit(second + min(number, WINDOW_S - 1), address, f"/old/page{number}.php", 404)
        for _ in range(12):
            address, second = self._address(), self._start()
            for number in range(REFUSED_MAX + 1):
                self._visit(second + min(2 * number, WINDOW_S - 1), address, "/login", 401, method="POST")
        for _ in range(10):  # one more than is allowed, which comes when the first has just left the window
            address, second = self._address(), self._start()
            for number in range(NOT_FOUND_MAX + 1):
                self._visit(second + number * WINDOW_S // NOT_FOUND_MAX, address, f"/old/page{number}.php", 404)
        for _ in range(10):  # as many as are allowed
            address, second = self._address(), self._start()
            for number in range(NOT_FOUND_MAX):
                self._visit(second + number // 5, address, f"/old/page{number}.php", 404)
        for _ in range(10):  # one broken picture, again and again
            address, second = self._address(), self._start()
            for number in range(40):
                self._visit(second + number // 4, address, "/images/gone.png", 404)
        for _ in range(10):  # a forgotten password
            address, second = self._address(), self._start()
            for number in range(REFUSED_MAX + 1):
                self._visit(second + number, address, "/login", 401 if number < REFUSED_MAX else 200, method="POST")

    def _honest(self, count: int) -> None:
        draw = self._random
        for _ in range(count):
            address = f"198.18.{draw.randrange(12)}.{draw.randrange(1, 255)}"
            second, chance = BEGIN_S + draw.randrange(LOG_S), draw.random()
            agent = _PHONE.format(draw.randrange(30, 60))
            if chance < 0.01:
                self._visit(second, address, f"/images/{draw.randrange(5_000)}.png", 404, agent=agent)
            elif chance < 0.05:
                self._visit(second, address, "/login", 401 if chance < 0.015 else 200, method="POST", agent=agent)
            else:
                page = f"/api/items/{draw.randrange(20_000)}"
                self._visit(second, address, page, 200, query=f"?page={draw.randrange(9)}", agent=agent)


def truth(visits: Iterable[Visit], *, bucket: bool) -> set[tuple[str, str]]:
    """Pairs of rule and address that are to be found when counting in sliding windows, or by leaky buckets."""
    found: set[tuple[str, str]] = set()
    missing: dict[str, list[tuple[int, str]]] = defaultdict(list)
    refused: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, visit in enumerate(visits):
        path, agent = visit.path.lower(), visit.agent.lower()
        if visit.status == 404:
            missing[visit.address].append((visit.second, visit.path))
        if visit.method == "POST" and path == "/login" and visit.status == 401:
            refused[visit.address].append((visit.second, str(number)))
        if path.endswith(SENSITIVE):
            found.add(("sensitive", visit.address))
        if any(word in path for word in UPWARDS):
            found.add(("upwards", visit.address))
        if any(tool in agent for tool in TOOLS):
            found.add(("tool", visit.address))
    counted = overflows if bucket else more_than
    found |= {("not-found", address) for address in counted(missing, NOT_FOUND_MAX)}
    return found | {("refused", address) for address in counted(refused, REFUSED_MAX)}


def more_than(events: Mapping[str, list[tuple[int, str]]], most: int) -> set[str]:
    """Of whom some window of ten seconds, open at its beginning, holds more different values than `most`."""
    return {
        address
        for address, seen in events.items()
        if any(len({value for at, value in seen if end - WINDOW_S < at <= end}) > most for end, _ in seen)
    }


def overflows(events: Mapping[str, list[tuple[int, str]]], most: int) -> set[str]:
    """Whose bucket for `most` different values, which drains within ten seconds, overflows.

    A bucket begins anew when nothing came for as long as one more than it holds needs to drain.
    """
    leak_s = WINDOW_S / most
    found = set()
    for address, seen in events.items():
        level, last, values = 0.0, seen[0][0], set[str]()
        for at, value in seen:
            if at - last > leak_s * (most + 1):
                values = set()
            if value in values:
                continue
            values.add(value)
            level, last = max(0.0, level - (at - last) / leak_s) + 1, at
            if level > most:
                found.add(address)
                break
    return found


PLAIN: Final[Mapping[str, Mapping[str, object]]] = {
    "sensitive": {"url.path|endswith": list(SENSITIVE)},
    "upwards": {"url.path|contains": list(UPWARDS)},
    "tool": {"user_agent.original|contains": list(TOOLS)},
}
WINDOWS: Final[Mapping[str, tuple[Mapping[str, object], str, Mapping[str, object]]]] = {
    "not-found": ({"http.response.status_code": 404}, "value_count", {"field": "url.path", "gt": NOT_FOUND_MAX}),
    "refused": (
        {"http.request.method": "POST", "url.path": "/login", "http.response.status_code": 401},
        "event_count",
        {"gt": REFUSED_MAX},
    ),
}


def sigma_rules() -> dict[str, str]:
    """Our rules, by name."""
    rules = {name: [_on_events(name, fields, "medium")] for name, fields in PLAIN.items()}
    for name, (fields, kind, condition) in WINDOWS.items():
        window = {"type": kind, "rules": [f"{name}-once"], "group-by": ["source.ip"], "timespan": f"{WINDOW_S}s"}
        counting = _rule(name, "medium") | {"correlation": window | {"condition": dict(condition)}}
        rules[name] = [_on_events(f"{name}-once", fields, "informational"), counting]
    return {name: "---\n".join(yaml.safe_dump(rule, sort_keys=False) for rule in file) for name, file in rules.items()}


def twins() -> dict[str, tuple[list[Visit], list[Visit]]]:
    """Events that must and must not match, for each rule; the daemon loads no rule without."""
    honest = Visit(BEGIN_S, "198.18.0.1", "GET", "/api/items/1", "", 200, _PHONE.format(49))
    missing = [honest._replace(path=f"/{number}", status=404) for number in range(NOT_FOUND_MAX + 1)]
    refused = [honest._replace(method="POST", path="/login", status=401)] * (REFUSED_MAX + 1)
    return {
        "sensitive": ([honest._replace(path=path) for path in SENSITIVE], [honest]),
        "upwards": ([honest._replace(path=f"/{path}") for path in UPWARDS], [honest]),
        "tool": ([honest._replace(agent=tool) for tool in TOOLS], [honest]),
        "not-found": (missing, missing[1:]),
        "refused": (refused, refused[1:]),
    }


def _on_events(name: str, fields: Mapping[str, object], level: str) -> dict[str, object]:
    detection = {"selection": dict(fields), "condition": "selection"}
    logsource = {"product": "miniprogram", "service": "gateway"}
    return _rule(name, level) | {"logsource": logsource, "detection": detection}


def _rule(name: str, level: str) -> dict[str, object]:
    told = {"title": name, "id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)), "name": name, "status": "test"}
    return {**told, "level": level, **({"custom": {"miniwatch": {"entity": "Ip"}}} if level == "medium" else {})}


def scenarios() -> dict[str, str]:
    """The same rules as CrowdSec's scenarios, by name of the file."""
    http = "evt.Meta.service == 'http'"
    path = "Lower(evt.Parsed.request)"
    agent = "Lower(evt.Meta.http_user_agent)"
    told: dict[str, dict[str, object]] = {
        "sensitive": {"filter": _either(f"{path} endsWith", SENSITIVE)},
        "upwards": {"filter": _either(f"{path} contains", UPWARDS)},
        "tool": {"filter": _either(f"{agent} contains", TOOLS)},
        "not-found": {"filter": "evt.Meta.http_status == '404'", "distinct": "evt.Parsed.request"},
        "refused": {"filter": f"evt.Meta.http_verb == 'POST' && {path} == '/login' && evt.Meta.http_status == '401'"},
    }
    for name, most in (("not-found", NOT_FOUND_MAX), ("refused", REFUSED_MAX)):
        told[name] |= {"type": "leaky", "capacity": most, "leakspeed": f"{WINDOW_S * 1_000 // most}ms"}
    return {
        f"{name}.yaml": yaml.safe_dump(
            {
                "type": "trigger",
                "name": f"bench/{name}",
                "description": name,
                "groupby": "evt.Meta.source_ip",
                "blackhole": "5m",
                "labels": {"remediation": True},
                **scenario,
                "filter": f"{http} && ({scenario['filter']})",
            }
        )
        for name, scenario in told.items()
    }


def _either(asked: str, values: Iterable[str]) -> str:
    return " || ".join(f"{asked} '{value}'" for value in values)
