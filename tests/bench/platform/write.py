"""Writes the traffic of a simulated platform, its truth and its registry into files, for the real daemon to read.

python tests/bench/platform/write.py --seed 11 --output events.ndjson --labels labels.ndjson --registry apps.ndjson
python tests/bench/platform/write.py --pin
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
from pinned import pin, seeds
from traffic import Platform, ndjson


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=seeds("developing")[0])
    parser.add_argument("--apps", type=int, default=300)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--quiet-days", type=int, default=7)
    parser.add_argument("--kinds", help="only these kinds of misbehaviour, with commas between")
    parser.add_argument("--output", type=Path, help="events, one a line")
    parser.add_argument("--labels", type=Path, help="the truth, an incident a line")
    parser.add_argument("--registry", type=Path, help="the apps, for `miniwatch apps import`")
    parser.add_argument("--pin", action="store_true", help="renew the digests of pinned.json, and nothing else")
    told = parser.parse_args(arguments)
    if told.pin:
        pin()
        return
    platform = Platform(
        told.seed, told.apps, told.days, told.quiet_days, told.kinds and frozenset(told.kinds.split(","))
    )
    if told.labels:
        told.labels.write_bytes(b"".join(msgspec.json.encode(label) + b"\n" for label in platform.labels))
    if told.registry:
        told.registry.write_bytes(b"".join(line + b"\n" for line in platform.registry()))
    count = 0
    if told.output:
        with told.output.open("wb") as stream:
            for frame in platform.frames():
                count += frame.height
                stream.write(ndjson(frame))
    print(f"{count} events, {len(platform.labels)} incidents", file=sys.stderr)


if __name__ == "__main__":
    main()
