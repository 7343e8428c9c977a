"""Streams of numbers on the Numenta Anomaly Benchmark, and on any CSV files.

    python tests/bench/nab.py FOLDER [--output FOLDER] [--published windowedGaussian,relativeEntropy,numentaTM]

FOLDER is a checkout of NAB (github.com/numenta/NAB), or a git directory without a work tree of it: all of its series are scored,
and the benchmark's three profiles told, with what to make of them. `--published` also scores results that NAB holds of others,
beside the figures it tells of them, which shows that we score as it does. Any other folder is searched for `*.csv` files with the
columns `timestamp` and `value`, one series a file, in order of time; `--output` says where to write them with a column `score`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from nab_scoring import PROFILES, Benchmark, Series

from detectors.statistical.numbers import BYTES_A_SERIES, Numbers

WINDOWS = "labels/combined_windows.json"
CAVEATS = """\
What to make of it:
- The threshold is chosen on the labels of the files that are then scored, as NAB does. "Crossed" chooses it for each file on all
  others; the constants stay the same, and those were chosen on the labels of one half.
- The half on which nothing was chosen says more about files that nobody has seen than the figure for all.
- Published figures of others are of detectors that were given the least and the greatest value of each file in advance, and that
  chose thresholds, some of them constants too, on these labels. Ours sees a point when it comes, and no more.
- Many labels are doubtful, many of the marked anomalies trivial, and windows are so wide that luck counts: see Wu & Keogh, arXiv
  2009.13807. A difference of two or three points between detectors says nothing."""


class Checkout:
    """Files of a folder, or of the newest commit of a git directory."""

    def __init__(self, folder):
        self._folder = folder
        self._texts = None
        if not (folder / WINDOWS).is_file() and (folder / "HEAD").is_file():
            self._texts = self._archived("data", "labels") if self._committed(WINDOWS) else {}

    @property
    def is_nab(self):
        return WINDOWS in self._texts if self._texts is not None else (self._folder / WINDOWS).is_file()

    def text(self, name):
        if self._texts is None:
            return (self._folder / name).read_text()
        if name not in self._texts:
            self._texts |= self._archived(str(Path(name).parent))
        return self._texts[name]

    def _committed(self, name):
        return self._git("cat-file", "-e", f"HEAD:{name}").returncode == 0

    def _archived(self, *paths):
        run = self._git("archive", "HEAD", *paths)
        run.check_returncode()
        with tarfile.open(fileobj=io.BytesIO(run.stdout)) as archive:
            return {member.name: archive.extractfile(member).read().decode() for member in archive if member.isfile()}

    def _git(self, *words):
        return subprocess.run(["git", "--git-dir", str(self._folder), *words], capture_output=True, check=False)


def column(text, name):
    rows = csv.reader(io.StringIO(text))
    place = next(rows).index(name)
    return [row[place] for row in rows if row]


def moment(text):
    """A time as it stands in a file; without a zone it is taken as UTC."""
    parsed = datetime.fromisoformat(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def microseconds(moments):
    return np.array([round(one.timestamp() * 1e6) for one in moments], dtype=np.int64)


def scored(series):
    """Scores of ``(times, values)`` of each series, all in one call."""
    numbers = Numbers(len(series))
    rows = np.repeat(np.arange(len(series)), [len(values) for _, values in series])
    times = np.concatenate([microseconds(times) for times, _ in series])
    values = np.concatenate([np.array(values, dtype=float) for _, values in series])
    scores = numbers.score(rows, times, values)
    return np.split(scores, np.flatnonzero(np.diff(rows)) + 1)


def even(name):
    """Whether a file is of the half on which constants were chosen: its name's SHA-256 is even."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 == 0


def benchmark(checkout):
    """The benchmark's files, and our series of them."""
    windows = json.loads(checkout.text(WINDOWS))
    files, series = [], []
    for name in sorted(windows):
        text = checkout.text(f"data/{name}")
        times = [moment(one) for one in column(text, "timestamp")]
        series.append((times, [float(one) for one in column(text, "value")]))
        files.append(Series(name, times, [(moment(first), moment(last)) for first, last in windows[name]]))
    return Benchmark(files), series


def tell(bench, scores):
    chosen = np.array([even(file.name) for file in bench.files])
    halves = [
        sum(len(file.windows) for file in np.array(bench.files, dtype=object)[part]) for part in (chosen, ~chosen)
    ]
    print(
        f"\n{len(bench.files)} series, {sum(halves)} windows; {chosen.sum()} series and {halves[0]} windows are of the half on which constants were chosen"
    )
    print(f"\n{'profile':20s} {'in sample':>10s} {'crossed':>8s} {'threshold':>10s} | {'chosen half':>11s} {'other half':>10s} {'other, threshold of chosen':>27s}")  # fmt: skip
    for name, profile in PROFILES.items():
        every = bench.best(scores, profile)
        half = bench.best(scores, profile, chosen)
        other = bench.best(scores, profile, ~chosen)
        carried = bench.at(scores, profile, half.threshold, ~chosen)
        print(
            f"{name:20s} {every.score:10.2f} {bench.crossed(scores, profile):8.2f} {every.threshold:10.3f} | {half.score:11.2f} {other.score:10.2f} {carried:27.2f}"
        )


def tell_published(bench, checkout, names):
    """Scores that NAB holds of others: with the thresholds it holds, which must give its figures, and with the best ones."""
    told, thresholds = (
        json.loads(checkout.text(name)) for name in ("results/final_results.json", "config/thresholds.json")
    )
    print(
        f"\n{'published results':20s} {'profile':20s} {'NAB tells':>10s} {'its threshold':>14s} {'best':>8s} {'crossed':>8s}"
    )
    for name in names:
        texts = [checkout.text(f"results/{name}/{Path(f.name).parent}/{name}_{Path(f.name).name}") for f in bench.files]
        scores = np.concatenate([np.array(column(text, "anomaly_score"), dtype=float) for text in texts])
        for profile_name, profile in PROFILES.items():
            ours = bench.at(scores, profile, thresholds[name][profile_name]["threshold"])
            best, crossed = bench.best(scores, profile).score, bench.crossed(scores, profile)
            print(
                f"{name:20s} {profile_name:20s} {told[name][profile_name]:10.4f} {ours:14.4f} {best:8.4f} {crossed:8.4f}"
            )


def write(output, names, series, scores):
    for name, (times, values), points in zip(names, series, scores, strict=True):
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("timestamp", "value", "score"))
            rows.writerows(
                (when.isoformat(), value, f"{score:.9g}")
                for when, value, score in zip(times, values, points, strict=True)
            )
    print(f"\n{len(names)} files with scores are in {output}")


def on_nab(checkout, output, published):
    bench, series = benchmark(checkout)
    begun = time.process_time()
    scores = scored(series)
    spent, points = time.process_time() - begun, sum(len(values) for _, values in series)
    print(f"{points} points in {spent:.1f} s of CPU time, {BYTES_A_SERIES} bytes a series")
    tell(bench, np.concatenate(scores))
    if published:
        tell_published(bench, checkout, published)
    print(f"\n{CAVEATS}")
    if output:
        write(output, [file.name for file in bench.files], series, scores)


def on_files(folder, output):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.csv"))
    if not names:
        raise SystemExit(f"{folder} is no copy of NAB, and holds no CSV files")
    if output is None:
        raise SystemExit("say with --output where scores are written to")
    series = []
    for name in names:
        text = (folder / name).read_text()
        times = [moment(one) for one in column(text, "timestamp")]
        series.append((times, [float(one) if one else float("nan") for one in column(text, "value")]))
    write(output, names, series, scored(series))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--published", default="", help="names of detectors, separated by commas")
    told = parser.parse_args()
    checkout = Checkout(told.folder)
    if checkout.is_nab:
        on_nab(checkout, told.output, [name for name in told.published.split(",") if name])
    else:
        on_files(told.folder, told.output)


if __name__ == "__main__":
    main()
