"""A model's file comes back as it was, and whatever else it is given is refused with a reason, without being executed."""

import io
import json
import tracemalloc
import zipfile

import msgspec
import numpy as np
import pytest
import skops.io
from app_hours import honest_rows, model
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from detectors.learned import model_file
from detectors.learned.forest import TREES, fitted
from detectors.learned.model_file import (
    FORESTS,
    MANIFEST,
    SCHEMA,
    USUAL,
    Facts,
    ModelRefused,
    digest_of,
    manifest_of,
    opened,
    unsealed,
    versions,
    written,
)

FACTS = Facts(
    created=1_772_500_000_000_000,
    first=1_772_400_000_000_000,
    until=1_772_490_000_000_000,
    rows=6_000,
    held_rows=2_400,
    figures={"honest": 0.001},
)
DATA = written(model(), FACTS)


def entries(data=DATA):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {one.filename: archive.read(one) for one in archive.infolist()}


def changed(**parts):
    """A model some of whose parts are others, with a manifest that says so."""
    whole = entries() | {name.replace("_", "."): content for name, content in parts.items()}
    manifest = msgspec.json.decode(whole[MANIFEST], type=model_file.Manifest)
    said = {
        name: model_file.Part(bytes=len(whole[name]), sha256=digest_of(whole[name]))
        for name in whole
        if name != MANIFEST
    }
    whole[MANIFEST] = model_file._encoded(msgspec.structs.replace(manifest, parts=said))
    return model_file._zipped(whole)


def said_otherwise(**fields):
    whole = entries()
    manifest = msgspec.json.decode(whole[MANIFEST], type=model_file.Manifest)
    whole[MANIFEST] = model_file._encoded(msgspec.structs.replace(manifest, **fields))
    return model_file._zipped(whole)


def reason(data):
    with pytest.raises(ModelRefused) as refused:
        unsealed(data, digest_of(data))
    return str(refused.value)


def forests_with(change, part=FORESTS):
    """The forests, with what skops has written of them changed."""
    inner = entries(entries()[part])
    schema = json.loads(inner[SCHEMA])
    change(schema, inner)
    inner[SCHEMA] = json.dumps(schema).encode()
    return changed(**{part.replace(".", "_"): model_file._zipped(inner)})


def test_a_model_comes_back_as_it_was():
    found, manifest = opened(DATA, digest_of(DATA))
    categories, _, matrix = honest_rows(1)
    before, after = (one.asked(categories[:500].tolist(), matrix[:500]) for one in (model(), found))
    assert (before.forest == after.forest).all()
    assert (before.tails == after.tails).all()
    assert found.digest == digest_of(DATA)
    assert manifest.figures == {"honest": 0.001}
    assert manifest_of(DATA) == manifest


def test_the_same_model_has_the_same_bytes():
    assert written(model(), FACTS) == DATA


def test_what_the_record_does_not_know_is_not_looked_at():
    with pytest.raises(ModelRefused, match="not what the record says"):
        opened(DATA, "0" * 64)


def test_what_is_too_large_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(model_file, "MODEL_BYTES_MAX", len(DATA) - 1)
    with pytest.raises(ModelRefused, match="at most"):
        opened(DATA, digest_of(DATA))


@pytest.mark.parametrize("library", sorted(versions()))
def test_another_version_is_refused(library):
    said = reason(said_otherwise(versions=versions() | {library: "0.1"}))
    assert f"{library} 0.1" in said
    assert "miniwatch model train" in said


def test_other_features_are_refused():
    assert "other features" in reason(said_otherwise(features=("events",)))


def test_another_format_is_refused():
    assert "format 99" in reason(said_otherwise(format=99))


def test_a_part_that_is_not_what_the_manifest_says_is_refused():
    whole = entries() | {USUAL: b"Q" + entries()[USUAL][1:]}
    assert "not what its manifest says" in reason(model_file._zipped(whole))


def test_a_foreign_type_is_refused():
    foreign = skops.io.dumps({"all": LinearRegression().fit(np.zeros((2, 2)), np.zeros(2))})
    inner = model_file._zipped(entries(foreign))
    assert "no model is made of" in reason(changed(forests_skops=inner))


@pytest.mark.parametrize("named", [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("numpy", "load")])
@pytest.mark.parametrize("loader", ["FunctionNode", "TypeNode", "ObjectNode", "PartialNode", "ReduceNode"])
def test_nothing_that_could_be_executed_is_let_in(named, loader):
    def change(schema, _):
        schema["content"]["all"] = {
            "__module__": named[0],
            "__class__": named[1],
            "__loader__": loader,
            "content": named[1],
        }

    assert "no model is made of" in reason(forests_with(change))


def test_trees_that_lead_outside_are_refused():
    for field, value in (("left_child", 10_000), ("left_child", 0), ("feature", 31), ("right_child", -7)):
        part = model_file._dumped({name: _bent(field, value) for name in model().experts})
        assert "cannot be used" in reason(changed(forests_skops=part))


def _bent(field, value):
    """A forest with a tree whose first node says something else."""
    forest = fitted(honest_rows(1)[2][:2_000])
    state = forest.estimators_[17].tree_.__getstate__()
    nodes = state["nodes"].copy()
    nodes[field][0] = value
    forest.estimators_[17].tree_.__setstate__(state | {"nodes": nodes})
    return forest


def test_a_forest_that_lacks_trees_is_refused():
    forest = fitted(honest_rows(1)[2][:2_000])
    forest.estimators_ = forest.estimators_[: TREES - 1]
    part = model_file._dumped(dict.fromkeys(model().experts, forest))
    assert "100 trees" in reason(changed(forests_skops=part))


def test_an_array_that_says_it_is_huge_is_refused_before_it_is_made():
    def change(_, inner):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**11,)})
        name = next(name for name in inner if name != SCHEMA)
        inner[name] = header.getvalue()

    data = forests_with(change)
    tracemalloc.start()
    assert "size that it says" in reason(data)
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_an_array_of_objects_is_refused():
    def change(_, inner):
        file = io.BytesIO()
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
        name = next(name for name in inner if name != SCHEMA)
        inner[name] = file.getvalue()

    assert "size that it says" in reason(forests_with(change))


def test_a_bomb_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b" " * (64 << 20))
    assert "no plain file" in reason(file.getvalue())
    assert "no plain file" in reason(changed(usual_skops=file.getvalue()))


def test_an_entry_that_says_it_is_larger_is_refused():
    at = DATA.rindex(b"PK\x01\x02")
    size = at + 20
    lying = DATA[:size] + (2**31).to_bytes(4, "little") + (2**31).to_bytes(4, "little") + DATA[size + 8 :]
    assert reason(lying)


def test_an_entry_that_is_there_twice_is_refused():
    file = io.BytesIO(DATA)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(MANIFEST, b"{}")
    assert "twice" in reason(file.getvalue())


def test_what_is_nested_deep_is_refused():
    deep = b'{"a":' * 3_000 + b"1" + b"}" * 3_000
    assert reason(changed(usual_skops=model_file._zipped({SCHEMA: deep})))
    less = b'{"a":' * 300 + b"1" + b"}" * 300
    assert "nested" in reason(changed(usual_skops=model_file._zipped({SCHEMA: less})))


def test_what_is_usual_must_be_numbers_of_the_right_shape():
    good = {name: {"tables": one.usual.tables, "middles": one.usual.middles} for name, one in model().experts.items()}
    whole = {"experts": good, "edges": model().spread.edges, "shares": model().spread.shares, "held": model().held}
    for key, value in (
        ("edges", whole["edges"][:, :3]),
        ("held", whole["held"] * np.nan),
        ("held", whole["held"].astype(np.float64)),
        ("shares", "many"),
    ):
        assert "usual" in reason(changed(usual_skops=model_file._dumped(whole | {key: value})))


@pytest.mark.parametrize("junk", [b"", b"PK", b"\x80\x04K\x01.", b"{}", b"\0" * 1_000])
def test_what_is_no_model_is_refused(junk):
    assert reason(junk)
    with pytest.raises(ModelRefused):
        manifest_of(junk)


@settings(max_examples=150)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_byte_that_is_altered_is_refused(place, by):
    altered = bytearray(DATA)
    altered[place] ^= by
    with pytest.raises(ModelRefused):
        opened(bytes(altered), digest_of(DATA))
    try:  # a stranger's, who knows the hash of what they altered: it is refused, or a model all the same
        found, _ = unsealed(bytes(altered), digest_of(bytes(altered)))
    except ModelRefused:
        return
    assert np.isfinite(found.asked(["shop"], honest_rows(1)[2][:1]).forest).all()


@settings(max_examples=60)
@given(st.integers(0, len(DATA) - 1))
def test_what_is_cut_off_is_refused(length):
    assert reason(DATA[:length])


SMALL = entries(entries()[USUAL])


@settings(max_examples=25)
@given(st.sampled_from(sorted(SMALL)), st.integers(0, 10_000), st.binary(min_size=0, max_size=40))
def test_parts_that_a_stranger_wrote_are_refused_or_used_as_they_are(name, place, written_over):
    content = SMALL[name]
    at = place % max(len(content), 1)
    bent = content[:at] + written_over + content[at + len(written_over) :]
    data = changed(usual_skops=model_file._zipped(SMALL | {name: bent}))
    try:
        found, _ = unsealed(data, digest_of(data))
    except ModelRefused:
        return
    assert np.isfinite(found.asked(["shop"], honest_rows(1)[2][:1]).tails).all()
