"""Looks for all literals of a column at once: which questions some literal of theirs answers, in which texts.

A question is a predicate that compares text with literals: is, starts with, ends with, contains. However many there are, each
text is walked once: by the kernel's automaton, or by that of Polars where there is no kernel; both find the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors import kernel
from detectors.sigma.condition import Op, Predicate, fold
from detectors.sigma.distinct import views_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Integers = npt.NDArray[np.int64]

PLACES: Final = {Op.CONTAINS: 0, Op.STARTS: 1, Op.ENDS: 2, Op.EQUAL: 3}
"""The operations that are questions here, and the kernel's number for where their literals stand."""


def required(predicate: Predicate) -> Predicate | None:
    """A question about literals that is answered yes by every text that some pattern of a predicate matches, if one is known.

    The kernel reads the patterns as the engine does that runs them; without it none is known, and rules run on more rows.
    """
    if not kernel.available():
        return None
    found = [kernel.module.required_literals(str(pattern)) for pattern in predicate.operands]
    if not all(found):
        return None
    literals = {literal for some in found for literal in some}
    return Predicate(predicate.field, Op.CONTAINS, tuple(sorted(literals)))


@dataclass(frozen=True, slots=True)
class Hits:
    """The texts of each question: those of the question at place *n* stand from ``ends[n]`` to ``ends[n + 1]``."""

    ends: Integers
    texts: Integers

    def of(self, place: int) -> Integers:
        return self.texts[self.ends[place] : self.ends[place + 1]]


class Literals:
    """The literals of some questions about one column; all compare case, or none does."""

    def __init__(self, questions: Sequence[Predicate], *, cased: bool) -> None:
        self._size = len(questions)
        self._cased = cased
        self._asked = [
            (str(operand), place, PLACES[question.op])
            for place, question in enumerate(questions)
            for operand in question.operands
        ]
        self._kernel: Any = None
        if kernel.available():
            asked = [(text.encode(), place, where) for text, place, where in self._asked]
            self._kernel = kernel.module.Literals(asked, self._size, not cased)
        self._frame = pl.DataFrame(self._asked, schema=["literal", "question", "where"], orient="row")

    def hits(self, texts: pl.Series) -> Hits:
        """Where the literals stand; a text that is missing holds none."""
        views = views_of(texts) if self._kernel is not None else None
        if views is None:
            return self.by_polars(texts)
        ends, found, others = self._kernel.search(*views, not self._cased)
        hits = Hits(np.frombuffer(ends, np.int64), np.frombuffer(found, np.uint32).astype(np.int64))
        if not others:
            return hits
        # Texts beyond ASCII are folded as everywhere else, and then compared as they stand.
        at = np.frombuffer(others, np.uint32).astype(np.int64)
        folded = _folded(texts[pl.Series(at, dtype=pl.UInt32)])
        views = views_of(folded)
        if views is None:
            return self.by_polars(texts)
        ends, found, _ = self._kernel.search(*views, False)
        return _together(hits, Hits(np.frombuffer(ends, np.int64), at[np.frombuffer(found, np.uint32)]))

    def by_polars(self, texts: pl.Series) -> Hits:
        """The same without the kernel."""
        column = (texts if self._cased else _folded(texts)).rename("text")
        frame = pl.DataFrame({"text": column}).with_row_index("row")
        anywhere = self._frame.filter(pl.col("where") != PLACES[Op.EQUAL], pl.col("literal") != "")
        pairs = [_whole(frame, self._frame)]
        if anywhere.height:
            literals = anywhere["literal"].unique()
            found = frame.select(
                "row", "text", literal=pl.col("text").str.extract_many(literals.implode(), overlapping=True)
            )
            found = found.explode("literal").drop_nulls("literal").unique(["row", "literal"])
            stands = (
                pl.when(pl.col("where") == PLACES[Op.STARTS])
                .then(pl.col("text").str.starts_with(pl.col("literal")))
                .when(pl.col("where") == PLACES[Op.ENDS])
                .then(pl.col("text").str.ends_with(pl.col("literal")))
                .otherwise(pl.lit(value=True))
            )
            pairs.append(found.join(anywhere, on="literal").filter(stands).select("question", "row"))
        unique = pl.concat(pairs).unique().sort("question", "row")
        counts = np.bincount(unique["question"].to_numpy(), minlength=self._size)
        return Hits(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), unique["row"].to_numpy().astype(np.int64)
        )


def _whole(frame: pl.DataFrame, literals: pl.DataFrame) -> pl.DataFrame:
    """The pairs of question and row where the literal is the whole text."""
    whole = literals.filter((pl.col("where") == PLACES[Op.EQUAL]) | (pl.col("literal") == ""))
    return frame.join(whole, left_on="text", right_on="literal").select("question", "row")


def _folded(texts: pl.Series) -> pl.Series:
    return pl.DataFrame({"text": texts}).select(fold(pl.col("text"))).to_series()


def _together(first: Hits, second: Hits) -> Hits:
    """The texts of both, in order."""
    questions = np.concatenate(
        [np.repeat(np.arange(len(hits.ends) - 1), np.diff(hits.ends)) for hits in (first, second)]
    )
    texts = np.concatenate([first.texts, second.texts])
    order = np.lexsort((texts, questions))
    return Hits(first.ends + second.ends, texts[order])
