"""What the image is made of, in CycloneDX's form: packages of Debian, Python distributions, and the crates that the kernel was built from."""

from __future__ import annotations

import tomllib
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from miniwatch_image.debian import Package

SCHEMA = SchemaVersion.V1_6


def of_debian(packages: Iterable[Package], release: str) -> list[Component]:
    """What was unpacked, under the names by which scanners look up known faults."""
    return [
        Component(
            name=one.name,
            version=one.version,
            type=ComponentType.LIBRARY,
            purl=PackageURL("deb", "debian", one.name, one.version, _qualifiers(one, release)),
            bom_ref=f"deb:{one.name}",
        )
        for one in packages
    ]


def _qualifiers(package: Package, release: str) -> dict[str, str]:
    found = {"arch": package.architecture, "distro": f"debian-{release}"}
    # Faults are told of by the source's name; its version follows in parentheses where it is another.
    source, _, version = package.source.partition(" (")
    if source != package.name:
        found["upstream"] = f"{source}@{version.rstrip(')')}" if version else source
    return found


def of_python(site: Path) -> list[Component]:
    """What is installed in a folder."""
    return [_python(one) for one in sorted(distributions(path=[str(site)]), key=lambda one: one.name.lower())]


def _python(distribution: Distribution) -> Component:
    name = distribution.name.lower().replace("_", "-").replace(".", "-")
    return Component(
        name=distribution.name,
        version=distribution.version,
        type=ComponentType.LIBRARY,
        purl=PackageURL("pypi", None, name, distribution.version),
        bom_ref=f"pypi:{name}",
        licenses=_licences(distribution),
    )


def _licences(distribution: Distribution) -> list[License]:
    """An expression where there is one, else what was written in its place; some wrote the whole text there, so then what they are filed under."""
    for field in ("License-Expression", "License"):
        for said in distribution.metadata.get_all(field) or []:
            if said and "\n" not in said:
                return [LicenseFactory().make_from_string(said)]
    filed = [one for one in distribution.metadata.get_all("Classifier") or [] if one.startswith("License :: ")]
    return [LicenseFactory().make_with_name(one.rpartition(" :: ")[2]) for one in filed]


def of_rust(lock: Path) -> list[Component]:
    """What a lock of cargo names, with its hashes; of the crate itself there is none."""
    return [
        Component(
            name=one["name"],
            version=one["version"],
            type=ComponentType.LIBRARY,
            purl=PackageURL("cargo", None, one["name"], one["version"]),
            bom_ref=f"cargo:{one['name']}@{one['version']}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one["checksum"])],
        )
        for one in tomllib.loads(lock.read_text())["package"]
        if "checksum" in one
    ]


def written(image: str, version: str, components: Sequence[Component], time: int) -> str:
    """The document. Made of the same, it is the same."""
    whole = Component(
        name=image,
        version=version,
        type=ComponentType.CONTAINER,
        purl=PackageURL("oci", None, image, quote(version)),
        bom_ref="image",
    )
    bom = Bom(components=components)
    bom.metadata.component = whole
    bom.metadata.timestamp = datetime.fromtimestamp(time, UTC)
    names = sorted(str(one.purl) for one in components)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join((image, version, *names)))
    bom.register_dependency(whole, components)
    return make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
