"""Dead letters given to the pipeline again, as a source of their own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from monitor.app import open_daemon
from monitor.cli.opening import actor
from monitor.clock import now_us
from monitor.containment import FaultWatch, contained
from monitor.content.in_force import rules_of
from monitor.decoders.combined import CombinedDecoder
from monitor.decoders.ndjson import DEAD_LETTER_BYTES_MAX, NdjsonDecoder
from monitor.door import Door
from monitor.pipeline import decoded_fields
from monitor.sources import LINES_MAX, Position, RawBatch
from monitor.telemetry import Telemetry

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.config import Config
    from monitor.decoders import Decoder
    from monitor.door import PeopleHash
    from monitor.stores.record import DeadLetterRow

CUT: Final = "only its beginning was kept; send the line again from where it came"

JUDGED_MAX: Final = 256
"""Letters that are judged together: to decode a few costs hardly more than one, and each may be long."""


class Letter(NamedTuple):
    """A dead letter with its line, and the format that the line is read in."""

    row: DeadLetterRow
    raw: bytes
    format: str


class LettersSource:
    """A `Source` of lines held in memory: some dead letters of one format, for one run."""

    def __init__(self, lines: Sequence[bytes], run: str, line_format: str) -> None:
        self.format = line_format
        self.partition = f"deadletters:{run}-{line_format}"
        self._data = b"".join(line + b"\n" for line in lines)
        self._ends = np.cumsum([len(line) + 1 for line in lines], dtype=np.int64)
        self._at = 0

    @property
    def ready(self) -> bool:
        return not self.ended

    @property
    def ended(self) -> bool:
        return self._at >= len(self._data)

    @property
    def lag_bytes(self) -> int | None:
        return len(self._data) - self._at

    @property
    def missing(self) -> str | None:
        return None

    def open(self, position: Position | None) -> None:
        self._at = position.end if position is not None else 0

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:  # noqa: ARG002 - it never has to wait
        if self.ended:
            return None
        begin = self._at
        first, beyond = np.searchsorted(self._ends, [begin, begin + bytes_max], side="right")
        # A line longer than what was asked for comes whole all the same.
        end = self._at = int(self._ends[max(min(beyond, first + lines_max) - 1, first)])
        return RawBatch(self.partition, self.format, self._data[begin:end], begin, end)

    def close(self) -> None:
        return


def admissible(
    opened: Opened, rows: Sequence[DeadLetterRow], line_format: str | None, *, hashed: bool
) -> tuple[list[Letter], list[tuple[DeadLetterRow, str]]]:
    """Which letters become events now, with their lines; and why the others do not.

    They are judged as a run does it, by decoder and door: a letter given to a run that refuses it would be there twice.
    They are read in the format given, else in the one that they were read in before.
    """
    needed = frozenset[str]().union(*(rule.needs for rule in rules_of(opened.config).rules))
    fields = decoded_fields(needed)  # what the daemon decodes: a wrong type counts only where it is looked at
    people = opened.people()
    whole: list[Letter] = []
    refused: dict[str, str] = {}
    for row in rows:
        letter = opened.store.unseal(row)
        if len(letter.raw) < letter.length:
            refused[row.id] = CUT
        else:
            whole.append(Letter(row, letter.raw, line_format or row.format))
    for each in sorted({letter.format for letter in whole}):
        decoder, door = _decoder(each, opened.config), _door(people, opened.config, hashed=hashed)
        alike = [letter for letter in whole if letter.format == each]
        for first in range(0, len(alike), JUDGED_MAX):
            refused |= _refused(alike[first : first + JUDGED_MAX], decoder, door, fields)
    fit = [letter for letter in whole if letter.row.id not in refused]
    return fit, [(row, refused[row.id]) for row in rows if row.id in refused]


def _refused(letters: Sequence[Letter], decoder: Decoder, door: Door, fields: frozenset[str]) -> dict[str, str]:
    """Why letters of one format are none that could become events, by their ids."""
    data = b"".join(letter.raw + b"\n" for letter in letters)
    lengths = [len(letter.raw) + 1 for letter in letters]
    id_at = dict(zip(accumulate(lengths, initial=0), (letter.row.id for letter in letters), strict=False))
    raw = RawBatch("deadletters:", letters[0].format, data, 0, len(data))
    admitted = contained(
        lambda part: door.admit(decoder.decode(part, fields), fields), raw, FaultWatch(), DEAD_LETTER_BYTES_MAX
    )
    return {id_at[letter.position]: f"{letter.reason}: {letter.detail}" for letter in admitted.dead_letters}


def process(config: Config, letters: Sequence[Letter], *, hashed: bool) -> int:
    """Put lines through the pipeline as the stream that they are, then mark their letters replayed."""
    run = uuid.uuid4().hex[:12]
    formats = sorted({letter.format for letter in letters})
    sources = [
        LettersSource([letter.raw for letter in letters if letter.format == each], run, each) for each in formats
    ]
    telemetry = Telemetry(level="error", log_format=config.log.format)
    try:
        with open_daemon(config, telemetry, until_end=True, sources=[(source, hashed) for source in sources]) as daemon:
            daemon.obey_signals()
            daemon.run()
            if daemon.stopping.is_set():
                return 0
            return daemon.kept.store.mark_replayed([letter.row.id for letter in letters], actor(), now_us())
    finally:
        telemetry.close()


def _decoder(line_format: str, config: Config) -> Decoder:
    if line_format == "combined":
        return CombinedDecoder()
    return _ndjson(config)


def _door(people: PeopleHash, config: Config, *, hashed: bool) -> Door:
    return Door(people, _ndjson(config), hashed=hashed)


def _ndjson(config: Config) -> NdjsonDecoder:
    return NdjsonDecoder(dead_letter_bytes_max=config.dead_letters.bytes_max)
