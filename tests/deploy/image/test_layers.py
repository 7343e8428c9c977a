"""Layers and what tells of them: the same files are the same bytes, each thing is what its digest says, and nothing gets rights that it should not have."""

import gzip
import hashlib
import json
import os
import tarfile

import pytest
from miniwatch_image import layers, layout

TIME = 1_700_000_000
DESCRIBED = layout.Described(version="1.2.3", architecture="amd64", time=TIME, title="Miniwatch", licence="Apache-2.0")


def tree(folder, names=("b/second", "a", "b/first"), mode=0o644):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
    (folder / "link").symlink_to("a")
    return folder


def blobs(tmp_path):
    (tmp_path / "layout" / "blobs" / "sha256").mkdir(parents=True)
    return tmp_path / "layout" / "blobs" / "sha256"


def entries(into, layer):
    with tarfile.open(into / layer.digest.removeprefix("sha256:")) as archive:
        return {one.name: one for one in archive.getmembers()}


def test_the_same_files_are_the_same_layer(tmp_path):
    into = blobs(tmp_path)
    one = layers.written(tree(tmp_path / "one"), into, "said", TIME)
    other = tree(tmp_path / "other", ("a", "b/first", "b/second"), 0o600)
    os.utime(other / "a", (5, 5))
    assert layers.written(other, into, "said", TIME) == one
    (other / "a").write_text("A")
    assert layers.written(other, into, "said", TIME).digest != one.digest


def test_a_layer_is_named_by_what_it_is(tmp_path):
    into = blobs(tmp_path)
    layer = layers.written(tree(tmp_path / "tree"), into, "said", TIME)
    (packed,) = (file.read_bytes() for file in into.iterdir())
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.unpacked == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
    assert layer.size == len(packed)


def test_everything_is_root_s_and_nothing_makes_anybody_somebody_else(tmp_path):
    into = blobs(tmp_path)
    made = tree(tmp_path / "tree", mode=0o6777)
    (made / "data").mkdir()
    owned = {"data": layers.Owned(10464, 0o750)}
    found = entries(into, layers.written(made, into, "said", TIME, owned))
    assert list(found) == ["a", "b", "b/first", "b/second", "data", "link"]
    assert {(one.uid, one.gid, one.mtime, one.uname) for name, one in found.items() if name != "data"} == {
        (0, 0, TIME, "")
    }
    assert (found["data"].uid, found["data"].mode) == (10464, 0o750)
    assert (found["a"].mode, found["link"].linkname) == (0o755, "a")


def test_what_is_neither_file_nor_folder_nor_link_is_refused(tmp_path):
    os.mkfifo(tree(tmp_path / "tree") / "pipe")
    with pytest.raises(SystemExit, match="pipe is neither"):
        layers.written(tmp_path / "tree", blobs(tmp_path), "said", TIME)


@pytest.fixture
def image(tmp_path):
    into = blobs(tmp_path)
    packed = [layers.written(tree(tmp_path / name), into, name, TIME) for name in ("one", "two")]
    digest = layout.write(tmp_path / "layout", DESCRIBED, packed)
    return tmp_path / "layout", packed, digest


def blob(folder, described):
    content = (folder / "blobs" / "sha256" / described["digest"].removeprefix("sha256:")).read_bytes()
    assert described["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert described["size"] == len(content)
    return content


def test_who_begins_at_the_index_finds_all_of_the_image(image):
    folder, packed, digest = image
    (only,) = json.loads((folder / "index.json").read_text())["manifests"]
    assert only["digest"] == digest
    assert only["annotations"]["org.opencontainers.image.ref.name"] == "1.2.3"
    manifest = json.loads(blob(folder, only))
    config = json.loads(blob(folder, manifest["config"]))
    assert [hashlib.sha256(gzip.decompress(blob(folder, one))).hexdigest() for one in manifest["layers"]] == [
        one.removeprefix("sha256:") for one in config["rootfs"]["diff_ids"]
    ]
    assert [one["created_by"] for one in config["history"]] == [one.said for one in packed]
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def test_one_file_holds_all_of_it_and_is_the_same_each_time(image, tmp_path):
    folder, _, _ = image
    layout.archive(folder, tmp_path / "one.tar", TIME)
    for path in folder.rglob("*"):
        os.utime(path, (5, 5))
    layout.archive(folder, tmp_path / "two.tar", TIME)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as archive:
        held = {one.name for one in archive.getmembers() if one.isfile()}
    assert held == {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
