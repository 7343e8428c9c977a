"""The bill of materials in CycloneDX 1.6: what the hashed locks say that a release runs on, and who asked for it.

Nothing in it is of the machine or the hour of the build: the same locks give the same bytes.
"""

from __future__ import annotations

import json
import re
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_OURS = "miniwatch"
_NATIVE = "miniwatch-native"
_PINNED = re.compile(r"(?m)^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)(?: ; ([^\\\n]+?))? \\$")

_ASKED_BY = re.compile(r"(?m)^ +# +(?:via +)?(?!via$)([\w.-]+)(?: \(pyproject\.toml\))?$")
"""In a lock: `# via NAME`, or `# via` and names below it."""


def bill(root: Path, version: str, made: int) -> bytes:
    """The document, as of a time in seconds since 1970."""
    python, asked = _locked((root / "requirements" / "run.txt").read_text())
    rust, native = _crates((root / "native" / "Cargo.lock").read_text())
    ours = f"pkg:pypi/{_OURS}@{version}"
    components = sorted(python + rust, key=lambda one: str(one["bom-ref"]))
    depends = {ours: asked[_OURS], **{ref: names for ref, names in asked.items() if ref != _OURS}, **native}
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": _OURS,
                "version": version,
                "purl": ours,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": sorted(names)} for ref, names in sorted(depends.items())],
    }
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))}"
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


def _locked(lock: str) -> tuple[list[dict[str, Any]], dict[str, set[str]]]:
    """The packages of a lock of Python's, and what asks for which; the project itself goes by its name."""
    found, asked, refs = [], {_OURS: set[str]()}, dict[str, list[str]]()
    parts = [part for part in re.split(r"(?m)^(?=[\w])", lock) if part.strip()]
    for part in parts:
        pinned = _PINNED.match(part)
        if pinned is None:
            raise ValueError(f"no locked requirement: {part.splitlines()[0]}")
        name, number, where = pinned.groups()
        ref = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{number}"
        hashes = [{"alg": "SHA-256", "content": one} for one in re.findall(r"--hash=sha256:([0-9a-f]{64})", part)]
        component = _component(ref, name, number, hashes, "required")
        if where is not None:
            component["properties"] = [{"name": "python:environment-marker", "value": where}]
        found.append(component)
        refs.setdefault(name, []).append(ref)
        asked.setdefault(ref, set())
    for part in parts:
        name, number, _ = _PINNED.match(part).groups()  # type: ignore[union-attr] # it did a moment ago
        ref = next(one for one in refs[name] if one.endswith(f"@{number}"))
        for by in _ASKED_BY.findall(part):
            for each in [_OURS] if by == _OURS else refs[by]:
                asked[each].add(ref)
    return found, asked


def _crates(lock: str) -> tuple[list[dict[str, Any]], dict[str, set[str]]]:
    """What the optional kernel is built of, where somebody builds it."""
    packages = tomllib.loads(lock)["package"]
    refs = {one["name"]: f"pkg:cargo/{one['name']}@{one['version']}" for one in packages}
    found = []
    for one in packages:
        hashes = [{"alg": "SHA-256", "content": one["checksum"]}] if "checksum" in one else []
        found.append(_component(refs[one["name"]], one["name"], one["version"], hashes, "optional"))
    return found, {
        refs[one["name"]]: {refs[each.split(" ")[0]] for each in one.get("dependencies", ())} for one in packages
    }


def _component(ref: str, name: str, number: str, hashes: list[dict[str, str]], scope: str) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": number,
        "purl": ref,
        "scope": scope,
    }
    if name == _NATIVE:
        component["licenses"] = [{"license": {"id": "Apache-2.0"}}]
    if hashes:
        component["hashes"] = hashes
    return component
