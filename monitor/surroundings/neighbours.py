"""Who stands behind an address: how many different people and apps were seen from it lately, about, in bounded memory.

Every address has two places in tables of 131,072 (by two hashes), and in each a word of 32 bits for people and one for apps; whoever is seen sets one
bit of them. What both places have in common is the address's own, and now and then a bit of others: where very many addresses are seen, each seems to have
more behind it than it has, which errs towards sparing it. Words are kept for the present twelve hours of event time and those before.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

import numpy as np
import polars as pl

from detectors.finding import Entity, Scope
from monitor.surroundings.passers import ADDRESS_SEED, Passers
from playbooks.surroundings import Behind

PLACES: Final = 131_072
GENERATION_US: Final = 12 * 3_600_000_000
RANGE_ADDRESSES_MAX: Final = 256
"""Ranges of more addresses are taken to have one person behind each."""

WORD_BITS: Final = 32
_NONE: Final = -1

Array = np.ndarray[Any, Any]


class Neighbours:
    """The words of two generations; the answer does not depend on the order of events, nor on how the stream is cut."""

    def __init__(self) -> None:
        self._words = np.zeros((2, 2, 2, PLACES), np.uint32)  # generation, people or apps, first or second place
        self._generations = [_NONE, _NONE]

    def observe(self, seen: Passers) -> None:
        """Remember who was seen from where."""
        generations = seen.time // GENERATION_US
        for generation in np.unique(generations).tolist():
            place = self._place(generation)
            if place is None:
                continue
            there = (generations == generation) & (seen.address != 0)
            places = _places(_those(seen.address, there))
            for kind, hashes in enumerate((seen.person, seen.app)):
                _set(self._words[place, kind], places, _those(hashes, there))

    def behind(self, entity: Entity) -> Behind:
        """How many stand behind an address or range; nobody is known to stand behind anything else."""
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

    def _place(self, generation: int) -> int | None:
        """Where a generation's words stand; None when it is older than those that are kept."""
        place = generation % 2
        if self._generations[place] < generation:
            if max(self._generations) > generation + 1:
                return None
            self._generations[place] = generation
            self._words[place] = 0
            if self._generations[1 - place] < generation - 1:
                self._generations[1 - place] = _NONE
                self._words[1 - place] = 0
        return place if self._generations[place] == generation else None

    def snapshot(self) -> dict[str, pl.DataFrame]:
        columns = {
            f"{generation}{kind}{place}": self._words[generation, kind, place]
            for generation in (0, 1)
            for kind in (0, 1)
            for place in (0, 1)
        }
        generations = pl.DataFrame({"generation": self._generations}, schema={"generation": pl.Int64})
        return {"neighbours": pl.DataFrame(columns), "neighbours_generations": generations}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up a snapshot; one of an earlier version of the program has none of this, and counting begins anew."""
        if "neighbours" not in state:
            return
        words = [column.to_numpy() for column in state["neighbours"].iter_columns()]
        self._words = np.stack(words).reshape(self._words.shape).astype(np.uint32)
        self._generations = state["neighbours_generations"]["generation"].to_list()


def _places(hashes: Array) -> tuple[Array, Array]:
    """The two places of each address."""
    mask = np.uint64(PLACES - 1)
    return (hashes & mask).astype(np.intp), ((hashes >> np.uint64(32)) & mask).astype(np.intp)


def _set(words: Array, places: tuple[Array, Array], hashes: Array) -> None:
    """Set each one's bit in both words of the address. Most are set already, which is cheaper told; 0 is nobody."""
    bits = np.uint32(1) << (hashes & np.uint64(WORD_BITS - 1)).astype(np.uint32)
    bits[hashes == 0] = 0
    for place, at in enumerate(places):
        fresh = np.flatnonzero(~words[place].take(at) & bits)
        np.bitwise_or.at(words[place], at[fresh], bits[fresh])


def _those(values: Array, there: Array) -> Array:
    """The values there; whole where it is all of them, which costs no copy."""
    return values if there.all() else values[there]


def _addresses(network: IPv4Network | IPv6Network) -> list[str]:
    return [str(address) for address in network]


def _estimate(word: int) -> int:
    """How many different ones have set these bits, about."""
    empty = WORD_BITS - word.bit_count()
    return round(WORD_BITS * float(np.log(WORD_BITS / max(empty, 0.5))))
