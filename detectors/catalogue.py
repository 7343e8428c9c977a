"""What is publicly known about the platform's APIs: which names exist, which were retired, what they need and touch.

The facts are data (`catalogue.json`: names from the platform's published typings; scopes and kinds of personal data from
its documentation). Rules see them as columns: ``catalogue.known``, ``catalogue.retired``, ``catalogue.scope``,
``catalogue.privacy``, looked up once per distinct API name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import polars as pl

from detectors.sigma.distinct import distinct

COLUMNS: Final = {
    "catalogue.known": pl.Boolean(),
    "catalogue.retired": pl.Boolean(),
    "catalogue.scope": pl.String(),
    "catalogue.privacy": pl.String(),
}
"""Columns that `Catalogue.lookup` gives; all null where no API was called."""

NAME_CHARACTERS_MAX: Final = 512
"""A longer API name is nobody's, and not looked at further."""


class Catalogue(msgspec.Struct, frozen=True, rename={"beside": "beside_typings"}):
    """The facts. A chained call (``getFileSystemManager().writeFile``) is known when its first name is.

    `own` are first names that a collector gives to what is the app's own: page components, bundled packages, tasks.
    `beside` are published names that the typings lack. `scopes` and `privacy` map a scope or kind of personal data to the
    calls that need or touch it; a first name there stands for all calls chained to it.
    """

    source: str
    own: tuple[str, ...]
    retired: frozenset[str]
    beside: frozenset[str]
    scopes: Mapping[str, tuple[str, ...]]
    privacy: Mapping[str, tuple[str, ...]]
    names: frozenset[str]

    def lookup(self, names: pl.Series) -> pl.DataFrame:
        """What is known about each name, row by row."""
        values, places = distinct(names)
        scope_of, privacy_of = _calls(self.scopes), _calls(self.privacy)
        facts = [self._facts(name, scope_of, privacy_of) for name in values.to_list()]
        of_none = (None, None, None, None)
        return pl.DataFrame([*facts, of_none], schema=COLUMNS, orient="row")[places]

    def _facts(
        self, name: str, scope_of: Mapping[str, str], privacy_of: Mapping[str, str]
    ) -> tuple[bool, bool, str | None, str | None]:
        if len(name) > NAME_CHARACTERS_MAX:
            return False, False, None, None
        first = first_name(name)
        is_own = first in self.own or any(own.endswith(":") and name.startswith(own) for own in self.own)
        is_retired = first in self.retired
        is_known = is_own or is_retired or first in self.names or first in self.beside
        return is_known, is_retired, _fact(name, first, scope_of), _fact(name, first, privacy_of)


def parse_catalogue(document: bytes) -> Catalogue:
    """The catalogue from its file's bytes."""
    return msgspec.json.decode(document, type=Catalogue)


def first_name(name: str) -> str:
    """``getRecorderManager().start`` begins with ``getRecorderManager``; a leading ``wx.`` is how some collectors write it."""
    plain = name.removeprefix("wx.")
    return plain.partition(".")[0].partition("(")[0]


def _calls(facts: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {call: fact for fact, calls in facts.items() for call in calls}


def _fact(name: str, first: str, facts: Mapping[str, Any]) -> str | None:
    found: str | None = facts.get(name.removeprefix("wx."), facts.get(first))
    return found
