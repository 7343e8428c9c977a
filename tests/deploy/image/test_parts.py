"""The list of parts is CycloneDX, by its own schema, and names parts as those do who look up known faults."""

import json
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
import pytest
from miniwatch_image import sbom
from miniwatch_image.debian import Package

TIME = 1_700_000_000

LIBC = Package(name="libc6", version="2.36-9+deb12u14", architecture="amd64", source="glibc", control="")
SSL = Package(name="libssl3", version="3.0.22-1~deb12u2", architecture="amd64", source="openssl (3.0.22-1)", control="")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, said in {
        "one.by_one": "License-Expression: Apache-2.0 OR MIT\n",
        "texted": "License: Do what you like\n        and more\nClassifier: License :: OSI Approved :: BSD License\n",
        "silent": "",
    }.items():
        (folder / f"{name}-1.0.dist-info").mkdir()
        (folder / f"{name}-1.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{said}"
        )
    return folder


@pytest.fixture(scope="module")
def text(site):
    lock = Path(__file__).parents[3] / "native" / "Cargo.lock"
    parts = [*sbom.of_debian([LIBC, SSL], "12"), *sbom.of_python(site), *sbom.of_rust(lock)]
    return sbom.written("miniwatch", "1.2.3", parts, TIME)


def by_reference(text):
    return {one["bom-ref"]: one for one in json.loads(text)["components"]}


def schema(name):
    return json.loads(files("cyclonedx.schema._res").joinpath(f"{name}.SNAPSHOT.schema.json").read_text())


@pytest.fixture(scope="module")
def valid():
    whole = schema("bom-1.6")
    others = [
        (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", schema(name)) for name in ("spdx", "jsf-0.82")
    ]
    return jsonschema_rs.validator_for(whole, registry=jsonschema_rs.Registry(others))


def test_it_is_valid_by_the_schema(text, valid):
    assert [str(error) for error in valid.iter_errors(json.loads(text))] == []


@pytest.mark.parametrize("wrong", [{"specVersion": 1.6}, {"serialNumber": "1"}, {"components": [{"name": "nameless"}]}])
def test_what_is_not_valid_is_seen(text, valid, wrong):
    assert not valid.is_valid(json.loads(text) | wrong)


def test_parts_are_named_as_scanners_look_them_up(text):
    found = by_reference(text)
    assert found["deb:libc6"]["purl"] == (
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12&upstream=glibc"
    )
    assert found["deb:libssl3"]["purl"].endswith("&upstream=openssl%403.0.22-1")
    assert found["pypi:one-by-one"]["purl"] == "pkg:pypi/one-by-one@1.0"
    (pyo3,) = (one for one in found.values() if one["name"] == "pyo3")
    assert pyo3["purl"] == f"pkg:cargo/pyo3@{pyo3['version']}"
    assert pyo3["hashes"][0]["alg"] == "SHA-256"
    assert not any(one["name"] == "miniwatch-native" for one in found.values())


def test_licences_are_what_their_authors_say(text):
    found = by_reference(text)
    assert found["pypi:one-by-one"]["licenses"] == [{"expression": "Apache-2.0 OR MIT"}]
    assert found["pypi:texted"]["licenses"] == [{"license": {"name": "BSD License"}}]
    assert "licenses" not in found["pypi:silent"]


def test_the_same_parts_are_the_same_list(site, text):
    lock = Path(__file__).parents[3] / "native" / "Cargo.lock"
    parts = [*sbom.of_rust(lock), *sbom.of_python(site), *sbom.of_debian([SSL, LIBC], "12")]
    assert sbom.written("miniwatch", "1.2.3", parts, TIME) == text
