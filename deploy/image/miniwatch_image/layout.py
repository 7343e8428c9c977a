"""An image as the Open Container Initiative lays it out: blobs named by their digests, and a file that holds all of it."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from miniwatch_image.debian import CERTIFICATES, HOME, USER
from miniwatch_image.layers import MEDIA_TYPE, Layer
from miniwatch_image.program import PLACE

NAME = "miniwatch"
"""What the image is called, here and in the chart's values."""

PORT = 9464

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"

GO_ARCHITECTURES = {"i386": "386", "armhf": "arm", "ppc64el": "ppc64le"}
"""Where Debian calls an architecture otherwise than images do."""


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of an image beside its layers."""

    version: str
    architecture: str
    """As Debian calls it."""
    time: int
    title: str
    licence: str


def configuration(described: Described, layers: Sequence[Layer]) -> dict[str, Any]:
    """How the image is run, and what it is made of."""
    created = moment(described.time)
    return {
        "created": created,
        "architecture": GO_ARCHITECTURES.get(described.architecture, described.architecture),
        "os": "linux",
        "config": {
            "User": f"{USER}:{USER}",
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "Env": [
                f"PATH=/{PLACE}/bin:/usr/bin",
                "LANG=C.UTF-8",
                f"SSL_CERT_FILE=/{CERTIFICATES}",
                f"MINIWATCH_DATA_DIR=/{HOME}",
            ],
            "Entrypoint": [f"/{PLACE}/bin/miniwatch"],
            "Cmd": ["--help"],
            "WorkingDir": f"/{HOME}",
            "Labels": labels(described),
            "StopSignal": "SIGTERM",
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.unpacked for layer in layers]},
        "history": [{"created": created, "created_by": layer.said} for layer in layers],
    }


def labels(described: Described) -> dict[str, str]:
    """What registries show."""
    return {
        "org.opencontainers.image.created": moment(described.time),
        "org.opencontainers.image.licenses": described.licence,
        "org.opencontainers.image.title": described.title,
        "org.opencontainers.image.version": described.version,
    }


def moment(time: int) -> str:
    """As RFC 3339 writes it."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write(folder: Path, described: Described, layers: Sequence[Layer]) -> str:
    """Write what tells of layers whose blobs are there; the digest by which the image is known."""
    blobs = folder / "blobs" / "sha256"
    config = _blob(blobs, configuration(described, layers))
    manifest = _blob(
        blobs,
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, **config},
            "layers": [{"mediaType": MEDIA_TYPE, "digest": layer.digest, "size": layer.size} for layer in layers],
            "annotations": labels(described),
        },
    )
    names = {
        "org.opencontainers.image.ref.name": described.version,
        "io.containerd.image.name": f"{NAME}:{described.version}",
    }
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [{"mediaType": _MANIFEST, **manifest, "annotations": names}],
    }
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return str(manifest["digest"])


def _blob(blobs: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    written = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    digest = hashlib.sha256(written).hexdigest()
    (blobs / digest).write_bytes(written)
    return {"digest": f"sha256:{digest}", "size": len(written)}


def archive(folder: Path, into: Path, time: int) -> None:
    """One file with all of it, as engines load it."""
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as packed:
        for path in sorted(folder.rglob("*")):
            entry = packed.gettarinfo(path, path.relative_to(folder).as_posix())
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = time, 0, 0, "", ""
            entry.mode = 0o755 if path.is_dir() else 0o644
            if path.is_dir():
                packed.addfile(entry)
            else:
                with path.open("rb") as content:
                    packed.addfile(entry, content)
