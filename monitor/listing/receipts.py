"""What enforcers have been told of a decision, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.moments import stamp
from monitor.stores.record import Delivery


def receipts_told(deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    """What enforcers have been told of a decision, for programs."""
    return [
        {
            "enforcer": each.message.channel.partition(":")[2],
            "told": told_word(each),
            "state": each.state.value,
            "attempts": each.attempts,
            "sent": stamp(each.sent) if each.sent else None,
            "receipt": each.receipt,
            "error": each.last_error,
        }
        for each in deliveries
    ]


def told_word(delivery: Delivery) -> str:
    """What the message says of the decision: its state then, which is the part of the key after the id."""
    rest = delivery.message.key.removeprefix(f"{delivery.message.channel}:{delivery.message.about}:")
    return rest.partition(":")[0]
