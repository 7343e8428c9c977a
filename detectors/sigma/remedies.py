"""What to do about what pySigma says is wrong: it names the fault, and rarely what is expected instead."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from sigma.modifiers import modifier_mapping

from detectors.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

MODIFIERS: Final = tuple(sorted(modifier_mapping))
STATUSES: Final = ("stable", "test", "experimental", "deprecated", "unsupported")


def close_to(word: str, words: tuple[str, ...]) -> str:
    """The word that was meant, or all that there are."""
    near = difflib.get_close_matches(word.lower(), words, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of: {', '.join(words)}"


_REMEDIES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"Unknown modifier '(.*)'"), lambda found: close_to(found[1], MODIFIERS)),
    (
        re.compile(r"'.*' is not a valid Sigma rule level"),
        lambda _: f"use one of: {', '.join(severity.value for severity in Severity)}",
    ),
    (re.compile(r"'(.*)' is not a valid Sigma rule status"), lambda found: close_to(found[1], STATUSES)),
    (
        re.compile(r"Timespan '.*' is invalid"),
        lambda _: "write a whole number and its unit: s, m, h, d, w, M (months) or y, such as 10m",
    ),
    (
        re.compile(r"Sigma log source can't be empty"),
        lambda _: "say what it is about, such as `product: miniprogram` and `service: payment`",
    ),
)


def with_remedy(text: str) -> str:
    """What pySigma says, and what to write instead where that is known."""
    for fault, remedy in _REMEDIES:
        if (found := fault.match(text)) is not None:
            return f"{text.rstrip('.')}; {remedy(found)}"
    return text
