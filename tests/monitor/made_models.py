"""Small models, made in a moment, their files, and rows of the record: for tests of what is done with models, not of what they find."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from typing import Any

import msgspec
import numpy as np
import skops.io
from sklearn.linear_model import LinearRegression

from detectors.learned import model_file
from detectors.learned.features import NAMES
from detectors.learned.model import Model, trained
from detectors.learned.model_file import FORESTS, MANIFEST, Facts, digest_of, versions, written
from monitor.audit import AuditEntry
from monitor.stores.models import ModelRow, ModelState, Shares, Story
from monitor.stores.sql import SqlStore

NOW = 1_772_409_600_000_000
ENTRY = AuditEntry(time=1, actor="operator:ada", action="model.train", subject="", reason="r", after="a")


@cache
def small_model() -> Model:
    """A model of numbers that mean nothing."""
    matrix = np.random.default_rng(7).random((400, len(NAMES)), np.float32)
    apps = np.array([f"wx{number % 20}" for number in range(len(matrix))])
    return trained(np.full(len(matrix), "shop"), apps, matrix, np.arange(len(matrix)) % 4 == 0, 100)


@cache
def file_of(number: int = 1) -> bytes:
    """Its file, another for each number."""
    return written(small_model(), Facts(created=NOW + number, first=NOW - 2, until=NOW - 1, rows=400, held_rows=100))


def of_another_version(file: bytes) -> bytes:
    """The same, as a scikit-learn would have written it that is not here."""
    return _with_manifest(_entries(file), versions=versions() | {"sklearn": "0.1"})


def with_a_foreign_type(file: bytes) -> bytes:
    """The same with something in it that no model is made of, and a manifest that says so."""
    foreign = skops.io.dumps({"all": LinearRegression().fit(np.zeros((2, 2)), np.zeros(2))})
    parts = _entries(file) | {FORESTS: model_file._zipped(_entries(foreign))}
    said = {
        name: model_file.Part(bytes=len(content), sha256=digest_of(content))
        for name, content in parts.items()
        if name != MANIFEST
    }
    return _with_manifest(parts, parts=said)


def _with_manifest(whole: dict[str, bytes], /, **fields: Any) -> bytes:
    manifest = msgspec.json.decode(whole[MANIFEST], type=model_file.Manifest)
    return model_file._zipped(whole | {MANIFEST: model_file._encoded(msgspec.structs.replace(manifest, **fields))})


def _entries(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {one.filename: archive.read(one) for one in archive.infolist()}


def story(**said: Any) -> Story:
    shares = Shares(rows=100, told=0.0, told_apps=0.01, found=0.8, found_of={"carding": 0.8})
    given: dict[str, Any] = {"first": 1, "until": 2, "rows": 400, "held_rows": 100, "left_out": 3, "learned_h": 100}
    return Story(**{**given, "experts": {"all": (300, 20)}, "figures": shares, **said})


def row(number: int = 1, state: ModelState = ModelState.TRAINED, since: int = 1, **more: Any) -> ModelRow:
    """A model's row; its digest is that of its file unless another is said."""
    file = file_of(number) if "digest" not in more else b""
    given: dict[str, Any] = {"number": number, "created": since, "bytes": len(file), "story": story()}
    return ModelRow(
        **{"digest": more.get("digest") or digest_of(file), **given, "state": state, "since": since, **more}
    )


def add(store: SqlStore, number: int, state: ModelState = ModelState.TRAINED, since: int = 1, **more: Any) -> ModelRow:
    """Put a model into the record, with its file unless another is given."""
    file = more.pop("file", None) or file_of(number)
    added = row(number, state, since, digest=digest_of(file), **more)
    return store.add_model(added, file, ENTRY)
