"""The dialect of regular expressions that rules are read in: the one that will run them, so that none fails later."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, cast

import polars as pl
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine, RegexPattern

REGEX_CHARACTERS_MAX: Final = 2_000
"""Length of a regular expression."""


_HEAVY: Final = dict.fromkeys("wWpPbB", 100) | dict.fromkeys("dDsS", 10)
"""What a class of Unicode weighs; a letter weighs 1."""


class PatternError(ValueError):
    """A regular expression that cannot be run."""


def weight_of(pattern: str) -> int:
    """What a regular expression becomes with its repetitions written out, roughly: 100,000 take a second to build.

    A pattern that is not well formed has some weight too; whether it is, others find out.
    """
    weights, last, place = [0], 0, 0
    while place < len(pattern):
        letter = pattern[place]
        place += 1
        if letter == "\\":
            last = _HEAVY.get(pattern[place : place + 1], 1)
            place += 1
        elif letter in "([":
            weights.append(0)
            continue
        elif letter in ")]" and len(weights) > 1:
            last = weights.pop()
        elif letter == "{" and (counts := _COUNTS.match(pattern, place)):
            weights[-1] += last * (int(counts[2] or counts[1]) - 1)
            last *= int(counts[2] or counts[1])
            place = counts.end()
            continue
        else:
            last = 5 if letter == "." else 1
        weights[-1] += last
    return sum(weights)


@lru_cache(maxsize=4096)
def check_pattern(pattern: str) -> None:
    """Raises `PatternError` when the pattern is too long, does not compile or grows too large."""
    if len(pattern) > REGEX_CHARACTERS_MAX:
        raise PatternError(f"found a regular expression of {len(pattern)} characters; at most {REGEX_CHARACTERS_MAX}")
    try:
        pl.Series([""], dtype=pl.String).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        reason = " ".join(str(error).split()).partition("This error occurred")[0]
        raise PatternError(
            f"{reason[:300]}(the dialect is that of Rust: no look-around, no back-references)"
        ) from error


_COUNTS: Final = re.compile(r"(\d{1,6})(?:,(\d{0,6}))?\}")


class _RustDialect(RegexEngine):
    """Lets pySigma judge patterns by our engine, which runs in linear time whatever the text."""

    def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
        letters = "".join(
            letter for letter, flag in (("i", re.IGNORECASE), ("m", re.MULTILINE), ("s", re.DOTALL)) if flags & flag
        )
        check_pattern(f"(?{letters}){pattern}" if letters else pattern)
        return cast("RegexPattern", re.compile(""))  # only asked for to see whether it compiles

    @property
    def error(self) -> type[Exception]:
        return PatternError


POLICY: Final = SigmaPolicy(regex_engine=_RustDialect())
