"""The parts of a report: each is an object of numbers, words of the program, and aliases for whatever people or senders have named."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import requires
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors import kernel
from detectors.sigma import Rule
from monitor import __version__
from monitor.config import Config, Problem
from monitor.moments import stamp
from monitor.playbook_files import LoadedPlaybooks, builtin_playbooks
from monitor.rules import LoadedRules, builtin_folder
from monitor.rules.lineup import RULES
from monitor.stores import Progress
from monitor.stores.schema import LATEST
from monitor.stores.sql import SqlStore
from monitor.support.veil import Veil
from monitor.telemetry.meter import Metric
from monitor.telemetry.metrics import CATALOGUE
from monitor.telemetry.page import MetricsPage

Told = dict[str, Any]

OF_PROCESS: Final = "process_"
"""What the names of metrics begin with that every process has."""

SUFFIXES: Final = ("_bucket", "_sum", "_count")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_RELEASE: Final = re.compile(r"\d+(\.\d+)*")

ROWS_MAX: Final = 5_000
"""Rules, sources and the like that are told of."""


def version() -> Told:
    """The program, what it stands on, and how it was built."""
    needed = {match[0] for one in requires("miniwatch") or () if "extra ==" not in one and (match := _NAME.match(one))}
    return {
        "miniwatch": __version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "kernel": str(kernel.standing()),
        "schema": LATEST,
        "libraries": {name: version_of(name) for name in sorted(needed)},
    }


def machine(config: Config | None) -> Told:
    """The kind of machine, without its name: system, processors, memory, and the disk of the data folder."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    told: Told = {
        "system": platform.system(),
        "release": match[0] if (match := _RELEASE.match(platform.release())) else "",
        "distribution": {name: release.get(name, "") for name in ("ID", "VERSION_ID")},
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "processors": os.cpu_count(),
        "processors_allowed": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "memory_limit_bytes": _limit(),
    }
    if config is not None and config.data_dir.is_dir():
        usage = shutil.disk_usage(config.data_dir)
        told["disk"] = {"bytes": usage.total, "free_bytes": usage.free, "writable": os.access(config.data_dir, os.W_OK)}
    return told


def _limit() -> int | None:
    """What the memory of this process and its like may be, where the system bounds it."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def settings(config: Config | None, problems: Sequence[Problem], veil: Veil) -> Told:
    """Every setting as far as strangers may see it, and what is wrong with the configuration."""
    return {
        "problems": [
            {"place": veil.text(one.place), "expected": veil.text(one.expected), "remedy": veil.text(one.remedy)}
            for one in problems
        ],
        "settings": [] if config is None else [[one.key, one.value, one.origin] for one in config.outline()],
    }


# The record


def record(store: SqlStore, veil: Veil) -> Told:
    """How much of everything is kept: counts of rows, by words of the program."""
    counts = store.counts()
    return {
        "schema": LATEST,
        "last_turn": store.last_turn(),
        "tables": dict(counts.tables),
        "findings_by_severity": dict(counts.findings_by_severity),
        "findings_by_rule": _aliased(counts.findings_by_rule, "rule", veil),
        "incidents_by_state": _aliased(counts.incidents_by_state, "state", veil),
        "decisions_by_type": _aliased(counts.decisions_by_type, "type", veil),
        "decisions_by_state": _aliased(counts.decisions_by_state, "state", veil),
        "dead_letters_by_reason": _aliased(counts.dead_letters_by_reason, "reason", veil),
        "messages_by_state": _aliased(counts.messages_by_state, "state", veil),
        "archived_events": counts.archived_events,
        "archived_bytes": counts.archived_bytes,
        "ledger": [_account(one, veil) for one in list(store.progress().values())[:ROWS_MAX]],
        "streams": [{"turn": one.turn, "reached": one.reached} for one in store.streams()[:ROWS_MAX]],
        "outbox": {channel(name, veil): count for name, (count, _) in store.messages_waiting().items()},
    }


def _aliased(counts: Mapping[str, int], kind: str, veil: Veil) -> dict[str, int]:
    return {veil.alias(kind, name): count for name, count in list(counts.items())[:ROWS_MAX]}


def _account(progress: Progress, veil: Veil) -> Told:
    counts = ("end", "received", "processed", "dead_lettered", "late", "duplicate", "future")
    return {"source": source(progress.partition, veil), **{name: getattr(progress, name) for name in counts}}


def source(partition: str, veil: Veil) -> str:
    """A source by its kind and an alias."""
    return _kind_and_alias(partition, "source", veil)


def channel(name: str, veil: Veil) -> str:
    """A channel of the outbox by its kind and an alias."""
    return _kind_and_alias(name, "channel", veil)


def _kind_and_alias(name: str, kind: str, veil: Veil) -> str:
    before, colon, rest = name.partition(":")
    if not colon or not veil.is_own(before):
        return veil.alias(kind, name)
    return f"{before}:{veil.alias(kind, name)}" if rest else name


# Rules, playbooks and models


def content(rules: LoadedRules, playbooks: LoadedPlaybooks, store: SqlStore | None, veil: Veil) -> Told:
    """What may be in force, by hashes: what comes with the program is told by its name, what is the operator's own by an alias."""
    told: Told = {
        "rules": [_rule(rule, veil) for rule in rules.rules[:ROWS_MAX]],
        "rule_problems": len(rules.problems),
        "playbooks": [_playbook(one, veil) for one in playbooks.playbooks[:ROWS_MAX]],
        "playbook_problems": len(playbooks.problems),
    }
    if store is None:
        return told
    controls = store.controls(RULES)
    told["in_force"] = {"changes": len(controls), "digest": controls[-1].digest if controls else None}
    told["packs"] = [
        {
            "name": veil.alias("pack", one.name),
            "version": one.version,
            "digest": one.digest,
            "state": one.state.value,
            "stage": one.stage,
            "since": stamp(one.since),
        }
        for one in store.packs()
    ]
    told["models"] = [
        {
            "number": one.number,
            "digest": one.digest,
            "state": one.state.value,
            "created": stamp(one.created),
            "since": stamp(one.since),
            "bytes": one.bytes,
            "rows": one.story.rows,
            "refused": veil.text(one.story.refused),
        }
        for one in store.models()
    ]
    return told


def known_words(rules: LoadedRules) -> frozenset[str]:
    """The ids of the rules that come with the program, and its version: everybody knows them."""
    return frozenset({__version__, *(rule.id for rule in rules.rules if _is_builtin(rule.path, builtin_folder().path))})


def _is_builtin(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(folder)


def _rule(rule: Rule, veil: Veil) -> Told:
    return {
        "id": veil.alias("rule", rule.id),
        "version": rule.version,
        "content": rule.written,
        "severity": rule.severity.value,
        "kind": "correlation" if rule.is_correlation else "event",
    }


def _playbook(playbook: Any, veil: Veil) -> Told:
    builtin = {path.stem for path in builtin_playbooks().rglob("*.yaml")}
    name = playbook.name if playbook.name in builtin else veil.alias("playbook", playbook.name)
    said = msgspec.json.encode(playbook, order="deterministic")
    return {"name": name, "sha256": hashlib.sha256(said).hexdigest(), "mode": str(playbook.mode)}


# Metrics

_KINDS: Final = {"source": source, "channel": channel}


def metrics_told(page: MetricsPage, veil: Veil) -> str:
    """The page of metrics: what is in the catalogue, and of labels those values that are the program's own words."""
    lines = []
    for metric in sorted(CATALOGUE, key=lambda one: one.name):
        for name in (metric.name, *(f"{metric.name}{suffix}" for suffix in SUFFIXES)):
            lines += [_line(name, metric, sample.labels, sample.value, veil) for sample in page.of(name)]
    for name in sorted(page.names):
        if name.startswith(OF_PROCESS):
            lines += [f"{name} {sample.value!r}" for sample in page.of(name) if not sample.labels]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, metric: Metric, labels: Mapping[str, str], value: float, veil: Veil) -> str:
    shown = ",".join(f'{label}="{_label(metric, label, said, veil)}"' for label, said in labels.items())
    return f"{name}{{{shown}}} {value!r}" if shown else f"{name} {value!r}"


def _label(metric: Metric, label: str, said: str, veil: Veil) -> str:
    if label == "le" or said in _values(metric, label):
        return said
    return _KINDS[label](said, veil) if label in _KINDS else veil.alias(label, said)


def _values(metric: Metric, label: str) -> tuple[str, ...]:
    values = metric.labels.get(label, ())
    if metric.name == "miniwatch_build_info":
        return (__version__, platform.python_version())
    return values if isinstance(values, tuple) else ()
