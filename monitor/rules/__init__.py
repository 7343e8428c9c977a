"""Rules from folders, each tested before it is taken: a rule without a twin is refused.

A user's rule ``DIR/sub/name.yml`` has its twin beside it in ``DIR/sub/name/``, and it is run at every load. The twins of the
rules that come with the program stay with the program's tests; ``tested.json`` says which content they were run on, and
a rule whose content has changed since is refused. ``python -m monitor.rules`` runs them all and writes that file anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors.sigma import Reading, Rule, RuleProblem, RuleSet, parse_rules, read_pipelines
from monitor.rules.cache import RuleCache, TwinVerdicts, twin_key
from monitor.rules.reading import read_text, rule_texts, why
from monitor.rules.twins import TwinFailure, run_twin, twin_digests

MANIFEST: Final = "tested.json"
TWINS: Final = Path("tests") / "rules"
"""Where the twins of the rules that come with the program stand in its source."""


class RuleFolder(msgspec.Struct, frozen=True):
    """A folder of rule files. `builtin`: its twins were run when the program was made."""

    path: Path
    builtin: bool = False


class LoadedRules(msgspec.Struct, frozen=True):
    """The rules that may run, and why others may not. Bases that are only counted are among them."""

    rules: tuple[Rule, ...] = ()
    problems: tuple[RuleProblem, ...] = ()


class _File(msgspec.Struct, frozen=True):
    """A rule file and what belongs to it. `name` is its path inside its folder."""

    folder: RuleFolder
    path: Path
    name: str


class RuleSettings(msgspec.Struct, frozen=True):
    """How the rules of an operator's folders are read: pipeline files, and what placeholders stand for."""

    pipelines: tuple[Path, ...] = ()
    placeholders: dict[str, tuple[str, ...]] = {}


PLAIN: Final = RuleSettings()
"""No pipelines and no placeholders."""


def builtin_folder() -> RuleFolder:
    """The rules that come with the program."""
    return RuleFolder(Path(str(resources.files("detectors"))) / "rules", builtin=True)


def reading_of(settings: RuleSettings, spared: frozenset[str] = frozenset()) -> tuple[Reading, list[RuleProblem]]:
    """What settings say, their files read; with problems, rules that need the pipelines are not to be taken."""
    problems: list[RuleProblem] = []
    sources = [(str(path), text) for path in settings.pipelines if (text := read_text(path, problems)) is not None]
    pipelines, refused = read_pipelines(sources)
    return Reading(settings.placeholders, pipelines, spared), problems + refused


def load_rules(
    folders: Sequence[RuleFolder], cache: RuleCache | None = None, settings: RuleSettings = PLAIN
) -> LoadedRules:
    """All rules of some folders. A file that cannot be read or used costs itself only; problems name file and line.

    A pipeline that cannot be used costs all rules that would go through it. With `cache`, nothing is parsed and no twin is run that was before, as long as nothing has changed that matters to it.
    """
    files: dict[str, _File] = {}
    sources: list[tuple[str, str]] = []
    problems: list[RuleProblem] = []
    for folder in folders:
        for found in rule_texts(folder.path, problems):
            files[str(found.path)] = _File(folder, found.path, found.name)
            sources.append((str(found.path), found.text))
    spared = frozenset(path for path, file in files.items() if file.folder.builtin)
    reading, bad = reading_of(settings, spared)
    if bad:
        problems.extend([*bad, *_unpiped(folders)])
        sources = [(path, text) for path, text in sources if path in spared]
    parsed = cache.parse(sources, reading) if cache else parse_rules(sources, reading)
    verdicts = cache.verdicts() if cache else TwinVerdicts()
    problems.extend(parsed.problems)
    manifests = {folder.path: _manifest(folder, problems) for folder in folders if folder.builtin}
    problems.extend(_gone(manifests, files))
    refused: set[str] = {problem.path for problem in parsed.problems}
    by_id = {rule.id: rule for rule in parsed.rules}
    for path, own in whole_files(parsed).items():
        untested = list(_untested(files[path], own, by_id, manifests, verdicts))
        if untested:
            refused.add(path)
            problems.extend(untested)
    verdicts.save()
    kept = _without(parsed.rules, refused, problems)
    return LoadedRules(kept, tuple(sorted(problems, key=lambda problem: (problem.path, problem.line))))


def _unpiped(folders: Sequence[RuleFolder]) -> Iterator[RuleProblem]:
    for folder in folders:
        if not folder.builtin:
            message = "none of its rules is taken: a pipeline that they go through cannot be used"
            yield RuleProblem(str(folder.path), 0, "", message)


def whole_files(parsed: RuleSet) -> dict[str, list[Rule]]:
    """The rules of each file of which none was refused: without all of them, a twin says nothing."""
    refused = {problem.path for problem in parsed.problems}
    found: dict[str, list[Rule]] = {}
    for rule in parsed.rules:
        if rule.path not in refused:
            found.setdefault(rule.path, []).append(rule)
    return found


def closure(own: Sequence[Rule], by_id: Mapping[str, Rule]) -> list[Rule]:
    """Some rules and all that they count, and what that counts in turn, from the ground up."""
    found: dict[str, Rule] = {}
    row = list(own)
    while row:
        found = {**{rule.id: rule for rule in row}, **found}
        bases = dict.fromkeys(base for rule in row if rule.window for base in rule.window.bases)
        row = [by_id[base] for base in bases if base not in found]
    return list(found.values())


def run_builtin_twins(rules: Path, twins: Path) -> tuple[dict[str, Any], list[TwinFailure | RuleProblem]]:
    """Every twin of a source tree: the manifest that its passing rules earn, and what failed."""
    problems: list[RuleProblem] = []
    sources = [(found.name, found.text) for found in rule_texts(rules, problems)]
    parsed = parse_rules(sources)
    failures: list[TwinFailure | RuleProblem] = [*problems, *parsed.problems]
    by_id = {rule.id: rule for rule in parsed.rules}
    manifest: dict[str, Any] = {}
    for name, own in whole_files(parsed).items():
        twin = (twins / name).with_suffix("")
        failed = run_twin(closure(own, by_id), frozenset(rule.id for rule in own), twin)
        failures.extend(failed)
        if not failed:
            manifest[name] = {"rules": _versions(own), **twin_digests(twin)}
    known = {(twins / name).with_suffix("") for name, _ in sources}
    strays = {hit.parent for hit in twins.rglob("*.jsonl")} - known
    failures.extend(TwinFailure(str(stray), 0, "is the twin of no rule") for stray in sorted(strays))
    return dict(sorted(manifest.items())), failures


def _manifest(folder: RuleFolder, problems: list[RuleProblem]) -> Mapping[str, Any]:
    path = folder.path / MANIFEST
    try:
        manifest: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        problems.append(
            RuleProblem(str(path), 0, "", f"cannot be read, so no rule of this folder is taken as tested: {why(error)}")
        )
        return {}
    return manifest


def _gone(manifests: Mapping[Path, Mapping[str, Any]], files: Mapping[str, _File]) -> Iterator[RuleProblem]:
    """Rule files that were there when the program was made."""
    for folder, manifest in manifests.items():
        for name in manifest:
            if str(path := folder / name) not in files:
                yield RuleProblem(str(path), 0, "", "came with the program and is not there, or cannot be read")


def _untested(
    file: _File,
    own: Sequence[Rule],
    by_id: Mapping[str, Rule],
    manifests: Mapping[Path, Mapping[str, Any]],
    verdicts: TwinVerdicts,
) -> Iterator[RuleProblem]:
    """Why a file's rules may not run: their twin is missing or disagrees, or was run on other content."""
    if file.folder.builtin:
        entry = manifests[file.folder.path].get(file.name, {})
        if entry.get("rules") != _versions(own):
            message = "has changed since its twin was last run; run `python -m monitor.rules`"
            yield RuleProblem(str(file.path), own[0].line, own[0].title, message)
        return
    try:
        failures = _twin_failures(closure(own, by_id), frozenset(rule.id for rule in own), file, verdicts)
    except OSError as error:
        yield RuleProblem(str(file.path), 0, own[0].title, f"its twin cannot be read: {why(error)}")
        return
    for failure in failures:
        yield RuleProblem(failure.path, failure.line, own[0].title, failure.message)


def _twin_failures(
    rules: Sequence[Rule], own: frozenset[str], file: _File, verdicts: TwinVerdicts
) -> Sequence[TwinFailure]:
    """What a file's twin says, unless it is known to pass."""
    folder = file.path.with_suffix("")
    key = twin_key(rules, own, folder)
    if verdicts.has_passed(key):
        return ()
    failures = run_twin(rules, own, folder)
    if not failures and twin_key(rules, own, folder) == key:  # the files are those that were looked at
        verdicts.passes(key)
    return failures


def _without(rules: Sequence[Rule], refused: set[str], problems: list[RuleProblem]) -> tuple[Rule, ...]:
    """The rules of files that were not refused, less those that count a refused one."""
    gone = {rule.id for rule in rules if rule.path in refused}
    for rule in sorted(rules, key=lambda rule: rule.window.level if rule.window else -1):
        lost = next((base for base in (rule.window.bases if rule.window else ()) if base in gone), None)
        if lost is not None and rule.id not in gone:
            problems.append(RuleProblem(rule.path, rule.line, rule.id, f"counts {lost}, which was refused"))
            gone.add(rule.id)
    return tuple(rule for rule in rules if rule.id not in gone)


def _versions(rules: Sequence[Rule]) -> dict[str, str]:
    return {rule.id: rule.written for rule in sorted(rules, key=lambda rule: rule.id)}
