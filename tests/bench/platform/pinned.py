"""Which seeds detectors are tested on and which they are developed on, and a proof that neither they nor the traffic have changed.

Whoever tunes a detector looks at the developing seeds only. The testing seeds are watched once, when that is done; who tunes further
moves them to those for developing and pins others first, as was done three times. Were the traffic or the scoring changed later, the digests would tell.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

HERE = Path(__file__).parent
FILE = HERE / "pinned.json"
TRAFFIC = [
    "machines",
    "misdeeds",
    "misdeeds_apps",
    "misdeeds_people",
    "misdeeds_slow",
    "occasions",
    "pages",
    "population",
    "staging",
    "telling",
    "traffic",
    "traits",
    "visits",
    "walks",
]
SCORING = ["score"]


def seeds(purpose):
    """The seeds for ``testing`` or for ``developing``."""
    return json.loads(FILE.read_text())["seeds"][purpose]


def digest(modules, all_seeds):
    """SHA-256 of source files and seeds."""
    found = hashlib.sha256(json.dumps(all_seeds, sort_keys=True).encode())
    for name in sorted(modules):
        text = (HERE / f"{name}.py").read_bytes()
        found.update(f"{name} {len(text)}\n".encode() + text)
    return found.hexdigest()


def digests(all_seeds):
    return {"traffic": digest(TRAFFIC, all_seeds), "scoring": digest(SCORING, all_seeds)}


def pin():
    """Write the digests of what is there now beside the seeds that are pinned."""
    all_seeds = json.loads(FILE.read_text())["seeds"]
    FILE.write_text(json.dumps({"seeds": all_seeds, "sha256": digests(all_seeds)}, indent=2) + "\n")
