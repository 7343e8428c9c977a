"""Models read from the record, each once. The record is trusted for their digests, and what does not have its digest is no model."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from monitor.rules.lineup import ForeignContent

if TYPE_CHECKING:
    from detectors.learned.model import Model

OPENED_MAX: Final = 4
"""Models that are held in memory for whoever asks again: in force, tried, and those before them."""


class UnusableModel(ForeignContent):
    """A model cannot be used here; the text says why, and what to do."""


class OpenedModels:
    """Gives models by their digests; raises `UnusableModel`."""

    def __init__(self, content: Callable[[str], bytes | None]) -> None:
        """`content` gives the bytes of a model's file by its digest."""
        self._content = content
        self._opened: OrderedDict[str, Model] = OrderedDict()
        self._lock = threading.Lock()  # the pipeline asks, and whoever changes what is in force

    def __call__(self, digest: str) -> Model:
        with self._lock:
            model = self._opened.pop(digest, None) or self._read(digest)
            self._opened[digest] = model
            while len(self._opened) > OPENED_MAX:
                self._opened.popitem(last=False)
            return model

    def _read(self, digest: str) -> Model:
        from detectors.learned.model_file import ModelRefused, opened  # noqa: PLC0415 - a second, for those who have a model

        content = self._content(digest)
        if content is None:
            raise UnusableModel("it is not in the record any more; train anew: miniwatch model train")
        try:
            return opened(content, digest)[0]
        except ModelRefused as error:
            raise UnusableModel(str(error)) from error
