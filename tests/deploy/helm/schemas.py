"""Schemas of the Kubernetes API in the form that kubeconform takes: each kind in a file of its own, with what it refers to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def written(packaged: Path, into: Path) -> Path:
    """Write the schemas of a package of `kubernetes-validate` for one version of the API; the folder that has them."""
    definitions = json.loads((packaged / "_definitions.json").read_text())["$defs"]
    for name, schema in definitions.items():
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            whole = {
                **_local(schema),
                "definitions": {other: _local(one) for other, one in _reached(schema, definitions).items()},
            }
            group = kind["group"].partition(".")[0]
            file = "-".join(part for part in (kind["kind"].lower(), group, kind["version"]) if part)
            (into / f"{file}.json").write_text(json.dumps(whole | {"$id": name}))
    return into


def _reached(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = definitions[name]
            waiting += _references(definitions[name])
    return found


def _references(part: object) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"].rpartition("/")[2]] if isinstance(part.get("$ref"), str) else []
        return own + [name for value in part.values() for name in _references(value)]
    return [name for value in part for name in _references(value)] if isinstance(part, list) else []


def _local(part: Any) -> Any:
    """The same with references into the file itself."""
    if isinstance(part, dict):
        return {
            key: f"#/definitions/{value.rpartition('/')[2]}"
            if key == "$ref" and isinstance(value, str)
            else _local(value)
            for key, value in part.items()
            if key not in ("$schema", "$id")
        }
    return [_local(value) for value in part] if isinstance(part, list) else part
