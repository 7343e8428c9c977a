"""Who meets whom: pairs of a subject and an id that events show, as rows of numbers.

A pair's key has 37 bits of the subject, three of the relation and 24 of the id. So the pairs of a subject lie together when keys are
in order, and the smallest keys of too many are whole subjects, and of one subject a sample of its ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.finding import Scope
from detectors.statistical.hashes import ACTION, APP, among
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, merged_as

Array = npt.NDArray[Any]

ALL, REFUSED, SMALL = 0, 1, 2
"""What of a subject's ids is counted: all of them, those that mostly failed, those of payers of small amounts."""

ID_BITS: Final = 24
RELATION_BITS: Final = 3
OWN_BITS: Final = ID_BITS + RELATION_BITS


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of subject with one kind of id."""

    scope: Scope
    subject: str
    id: str
    measures: tuple[str, ...]  # what is counted, in words: all, refused, small
    behaviour: int
    beside: str = "miniprogram.app_id"


ADDRESS_PEOPLE, DEVICE_PEOPLE, PERSON_ADDRESSES, DEVICE_PAYERS, ADDRESS_PAYERS = range(5)
PERSON_OWNERS, PERSON_RESOURCES, APP_PEOPLE = range(5, 8)

_PEOPLE: Final = ("people at login", "people refused at login")
_PAYERS: Final = ("payers", "payers declined", "payers of small amounts")

RELATIONS: Final = (
    Relation(Scope.ADDRESS, "source.ip", "user.id", _PEOPLE, 8),
    Relation(Scope.DEVICE, "device.id", "user.id", _PEOPLE, 8),
    Relation(Scope.USER, "user.id", "source.ip", ("addresses at login", "addresses refused at login"), 8),
    Relation(Scope.DEVICE, "device.id", "payment.payer_id", _PAYERS, 12),
    Relation(Scope.ADDRESS, "source.ip", "payment.payer_id", _PAYERS, 12),
    Relation(Scope.USER, "user.id", "resource.owner_id", ("owners", "owners refused"), 10),
    Relation(Scope.USER, "user.id", "resource.id", ("resources", "resources refused"), 10),
    Relation(Scope.APP, "miniprogram.app_id", "user.id", _PEOPLE, 8, "miniprogram.developer_id"),
)
"""By the number that stands in keys."""

WITHIN_APPS: Final = (PERSON_OWNERS, PERSON_RESOURCES)
"""Relations whose population is that of one app: in some, everybody reads what others own."""

AT_LOGIN: Final = (ADDRESS_PEOPLE, DEVICE_PEOPLE, PERSON_ADDRESSES, APP_PEOPLE)
SHARED: Final = (ADDRESS_PEOPLE, ADDRESS_PAYERS)
"""Relations in which many say nothing unless they fail: offices and carriers have thousands on an address."""

LOGINS: Final = frozenset({"login", "code2Session"})
CANCELLED: Final = "-2"
"""Error code of a payment that the person called off."""

UNPAID: Final = 2**62
"""Instead of an amount, where there is none."""

FAILURE_MIN: Final = 400
"""HTTP status."""

NEEDS: Final = frozenset(
    {
        *(name for one in RELATIONS for name in (one.subject, one.id, one.beside)),
        *("event.action", "event.outcome", "error.code", "http.response.status_code", "payment.amount"),
    }
)

PAIRS: Final[dict[str, Merging]] = {
    "app": "min",  # hash of the app
    "n": "sum",  # events
    "failed": "sum",
    "least": "min",  # amount that was paid, or `UNPAID`
    "foreign": "max",  # 0 where the id is the subject itself
}
"""Columns of a pair beside its key and group."""

NAMED: Final[dict[str, Merging]] = {"name": "first", "beside": "max"}
"""Columns of a subject: its value, and the app or owner that stand beside it."""


def pairs(rows: pl.DataFrame) -> pl.DataFrame | None:
    """The pairs that rows of a batch show, by window, each once; None where there are none."""
    wanted = among(rows[ACTION].to_numpy(), LOGINS)
    for name in ("payment.payer_id", "resource.id", "resource.owner_id"):
        if rows[name].null_count() < rows.height:
            wanted |= rows[name].is_not_null().to_numpy()
    if not wanted.any():
        return None
    some = rows.select(WINDOW, APP, *sorted(NEEDS)).filter(pl.Series(wanted))
    pays = pl.col("payment.payer_id").is_not_null()
    code = pl.col("error.code")
    failed = (
        (pl.col("event.outcome") == "failure").fill_null(value=False)
        | (code.is_not_null() & (code != "0"))
        | (pl.col("http.response.status_code").cast(pl.Int64) >= FAILURE_MIN).fill_null(value=False)
    ) & ~(pays & (code == CANCELLED).fill_null(value=False))
    values = sorted({name for one in RELATIONS[:APP_PEOPLE] for name in (one.subject, one.id)})
    seen = some.select(
        WINDOW,
        pl.col(APP).alias("miniprogram.app_id"),
        *(pl.col(name).hash() for name in values),
        *(pl.col(name).is_not_null().alias(f"has {name}") for name in (*values, "miniprogram.app_id")),
        failed=failed.cast(pl.Int64),
        login=pl.col("event.action").is_in(LOGINS).fill_null(value=False),
        amount=pl.col("payment.amount").cast(pl.Int64).fill_null(UNPAID),
        foreign=(pl.col("resource.owner_id") != pl.col("user.id")).fill_null(value=True).cast(pl.Int64),
    )
    array = {name: seen[name].to_numpy() for name in seen.columns}
    places = [_where(array, number) for number in range(len(RELATIONS))]
    if not any(map(len, places)):
        return None
    of_pair = merged_as({GROUP: "min", **PAIRS, **NAMED})
    return _of(some, array, places).group_by(WINDOW, KEY).agg(of_pair)


def _where(array: Mapping[str, Array], number: int) -> Array:
    """The rows that show a relation."""
    one = RELATIONS[number]
    both = array[f"has {one.subject}"] & array[f"has {one.id}"]
    return np.flatnonzero(both & array["login"] if number in AT_LOGIN else both)


def _of(some: pl.DataFrame, array: Mapping[str, Array], places: Sequence[Array]) -> pl.DataFrame:
    """Rows as pairs, one relation after the other."""
    at = np.concatenate(places)
    number = np.repeat(np.arange(len(RELATIONS)), [len(one) for one in places]).astype(np.uint64)
    told = [(RELATIONS[which], one) for which, one in enumerate(places) if len(one)]
    subject = np.concatenate([array[one.subject][rows] for one, rows in told])
    subject = np.where(number == APP_PEOPLE, _first_of_all(subject), subject)
    ids = np.concatenate([array[one.id][rows] for one, rows in told])
    key = (subject >> np.uint64(OWN_BITS) << np.uint64(OWN_BITS)) | (number << np.uint64(ID_BITS)) | (ids >> np.uint64(64 - ID_BITS))  # fmt: skip
    app = array["miniprogram.app_id"][at]
    within = (number == PERSON_OWNERS) | (number == PERSON_RESOURCES)
    pays = (number == DEVICE_PAYERS) | (number == ADDRESS_PAYERS)
    return pl.DataFrame(
        {
            WINDOW: array[WINDOW][at],
            KEY: key,
            GROUP: (app >> np.uint64(RELATION_BITS) << np.uint64(RELATION_BITS)) | number,
            "app": app,
            "n": np.ones(len(at), np.int64),
            "failed": array["failed"][at],
            "least": np.where(pays, array["amount"][at], UNPAID),
            "foreign": np.where(within, array["foreign"][at], 1),
            "name": _gathered(some, [one.subject for one in RELATIONS], number, at),
            "beside": _beside(some, number, at),
        }
    )


def _beside(some: pl.DataFrame, number: Array, at: Array) -> pl.Series:
    """What stands beside a subject: an app where it is of one, an app's owner. The last relations have such, others none."""
    first = int(np.searchsorted(number, PERSON_OWNERS))
    none = pl.Series([None], dtype=pl.String).new_from_index(0, first)
    return pl.concat([none, _gathered(some, [one.beside for one in RELATIONS], number[first:], at[first:])])


def _gathered(some: pl.DataFrame, fields: Sequence[str], number: Array, at: Array) -> pl.Series:
    """Of each pair the value of its relation's field; all at once, for that is several times quicker."""
    stacked = list(dict.fromkeys(fields))
    first = np.array([stacked.index(name) * some.height for name in fields])
    return pl.DataFrame({"value": pl.concat([some[name] for name in stacked], rechunk=True)})[first[number] + at][
        "value"
    ]


def subjects_of(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The subjects (with their relations) of pairs."""
    return keys >> np.uint64(ID_BITS)


def relations_of(subjects: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The numbers of subjects' relations."""
    return (subjects & np.uint64(2**RELATION_BITS - 1)).astype(np.int64)


def app_keys(apps: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The smallest keys of what apps with these hashes meet."""
    return (_first_of_all(apps) >> np.uint64(OWN_BITS) << np.uint64(OWN_BITS)) | np.uint64(APP_PEOPLE << ID_BITS)


def _first_of_all(apps: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The smallest subjects: apps are never left out."""
    return apps >> np.uint64(4)


def begins(subjects: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where each subject begins, in the order of keys."""
    return np.flatnonzero(np.concatenate([[True], subjects[1:] != subjects[:-1]]))


def places_within(starts: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Of each pair, how many of its subject stand before it."""
    sizes = np.diff(np.append(starts, count))
    return np.arange(count) - np.repeat(starts, sizes)
