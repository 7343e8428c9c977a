"""The control log: which rules and playbooks are in force from which position of each partition on.

A turn that is the first to be under others notes them, with the positions at which it begins, in its own transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from monitor import __version__
from monitor.rules.cache import encoded
from monitor.rules.lineup import RULES, ForeignContent, History, Lineup
from monitor.stores import Control, Store
from playbooks.ladder import Playbook
from playbooks.policy import Policy

PLAYBOOKS: Final = "playbooks"


class Answering(msgspec.Struct, frozen=True):
    """The playbooks that answer findings, and those that answer findings of rules that are being tried."""

    playbooks: tuple[Playbook, ...] = ()
    trial: tuple[Playbook, ...] = ()

    @staticmethod
    def made_of(content: bytes) -> Answering:
        """The playbooks that have this content; raises `ForeignContent` when another version of the program wrote it."""
        made_by, _, body = content.partition(b"\n")
        if made_by.decode(errors="replace") != __version__:
            raise ForeignContent("its playbooks were read by another version of the program")
        try:
            return msgspec.msgpack.decode(body, type=Answering)
        except msgspec.MsgspecError as error:
            raise ForeignContent(f"its playbooks are damaged ({error})") from error

    @property
    def control(self) -> Control:
        """What is noted of them."""
        body = encoded(self)
        digest = hashlib.sha256(body).hexdigest()
        return Control(subject=PLAYBOOKS, digest=digest, content=f"{__version__}\n".encode() + body)


class ControlLog:
    """Knows what the record says is in force, and so what a turn is the first to be under."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}
        self._answering: Answering | None = None
        self._control: Control | None = None  # of those playbooks

    def begin(self, store: Store, history: History) -> None:
        """Go on from what the record says; what another version of the program wrote is noted anew."""
        self._last = {RULES: history.last}
        if of_playbooks := store.controls(PLAYBOOKS):
            content = store.content(of_playbooks[-1].digest) or b""
            if content.startswith(f"{__version__}\n".encode()):
                self._last[PLAYBOOKS] = of_playbooks[-1].digest

    @property
    def is_begun(self) -> bool:
        """Whether the record says of any rules that they are in force."""
        return bool(self._last.get(RULES))

    def knows(self, lineup: Lineup) -> bool:
        """Whether the record says that these watch."""
        return self._last.get(RULES, "") == lineup.digest

    def news(self, lineup: Lineup, policy: Policy | None, positions: Mapping[str, int]) -> Sequence[Control]:
        """What a turn that begins at these positions is the first to be under; rules alone where nothing is decided, without a policy."""
        if not lineup.digest:
            return ()
        found = [] if self.knows(lineup) else [Control(subject=RULES, digest=lineup.digest, content=lineup.content)]
        playbooks = None if policy is None else self._of_playbooks(policy)
        if playbooks is not None and playbooks.digest != self._last.get(PLAYBOOKS):
            found.append(playbooks)
        return [msgspec.structs.replace(one, positions=dict(positions)) for one in found]

    def noted(self, controls: Sequence[Control]) -> None:
        """They are in the record."""
        self._last |= {one.subject: one.digest for one in controls}

    def _of_playbooks(self, policy: Policy) -> Control:
        """Made once for the same playbooks."""
        known, control = self._answering, self._control
        if known is None or control is None or not _are_same(known, policy):
            self._answering = known = Answering(policy.playbooks, policy.trial)
            self._control = control = known.control
        return control


def _are_same(known: Answering, policy: Policy) -> bool:
    return known.playbooks is policy.playbooks and known.trial is policy.trial
