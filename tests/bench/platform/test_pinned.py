"""The seeds, the traffic and the scoring are those that were pinned before detectors were tuned."""

import json

from pinned import FILE, HERE, SCORING, TRAFFIC, digests, seeds


def test_neither_seeds_nor_traffic_nor_scoring_have_changed():
    told = json.loads(FILE.read_text())
    assert told["sha256"] == digests(told["seeds"])  # renewed by `write.py --pin`; say in the commit why


def test_no_seed_serves_two_purposes():
    purposes = [seeds(purpose) for purpose in ("testing", "developing")]
    assert min(map(len, purposes)) >= 10
    every = [seed for some in purposes for seed in some]
    assert len(set(every)) == len(every)


def test_every_module_is_pinned():
    others = {"conftest", "pinned", "write"}
    modules = {path.stem for path in HERE.glob("*.py") if not path.stem.startswith("test_")}
    assert modules - others == {*TRAFFIC, *SCORING}
