"""Who carries what is in the outbox, by channel: made of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from monitor.config import Config, Problem
from monitor.config.receivers import EnforcerKeys, PatientKeys, WebhookKeys, is_overheard
from monitor.enforcers import CHANNEL
from monitor.notifiers import Notifier, NotifierError, Patience
from monitor.notifiers.alertmanager import Member
from monitor.notifiers.apprise import Apprise, refuse_useless
from monitor.notifiers.channels import ALERTMANAGER, APPRISE, PAGERDUTY, WEBHOOK
from monitor.notifiers.pagerduty import PagerDuty
from monitor.notifiers.webhook import Webhook


def carriers_of(config: Config, clock: Callable[[], int]) -> dict[str, Notifier]:
    """All carriers of a configuration."""
    enforcers = {f"{CHANNEL}:{keys.name}": _webhook(keys, clock, at_once=keys.at_once) for keys in config.enforcers}
    return people_told_of(config, clock) | enforcers


def people_told_of(config: Config, clock: Callable[[], int]) -> dict[str, Notifier]:
    """Those who carry alerts to people."""
    found: dict[str, Notifier] = {
        f"{WEBHOOK}:{keys.name}": _webhook(keys, clock, outlives_mistakes=True) for keys in config.webhooks
    }
    for pager in config.pagerduty:
        found[f"{PAGERDUTY}:{pager.name}"] = PagerDuty(
            pager.url,
            _revealed(pager.routing_key),
            clock,
            timeout_s=pager.timeout_s,
            patience=_patience(pager),
            ca_file=pager.ca_file,
        )
    for chat in config.apprise:
        found[f"{APPRISE}:{chat.name}"] = Apprise(
            _revealed(chat.target), timeout_s=chat.timeout_s, patience=_patience(chat)
        )
    return found | members_of(config, clock)


def unreached(config: Config) -> Iterator[Problem]:
    """Channels to people that lack what it takes to tell anybody anything, whoever listens there."""
    for number, pager in enumerate(config.pagerduty):
        if pager.routing_key is None:
            place, remedy = (
                f"pagerduty[{number}].routing_key_file",
                "name the file in which the integration's key stands",
            )
            yield Problem(place, f"no routing key for {pager.name}", "a key, without which nothing is taken", remedy)
    for number, chat in enumerate(config.apprise):
        try:
            refuse_useless(_revealed(chat.target))
        except NotifierError as error:
            place, remedy = f"apprise[{number}].target_file", "see docs/oncall.md, Who is told"
            yield Problem(place, f"{chat.name}: {error}", "one address that Apprise carries to", remedy)
    for number, cluster in enumerate(config.alertmanagers):
        if cluster.username and cluster.password is None:
            place, remedy = f"alertmanagers[{number}].password_file", "name its file, or leave username out"
            yield Problem(place, f"no password for {cluster.username}", "the password of this user", remedy)


def overheard(config: Config) -> Iterator[tuple[str, str]]:
    """Where what is told is not encrypted on its way to another machine: the place in the configuration, and the machine."""
    told: dict[str, list[tuple[str, ...]]] = {
        "webhooks": [(keys.url,) for keys in config.webhooks],
        "pagerduty": [(keys.url,) for keys in config.pagerduty],
        "alertmanagers": [keys.urls for keys in config.alertmanagers],
        "enforcers": [(keys.url,) for keys in config.enforcers],
    }
    places = [(f"{kind}[{number}]", urls) for kind, each in told.items() for number, urls in enumerate(each)]
    for place, urls in (*places, ("elasticsearch", config.elasticsearch.urls)):
        for url in urls:
            if is_overheard(url):
                yield f"{place}.plain_http", urlsplit(url).netloc


def members_of(config: Config, clock: Callable[[], int]) -> dict[str, Member]:
    """The members of all Alertmanager clusters."""
    return {
        f"{ALERTMANAGER}:{keys.name}:{number}": Member(
            url,
            clock,
            username=keys.username,
            password=_revealed(keys.password) or "",
            timeout_s=keys.timeout_s,
            hold_s=keys.hold_s,
            patience=_patience(keys),
            ca_file=keys.ca_file,
        )
        for keys in config.alertmanagers
        for number, url in enumerate(keys.urls, 1)
    }


def _webhook(
    keys: WebhookKeys | EnforcerKeys, clock: Callable[[], int], *, at_once: int = 1, outlives_mistakes: bool = False
) -> Notifier:
    secret = keys.secret.get_secret_value().encode() if keys.secret is not None else None
    return Webhook(
        keys.url,
        secret,
        clock,
        timeout_s=keys.timeout_s,
        patience=_patience(keys),
        at_once=at_once,
        outlives_mistakes=outlives_mistakes,
        ca_file=keys.ca_file,
    )


def _patience(keys: PatientKeys) -> Patience:
    return Patience(attempts_max=keys.attempts_max, backoff_s_min=keys.backoff_s_min, backoff_s_max=keys.backoff_s_max)


def _revealed(secret: Any) -> str | None:
    """The text of a secret; None where there is none."""
    return None if secret is None else str(secret.get_secret_value())
