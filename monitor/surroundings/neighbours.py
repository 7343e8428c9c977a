"""Who stands behind an address: how many different people and apps were seen from it lately, about, in bounded memory.

Every address has two places in tables of 131,072 (by two hashes), and in each a word of 32 bits for people and one for apps; whoever is seen sets one
bit of them. What both places have in common is the address's own, and now and then a bit of others: where very many addresses are seen, each seems to have
more behind it than it has, which errs towards sparing it. Words are kept for the present twelve hours of event time and those before.

What is seen waits until its moment has passed (`news`). A bit of a word is a mark, in the era of its generation: what one memory has taken up,
another can hear, and of several streams those who have heard of all know what one that saw all would know.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

import numpy as np
import polars as pl

from detectors.finding import Entity, Scope
from monitor.surroundings.news import Groups, Waiting, by_era, grouped, moments_of
from monitor.surroundings.passers import ADDRESS_SEED, Passers
from playbooks.surroundings import Behind

PLACES: Final = 131_072
GENERATION_US: Final = 12 * 3_600_000_000
RANGE_ADDRESSES_MAX: Final = 256
"""Ranges of more addresses are taken to have one person behind each."""

WORD_BITS: Final = 32
_NONE: Final = -1
WAITING: Final = "neighbours_waiting"
"""The frame of a snapshot that holds what waits for its moment."""

Array = np.ndarray[Any, Any]


class Neighbours:
    """The words of two generations, and what waits for its moment; the answer does not depend on how the stream is cut."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._words = np.zeros((2, 2, 2, PLACES), np.uint32)  # generation, people or apps, first or second place
        self._generations = [_NONE, _NONE]
        self.waiting = Waiting()

    def observe(self, seen: Passers) -> None:
        """Remember who was seen from where, each for the first time; it counts once its moment has passed."""
        generations = seen.time // GENERATION_US
        moments = moments_of(seen.mark)
        for generation in np.unique(generations).tolist():
            place = generation % 2
            is_known = self._generations[place] == generation
            if not is_known and self._is_past(generation):
                continue
            there = (generations == generation) & (seen.address != 0)
            rows, marks = self._unknown(seen, there, place if is_known else None)
            self.waiting.add(grouped(generation, moments, rows, marks))

    def _unknown(self, seen: Passers, there: Array, place: int | None) -> tuple[Array, Array]:
        """The rows that set bits, and which; all do in a generation that has no words yet."""
        where = None if there.all() else np.flatnonzero(there)
        places = _places(_those(seen.address, where))
        rows, marks = [], []
        for kind, hashes in enumerate((_those(seen.person, where), _those(seen.app, where))):
            number = (hashes & np.uint64(WORD_BITS - 1)).astype(np.uint32)
            bits = np.uint32(1) << number
            bits[hashes == 0] = 0
            for side, at in enumerate(places):
                missing = bits if place is None else ~self._words[place, kind, side].take(at) & bits
                fresh = np.flatnonzero(missing)  # most are set already, which is cheaper told
                rows.append(fresh if where is None else where[fresh])
                marks.append(((kind * 2 + side) * PLACES + at[fresh]) * WORD_BITS + number[fresh])
        return np.concatenate(rows), np.concatenate(marks)

    def hear(self, groups: Groups | None) -> None:
        """What another memory has taken up."""
        self.waiting.add(groups)

    def settle(self, moment: int | None = None) -> None:
        """Take up what came before a moment, or all: none of that will come any more."""
        for generation, marks in by_era(self.waiting.take(moment)):
            place = self._place(generation)
            if place is not None:
                bits = np.uint32(1) << (marks % np.uint32(WORD_BITS))
                np.bitwise_or.at(self._words[place].reshape(-1), marks // WORD_BITS, bits)

    def merge(self, other: Neighbours) -> None:
        """Take up all that another has taken up."""
        for generation in sorted(set(other._generations) - {_NONE}):
            place = self._place(generation)
            if place is not None:
                self._words[place] |= other._words[generation % 2]

    def behind(self, entity: Entity) -> Behind:
        """How many stand behind an address or range by what was taken up; nobody is known to stand behind anything else."""
        try:
            network = ip_network(entity.value, strict=False)
        except ValueError:
            return Behind()
        if entity.scope not in {Scope.ADDRESS, Scope.RANGE}:
            return Behind()
        if network.num_addresses > RANGE_ADDRESSES_MAX:
            return Behind(people=network.num_addresses)
        names = [entity.value] if entity.scope is Scope.ADDRESS else _addresses(network)
        first, second = _places(pl.Series(names, dtype=pl.String).hash(ADDRESS_SEED).to_numpy())
        words = self._words[:, :, 0, :][:, :, first] & self._words[:, :, 1, :][:, :, second]
        people, apps = np.bitwise_or.reduce(np.bitwise_or.reduce(words, axis=0), axis=1)
        return Behind(people=_estimate(int(people)), apps=_estimate(int(apps)))

    def _is_past(self, generation: int) -> bool:
        """Whether its words were given up for later ones."""
        return self._generations[generation % 2] > generation or max(self._generations) > generation + 1

    def _place(self, generation: int) -> int | None:
        """Where a generation's words stand; None when it is older than those that are kept."""
        if self._is_past(generation):
            return None
        place = generation % 2
        if self._generations[place] < generation:
            self._generations[place] = generation
            self._words[place] = 0
            if self._generations[1 - place] < generation - 1:
                self._generations[1 - place] = _NONE
                self._words[1 - place] = 0
        return place

    def snapshot(self) -> dict[str, pl.DataFrame]:
        columns = {
            f"{generation}{kind}{place}": self._words[generation, kind, place]
            for generation in (0, 1)
            for kind in (0, 1)
            for place in (0, 1)
        }
        generations = pl.DataFrame({"generation": self._generations}, schema={"generation": pl.Int64})
        return {
            "neighbours": pl.DataFrame(columns),
            "neighbours_generations": generations,
            WAITING: self.waiting.snapshot(),
        }

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up a snapshot in place of all; one of an earlier version of the program has none of this, and counting begins anew."""
        self._clear()
        if "neighbours" not in state:
            return
        words = [column.to_numpy() for column in state["neighbours"].iter_columns()]
        self._words = np.stack(words).reshape(self._words.shape).astype(np.uint32)
        self._generations = state["neighbours_generations"]["generation"].to_list()
        if WAITING in state:
            self.waiting.restore(state[WAITING])


def _places(hashes: Array) -> tuple[Array, Array]:
    """The two places of each address."""
    mask = np.uint64(PLACES - 1)
    return (hashes & mask).astype(np.intp), ((hashes >> np.uint64(32)) & mask).astype(np.intp)


def _those(values: Array, where: Array | None) -> Array:
    """The values there; whole where it is all of them, which costs no copy."""
    return values if where is None else values[where]


def _addresses(network: IPv4Network | IPv6Network) -> list[str]:
    return [str(address) for address in network]


def _estimate(word: int) -> int:
    """How many different ones have set these bits, about."""
    empty = WORD_BITS - word.bit_count()
    return round(WORD_BITS * float(np.log(WORD_BITS / max(empty, 0.5))))
