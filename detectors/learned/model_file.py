"""A model as one file: a ZIP that anyone can look into, of a manifest and of what skops has written; nothing in it is ever executed.

It is trusted for nothing but its bytes. The record knows the hash of every model that was trained here, and `opened` asks for it before
anything is looked at; beyond that a file is read as if a stranger had made it. In this order: its size; its entries, which are stored
as they are, so that none becomes larger than it is; the manifest, which must be written as manifests are; the versions of all that the
numbers depend on; the hash of every part; within a part the sizes that its arrays say they have, and the types in it, which are those
that a model is made of and no others; and at last whether its trees can be followed. What is refused is told with its reason.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import sklearn  # type: ignore[import-untyped]
import skops.io  # type: ignore[import-untyped]

from detectors.learned.drift import PARTS, Spread
from detectors.learned.features import NAMES
from detectors.learned.forest import faults_of, oddness
from detectors.learned.model import ALL, CATEGORIES_MAX, OPINIONS, Expert, Model
from detectors.learned.usual import STEPS, Usual

FORMAT: Final = 1
"""Rises when models change in a way that older versions cannot read, or when a feature comes to mean something else."""

MODEL_BYTES_MAX: Final = 96 << 20
"""Size of a model."""

MANIFEST_BYTES_MAX: Final = 1 << 20
ENTRIES_MAX: Final = 40_000
"""Arrays in a part: six a tree."""

DEPTH_MAX: Final = 40
"""How deep what skops has written is nested; twelve, as it is."""

MANIFEST: Final = "manifest.json"
FORESTS: Final = "forests.skops"
USUAL: Final = "usual.skops"
SCHEMA: Final = "schema.json"

TREE: Final = "sklearn.tree._tree.Tree"
"""What skops trusts only if told to: scikit-learn follows its nodes without looking. We look (`faults_of`)."""

TYPES: Final = frozenset(
    {
        ("builtins", "dict", "DictNode"),
        ("builtins", "list", "ListNode"),
        ("builtins", "str", "JsonNode"),
        ("builtins", "str", "TypeNode"),
        ("builtins", "tuple", "TupleNode"),
        ("numpy", "ndarray", "NdArrayNode"),
        ("sklearn.ensemble._iforest", "IsolationForest", "ObjectNode"),
        ("sklearn.tree._classes", "ExtraTreeRegressor", "ObjectNode"),
        ("sklearn.tree._tree", "Tree", "TreeNode"),
    }
)
"""All that a model is made of."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_PLAIN: Final = 0o100600 << 16

Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Time = Annotated[int, msgspec.Meta(ge=0, le=10**17)]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One part of a model."""

    bytes: Annotated[int, msgspec.Meta(ge=0, le=MODEL_BYTES_MAX)]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Trained(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an expert was trained on."""

    rows: Count
    apps: Count


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model says of itself. Times are microseconds since 1970 UTC; `figures` are those of the rows that were held back."""

    format: int
    versions: dict[str, str]
    features: tuple[str, ...]
    created: Time
    first: Time
    until: Time
    rows: Count
    held_rows: Count
    left_out: Count
    learned_h: Count
    experts: Annotated[dict[str, Trained], msgspec.Meta(min_length=1, max_length=CATEGORIES_MAX + 1)]
    figures: dict[str, float]
    parts: dict[str, Part]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is written into a manifest beside the model."""

    created: int
    first: int
    until: int
    rows: int
    held_rows: int
    left_out: int = 0
    figures: dict[str, float] = {}


class ModelRefused(Exception):
    """A model cannot be trusted or used; the text says why, and what to do."""


def versions() -> dict[str, str]:
    """Of all libraries that a model's numbers depend on."""
    return {"numpy": np.__version__, "scikit-learn": sklearn.__version__, "skops": skops.__version__}


def digest_of(data: bytes) -> str:
    """By what a model is known: the SHA-256 of its file."""
    return hashlib.sha256(data).hexdigest()


# Writing


def written(model: Model, facts: Facts) -> bytes:
    """The bytes of a model: the same for the same model and facts."""
    tables = {name: {"tables": one.usual.tables, "middles": one.usual.middles} for name, one in model.experts.items()}
    usual = {"experts": tables, "edges": model.spread.edges, "shares": model.spread.shares, "held": model.held}
    parts = {FORESTS: _dumped({name: one.forest for name, one in model.experts.items()}), USUAL: _dumped(usual)}
    manifest = Manifest(
        format=FORMAT,
        versions=versions(),
        features=NAMES,
        learned_h=model.learned_h,
        experts={name: Trained(rows=one.rows, apps=one.apps) for name, one in model.experts.items()},
        parts={name: Part(bytes=len(data), sha256=digest_of(data)) for name, data in parts.items()},
        **msgspec.structs.asdict(facts),
    )
    return _zipped({MANIFEST: _encoded(manifest), **parts})


def _dumped(value: Any) -> bytes:
    """As skops writes it, but for numbers that are places in this process's memory: they are counted instead."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))) as archive:
        schema = msgspec.json.decode(archive.read(SCHEMA))
        numbers: dict[int, int] = {}
        files: dict[str, str] = {}
        for node in _nodes(schema):
            if "__id__" in node:
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
            if "file" in node:
                node["file"] = files.setdefault(node["file"], f"{len(files) + 1}.npy")
        entries = {new: archive.read(old) for old, new in files.items()}
    return _zipped({SCHEMA: msgspec.json.encode(schema), **entries})


def _zipped(entries: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, _PLAIN
            archive.writestr(entry, content)
    return out.getvalue()


def _encoded(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=1)


# Reading


def opened(data: bytes, digest: str) -> tuple[Model, Manifest]:
    """The model that these bytes are; raises `ModelRefused` unless they are those that `digest` is of, and a model that can be used here."""
    if len(data) > MODEL_BYTES_MAX:
        raise ModelRefused(f"it has {len(data)} bytes; a model has at most {MODEL_BYTES_MAX}")
    if digest_of(data) != digest:
        raise ModelRefused(
            "it is not what the record says: it was altered, or cut off; take it from a backup, or train anew"
        )
    return unsealed(data, digest)


def unsealed(data: bytes, digest: str) -> tuple[Model, Manifest]:
    """The same of bytes that nobody vouches for."""
    try:
        return _read(data, digest)
    except ModelRefused:
        raise
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is refused, and those that watch go on
        raise ModelRefused(f"it cannot be read: {error or type(error).__name__}"[:500]) from None


def manifest_of(data: bytes) -> Manifest:
    """What a model says of itself, if it can be read at all; raises `ModelRefused`."""
    if len(data) > MODEL_BYTES_MAX:
        raise ModelRefused(f"it has {len(data)} bytes; a model has at most {MODEL_BYTES_MAX}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _manifest(_entries(archive, len(data)))
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError) as error:
        raise ModelRefused(f"it cannot be read: {error or type(error).__name__}"[:500]) from None


def _read(data: bytes, digest: str) -> tuple[Model, Manifest]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = _entries(archive, len(data))
    manifest = _manifest(entries)
    if manifest.versions != versions():
        theirs = ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items())[:5])
        raise ModelRefused(
            f"it was trained with {theirs}, and these are not the versions here; train anew: miniwatch model train"
        )
    if manifest.features != NAMES:
        raise ModelRefused("it was trained on other features; train anew: miniwatch model train")
    if entries.keys() != {MANIFEST, *manifest.parts} or manifest.parts.keys() != {FORESTS, USUAL}:
        raise ModelRefused("its parts are not those that a model has")
    for name, part in manifest.parts.items():
        if len(entries[name]) != part.bytes or digest_of(entries[name]) != part.sha256:
            raise ModelRefused(f"its part {name} is not what its manifest says")
    usual, forests = _loaded(entries[USUAL], USUAL), _loaded(entries[FORESTS], FORESTS)
    return _model(forests, usual, manifest, digest), manifest


def _entries(archive: zipfile.ZipFile, bytes_max: int) -> dict[str, bytes]:
    """What a ZIP holds: plain files, each once, none compressed, and no more in all than the ZIP itself."""
    listed = archive.infolist()
    if len(listed) > ENTRIES_MAX:
        raise ModelRefused(f"it has {len(listed)} entries; at most {ENTRIES_MAX} are looked at")
    left = bytes_max
    found: dict[str, bytes] = {}
    for entry in listed:
        if entry.filename in found:
            raise ModelRefused(f"it has the entry {entry.filename[:200]!r} twice")
        if entry.external_attr != _PLAIN or entry.flag_bits & 1 or entry.compress_type != zipfile.ZIP_STORED:
            raise ModelRefused(f"its entry {entry.filename[:200]!r} is no plain file")
        if entry.file_size != entry.compress_size or entry.file_size > left:
            raise ModelRefused(f"its entry {entry.filename[:200]!r} says that it is larger than it is")
        left -= entry.file_size
        with archive.open(entry) as file:
            found[entry.filename] = file.read(entry.file_size + 1)
    return found


def _manifest(entries: Mapping[str, bytes]) -> Manifest:
    text = entries.get(MANIFEST)
    if text is None:
        raise ModelRefused("it has no manifest.json: it is no model")
    if len(text) > MANIFEST_BYTES_MAX:
        raise ModelRefused(f"its manifest has {len(text)} bytes; at most {MANIFEST_BYTES_MAX} are read")
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRefused(f"its manifest cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise ModelRefused(
            f"it has format {manifest.format}; this version reads format {FORMAT}; train anew: miniwatch model train"
        )
    if _encoded(manifest) != text:
        raise ModelRefused("its manifest is not written the way that manifests are")
    return manifest


def _loaded(part: bytes, name: str) -> Any:
    """What skops has written, if it is made of what models are made of."""
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        entries = _entries(archive, len(part))
    schema = msgspec.json.decode(entries.get(SCHEMA, b""))
    for node in _nodes(schema):
        if "__loader__" not in node:
            continue
        named = tuple(str(node.get(key)) for key in ("__module__", "__class__", "__loader__"))
        if named not in TYPES:
            raise ModelRefused(f"its part {name} holds a {'.'.join(named[:2])[:200]}, which no model is made of")
        if named[2] == "NdArrayNode" and (node.get("type") != "numpy" or node.get("file") not in entries):
            raise ModelRefused(f"its part {name} holds an array that is not there")
    for file, content in entries.items():
        if file != SCHEMA:
            _check_array(content, f"{name}/{file}")
    if foreign := set(skops.io.get_untrusted_types(data=part)) - {TREE}:
        raise ModelRefused(f"its part {name} holds a {min(foreign)[:200]}, which is not trusted")
    return skops.io.loads(part, trusted=[TREE])


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """All objects of a JSON text, those outside first; raises `ModelRefused` where they are nested too deep."""
    level = [schema]
    for _ in range(2 * DEPTH_MAX):
        yield from (one for one in level if isinstance(one, dict))
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ModelRefused("it is nested too deep")


def _check_array(content: bytes, name: str) -> None:
    """An array is as large as it says, so that none is made that is larger than its file; and of numbers."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ModelRefused(f"its array {name} is of another kind")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    count = 1
    for side in shape:
        count *= side
    if dtype.hasobject or file.tell() + count * dtype.itemsize != len(content):
        raise ModelRefused(f"its array {name} does not have the size that it says")


def _model(forests: Any, usual: Any, manifest: Manifest, digest: str) -> Model:
    names = set(manifest.experts)
    if ALL not in names or not isinstance(forests, dict) or set(forests) != names:
        raise ModelRefused("its forests are not those that its manifest names")
    features = len(NAMES)
    probe = np.zeros((1, features), np.float32)
    for name, forest in forests.items():
        if (fault := next(faults_of(forest, features), None)) is not None:
            raise ModelRefused(f"its forest {name[:200]} cannot be used: {fault}")
        if not np.isfinite(oddness(forest, probe)).all():
            raise ModelRefused(f"its forest {name[:200]} gives what is no number")
    tables = {
        name: Usual(
            _array(usual["experts"][name]["tables"], (features, STEPS + 1)),
            _array(usual["experts"][name]["middles"], (features,)),
            manifest.experts[name].rows,
        )
        for name in names
    }
    spread = Spread(_array(usual["edges"], (features, PARTS - 1)), _array(usual["shares"], (features, PARTS)))
    held = _array(usual["held"], (None, len(OPINIONS)))
    experts = {
        name: Expert(forests[name], tables[name], trained.rows, trained.apps)
        for name, trained in manifest.experts.items()
    }
    return Model(experts, spread, held, manifest.learned_h, digest)


def _array(value: Any, shape: tuple[int | None, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """An array of numbers of this shape; None stands for any length."""
    if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.ndim != len(shape):
        raise ModelRefused("what it says is usual is not told in numbers")
    if any(side not in (None, found) for side, found in zip(shape, value.shape, strict=True)):
        raise ModelRefused(f"what it says is usual has the shape {value.shape}, not {shape}")
    if not np.isfinite(value).all():
        raise ModelRefused("what it says is usual is no number")
    return value
