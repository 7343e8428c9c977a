"""The first token of an installation, so that there is somebody who may do everything."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monitor.durable import write_file
from monitor.stores.record import Record
from monitor.tokens import Role, Token, new_token

NAME: Final = "first admin"
ACTOR: Final = "system:start"
VALID_US: Final = 90 * 86_400_000_000


def ensure_first_token(store: Record, path: Path, now: int) -> Token | None:
    """Make an admin token where there is no token at all yet, and write it into a file that only its owner can read.

    The file comes first: a token in the record that nobody knows would be of no use, and a file whose token did not get into
    the record is written anew at the next start. None where nothing was made.
    """
    if store.tokens():
        return None
    token, text = new_token(NAME, [Role.ADMIN], created=now, expires=now + VALID_US, actor=ACTOR)
    write_file(path, text.encode() + b"\n", "token")
    store.add_token(token, f"there was none; written to {path.name}")
    return token
