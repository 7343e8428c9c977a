"""Which events a rule is about, and what the fields it names are called here.

Logsource to datasets, first line that fits:

| logsource | datasets |
| --- | --- |
| ``product: miniprogram, service: X`` (or ``category: X``) | ``miniprogram.X`` |
| ``product: miniprogram`` | every ``miniprogram.*`` |
| ``category: webserver`` | ``miniprogram.gateway`` |
| ``category: proxy`` | ``miniprogram.network`` |
| ``product: P, category: C`` | ``P.C`` |
| ``product: P, service: S`` | ``P.S`` |
| ``product: P`` | every ``P.*`` |
| ``category: C`` (or ``service: S``) alone | every ``*.C`` |

Rules of ``category: webserver`` and ``proxy`` use the field names of W3C logs; `WEB_FIELDS` says what they are in the
Elastic Common Schema. All other rules name fields as events carry them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from detectors.event import DATASETS, Kind, kind_of
from detectors.sigma.rule import RuleRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

WEB_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "c-ip": "source.ip",
        "src_ip": "source.ip",
        "c-uri": "url.original",
        "c-uri-extension": "url.extension",
        "c-uri-path": "url.path",
        "c-uri-query": "url.query",
        "c-uri-stem": "url.path",
        "cs-uri": "url.original",
        "cs-uri-extension": "url.extension",
        "cs-uri-path": "url.path",
        "cs-uri-query": "url.query",
        "cs-uri-stem": "url.path",
        "cs-method": "http.request.method",
        "cs-version": "http.version",
        "cs-bytes": "http.request.bytes",
        "sc-bytes": "http.response.bytes",
        "sc-status": "http.response.status_code",
        "cs-host": "url.domain",
        "c-dns": "url.domain",
        "r-dns": "url.domain",
        "cs-referer": "http.request.referrer",
        "cs-referrer": "http.request.referrer",
        "c-referer": "http.request.referrer",
        "c-useragent": "user_agent.original",
        "cs-user-agent": "user_agent.original",
        "cs-useragent": "user_agent.original",
        "cs(user-agent)": "user_agent.original",
        "cs(referer)": "http.request.referrer",
        "cs(host)": "url.domain",
        "cs-cookie": "http.request.headers.cookie",
        "cs(cookie)": "http.request.headers.cookie",
        "cs-cookie-vars": "http.request.headers.cookie",
        "cs-username": "user.name",
        "cs-protocol": "url.scheme",
        "s-port": "url.port",
        "dst_ip": "destination.ip",
        "dst_port": "destination.port",
        "r-ip": "destination.ip",
        "s-ip": "destination.ip",
    }
)
"""Names of W3C extended logs, in lower case, and the fields they are here."""

WEB_DATASETS: Final[Mapping[str, str]] = MappingProxyType(
    {"webserver": "miniprogram.gateway", "proxy": "miniprogram.network"}
)

ARGUMENTS: Final = "miniprogram.api_args"
"""The column whose JSON text holds the fields named below it."""


def datasets_of(product: str | None, category: str | None, service: str | None) -> tuple[str, ...]:
    """The datasets, or patterns of datasets, that a logsource is about."""
    product, category, service = (part.lower() if part else None for part in (product, category, service))
    starred = next((part for part in (product, category, service) if part and "*" in part), None)
    if starred:
        raise RuleRefusedError(f"found logsource {starred!r}; name one, or leave the key out where any will do")
    if product != "miniprogram" and category is not None and category in WEB_DATASETS:
        return (WEB_DATASETS[category],)
    part = service or category if product == "miniprogram" else category or service
    if product and part:
        dataset = f"{product}.{part}"
        if product == "miniprogram" and dataset not in DATASETS:
            names = ", ".join(name.partition(".")[2] for name in DATASETS)
            raise RuleRefusedError(f"found logsource service {part!r} of product miniprogram; use one of: {names}")
        return (dataset,)
    return (f"{product}.*",) if product else (f"*.{part}",)


def covers(pattern: str, dataset: str) -> bool:
    """Whether a dataset is one of those a pattern means."""
    if pattern.endswith(".*"):
        return dataset.startswith(pattern[:-1])
    if pattern.startswith("*."):
        return dataset.endswith(pattern[1:])
    return dataset == pattern


def field_names(category: str | None) -> Mapping[str, str]:
    """What the names a rule of this category uses are called in events."""
    return WEB_FIELDS if category and category.lower() in WEB_DATASETS else MappingProxyType({})


def column_of(field: str) -> str:
    """The column that carries a field: itself, or the JSON text it is read from."""
    return ARGUMENTS if field.startswith(ARGUMENTS + ".") else field


def is_field(name: str) -> bool:
    """Whether a column can be called so: Polars takes some names for patterns, Arrow none with a NUL."""
    return name not in ("", "*") and not (name.startswith("^") and name.endswith("$")) and "\0" not in name


def is_time(field: str) -> bool:
    return kind_of(field) is Kind.TIME
