"""The words that channels of the outbox begin with, by who carries what is in them."""

from __future__ import annotations

from typing import Final

WEBHOOK: Final = "webhook"
PAGERDUTY: Final = "pagerduty"
ALERTMANAGER: Final = "alertmanager"
APPRISE: Final = "apprise"

KINDS: Final = (WEBHOOK, PAGERDUTY, ALERTMANAGER, APPRISE)

KEEPS_ALERTS: Final = frozenset({PAGERDUTY, ALERTMANAGER})
"""Who keep an alert for every incident and episode, and must be told when one is over."""
