"""A pack is what was signed, to the last bit, or it is refused."""

import io
import zipfile

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.packs import archive
from monitor.packs.archive import described, opened, sealed
from monitor.packs.building import left_out, packed_folder
from monitor.packs.manifest import FORMAT, Manifest, PackRefused, is_safe
from monitor.packs.unpacking import unpacked
from monitor.signing import KeyRefused, SigningKey, fingerprint, make_key, read_key

KEY = SigningKey(b"\x01" * 32)
OTHER = SigningKey(b"\x02" * 32)
FILES = {"rules/a.yml": b"title: a\n", "rules/a/hit.jsonl": b"{}\n", "playbooks/p.yaml": b"name: p\n"}


def manifest(files=FILES, **other):
    words = {"format": FORMAT, "name": "rules", "version": 3, "created": 5, "signer": fingerprint(KEY.public)}
    return Manifest(**{**words, "files": described(files), **other})


def pack(files=FILES, key=KEY, **other):
    return sealed(manifest(files, **other), files, key)


def zipped(entries, **attributes):
    """A ZIP of any entries whatever."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in entries:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, attributes.get("mode", 0o100600) << 16
            entry.compress_type = attributes.get("compress_type", zipfile.ZIP_STORED)
            made.writestr(entry, content)
    return out.getvalue()


def resigned(said, files, **attributes):
    text = archive.encoded(said)
    return zipped([("manifest.json", text), ("manifest.sig", KEY.sign(text)), *sorted(files.items())], **attributes)


def test_what_was_sealed_is_what_is_opened():
    found = opened(pack(), [OTHER.public, KEY.public])
    assert (found.files, found.manifest, found.label) == (FILES, manifest(), "rules 3")


def test_the_same_content_gives_the_same_bytes():
    assert pack() == pack(dict(reversed(FILES.items()))) == resigned(manifest(), FILES)


@settings(max_examples=400, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_refused(place, bit):
    data = bytearray(pack())
    data[int(place * len(data))] ^= 1 << bit
    with pytest.raises(PackRefused):
        opened(bytes(data), [KEY.public])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400) | st.integers(0, 1000).map(lambda cut: pack()[:-cut]))
def test_what_is_no_pack_is_refused_and_nothing_else_happens(data):
    if data != pack():
        with pytest.raises(PackRefused):
            opened(data, [KEY.public])


@pytest.mark.parametrize(("trusted", "why"), [([], "no key is trusted"), ([OTHER.public], "has signed it")])
def test_only_a_trusted_key_counts(trusted, why):
    with pytest.raises(PackRefused, match=why):
        opened(pack(), trusted)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (resigned(manifest(), {**FILES, "rules/more.yml": b""}), "not those that were signed: rules/more.yml"),
        (resigned(manifest(), {"rules/a.yml": b"title: a\n"}), "not those that were signed"),
        (resigned(manifest(), {**FILES, "rules/a.yml": b"title: b\n"}), "rules/a.yml is not what was signed"),
        (resigned(manifest(), FILES, mode=0o120777), "is no plain file"),
        (resigned(manifest(), FILES, compress_type=zipfile.ZIP_DEFLATED), "is no plain file"),
        (resigned(manifest(format=FORMAT + 1), FILES), "has format 2"),
        (resigned(manifest({"../x": b""}), {"../x": b""}), "names the file '../x'"),
        (zipped([("manifest.json", b"{}")]), "has no manifest.sig"),
        (resigned(manifest(), FILES) + b"more", "cannot be read|no pack holds"),
        (b"x" + resigned(manifest(), FILES), "no pack holds"),
    ],
)
def test_what_is_signed_and_still_no_pack_is_refused(data, why):
    with pytest.raises(PackRefused, match=why):
        opened(data, [KEY.public])


def test_a_manifest_has_one_text():
    text = msgspec.json.encode(manifest())
    data = zipped([("manifest.json", text), ("manifest.sig", KEY.sign(text)), *sorted(FILES.items())])
    with pytest.raises(PackRefused, match="not written the way"):
        opened(data, [KEY.public])


def test_nothing_is_read_beyond_its_bound(monkeypatch):
    data = pack()
    monkeypatch.setattr(archive, "PACK_BYTES_MAX", len(data) - 1)
    with pytest.raises(PackRefused, match="has at most"):
        opened(data, [KEY.public])


@pytest.mark.parametrize(
    "name", ["rules/../x", "/rules/a", "rules", "rules/", "rules//a", "rules/a\\b", "rules/\x00", "x/a"]
)
def test_files_stand_below_two_folders(name):
    assert not is_safe(name)


def test_a_folder_that_was_tampered_with_is_written_again(tmp_path):
    found = opened(pack(), [KEY.public])
    folder = unpacked(found, tmp_path / "packs")
    (folder / "rules" / "a.yml").write_bytes(b"title: z\n")
    (folder / "rules" / "more.yml").touch()
    assert unpacked(found, tmp_path / "packs") == folder
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")} == FILES


def test_a_key_is_made_once_and_read_by_its_owner_alone(tmp_path):
    path = tmp_path / "signing.key"
    made = make_key(path)
    assert read_key(path).public == made.public
    with pytest.raises(KeyRefused, match="never written over"):
        make_key(path)
    path.chmod(0o644)
    with pytest.raises(KeyRefused, match="by others"):
        read_key(path)


def test_a_folder_whose_rules_could_not_be_loaded_gives_no_pack(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yml").write_text("title: [")
    with pytest.raises(PackRefused, match=r"a\.yml"):
        packed_folder(tmp_path, KEY, name="rules", version=1, created=0)
    with pytest.raises(PackRefused, match="neither"):
        packed_folder(tmp_path / "rules", KEY, name="rules", version=1, created=0)


def test_playbooks_of_both_suffixes_are_packed_and_what_is_not_is_named(tmp_path):
    folder = tmp_path / "mine" / "playbooks"
    folder.mkdir(parents=True)
    for name, suffix in (("one", "yml"), ("two", "yaml")):
        steps = "steps:\n  - {tier: observe, when: {risk: 1}}\n"
        (folder / f"{name}.{suffix}").write_text(f"name: {name}\ntitle: Of one kind\npriority: 5\n{steps}")
    for other in ("README.md", "playbooks/three.txt", ".hidden"):
        (tmp_path / "mine" / other).touch()
    pack = opened(packed_folder(tmp_path / "mine", KEY, name="mine", version=1, created=0), [KEY.public])
    assert sorted(pack.files) == ["playbooks/one.yml", "playbooks/two.yaml"]
    assert left_out(tmp_path / "mine") == ["README.md", "playbooks/three.txt"]
