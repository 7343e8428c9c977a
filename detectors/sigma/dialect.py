"""The dialect of regular expressions that rules are read in: the one that will run them, so that none fails later."""

from __future__ import annotations

import re
from typing import Final, cast

import polars as pl
from sigma.policy import SigmaPolicy
from sigma.policy.regex_engine import RegexEngine, RegexPattern

REGEX_CHARACTERS_MAX: Final = 2_000
"""Length of a regular expression."""


class PatternError(ValueError):
    """A regular expression that cannot be run."""


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
