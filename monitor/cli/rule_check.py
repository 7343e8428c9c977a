"""What there is to say about rules before they run: problems, for which they are refused, and warnings, which are advice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from detectors.sigma import Reading, RuleSet, parse_rules
from detectors.sigma.lint import at_fields, lint
from detectors.sigma.windows import LEVELS_MAX, UNKNOWN_RULE
from monitor.backtest.record import PastRecord
from monitor.backtest.survey import Survey
from monitor.cli.past import go
from monitor.cli.rule_files import texts_in
from monitor.cli.telling import problem_text
from monitor.content.in_force import rule_settings, rules_of
from monitor.rules import builtin_folder, reading_of, whole_files
from monitor.rules.twins import HIT, missing

if TYPE_CHECKING:
    from detectors.sigma import Rule, RuleProblem
    from detectors.sigma.remark import Remark
    from monitor.backtest.rerun import Past
    from monitor.config import Config


BROUGHT_MAX: Final = 5
"""Rules named that are refused because of one other."""

_FILTER: Final = re.compile(r"^filter[ \t]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Told:
    """A problem or a warning: what programs read of it, and `text` for people, unless another one says it already."""

    kind: Literal["problem", "warning"]
    code: str
    path: str
    line: int
    rule: str
    message: str
    text: str
    is_said: bool = False  # by the text of what brings it about

    def row(self) -> dict[str, object]:
        return {
            "kind": self.kind,
            "code": self.code,
            "path": self.path,
            "line": self.line,
            "rule": self.rule,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """Rules that were looked at: those that are well formed, how many of them can be loaded, and all there is to say."""

    rules: tuple[Rule, ...]
    loadable: int
    told: list[Told]
    sources: list[tuple[str, str]]


def check_paths(paths: Sequence[Path], config: Config) -> Checked:
    """The rules of files and folders, read as a configuration has them read."""
    found, sources, problems = read_rules(paths, config)
    twinless = _twinless(found.rules)
    whole = whole_files(found)
    loadable = sum(len(own) for path, own in whole.items() if path not in twinless)
    remarks = lint(sources, found.rules)
    return Checked(found.rules, loadable, [*problems, *twinless.values(), *map(warning, remarks)], sources)


def check_configured(config: Config) -> Checked:
    """The rules that a configuration names."""
    loaded = rules_of(config)
    sources = [(path, Path(path).read_text("utf-8-sig")) for path in dict.fromkeys(rule.path for rule in loaded.rules)]
    remarks = lint(sources, loaded.rules)
    return Checked(loaded.rules, len(loaded.rules), [*folded(loaded.problems), *map(warning, remarks)], sources)


def measured(
    checked: Checked, past: Past, events_max: int, broad_share: float, *, own_only: bool
) -> tuple[list[Told], PastRecord]:
    """Warnings that real events give cause for: the newest of the archive, or the first of the sources.

    With `own_only`, of the program's rules it is not told what they look for in vain: they are for platforms of all kinds.
    """
    survey = Survey(checked.rules)
    record = PastRecord()
    go(past.newest(events_max), [survey], record, "looking at events", enough=lambda: survey.looked_at >= events_max)
    lines = at_fields(checked.sources, checked.rules)
    remarks = [
        replace(remark, line=lines.get((remark.rule, remark.message.partition(":")[0]), remark.line))
        for remark in survey.remarks(broad_share)
        if not (own_only and remark.code.startswith("unseen") and _is_builtin(remark.path))
    ]
    return [warning(remark) for remark in sorted(remarks)], record


def read_rules(
    paths: Sequence[Path], config: Config, parse: Callable[[Sequence[tuple[str, str]], Reading], RuleSet] = parse_rules
) -> tuple[RuleSet, list[tuple[str, str]], list[Told]]:
    """The rules under some paths that are well formed, their texts, and what is the matter with the others, or with a path."""
    empty = {path: why for path in paths if (why := _nothing_in(path))}
    sources, unread = texts_in([path for path in paths if path not in empty])
    around = _around(config, sources) if any(_FILTER.search(text) for _, text in sources) else []
    spared = frozenset(path for path, _ in (*sources, *around) if _is_builtin(path))
    reading, bad = reading_of(rule_settings(config), spared)
    found = _only(parse([*sources, *around], reading), {path for path, _ in sources})
    nothing = [Told("problem", "no-rule", str(path), 0, "", why, why) for path, why in empty.items()]
    problems = [_elsewhere(problem, paths) for problem in found.problems]
    return found, sources, [*nothing, *folded((*unread, *bad, *problems))]


def _elsewhere(problem: RuleProblem, paths: Sequence[Path]) -> RuleProblem:
    """With a word on where else a rule that is counted may stand: only what was named has been read."""
    if UNKNOWN_RULE not in problem.message or Path(problem.path) not in paths:
        return problem
    told = f"{problem.message}. Only this file was read: if another one has it, name the folder {Path(problem.path).parent}"
    return msgspec.structs.replace(problem, message=told)


def _around(config: Config, sources: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The other rules that a configuration names, which filters among some files may narrow."""
    folders = [*config.rules.folders, *([builtin_folder().path] if config.rules.builtin else [])]
    there = {Path(path).resolve() for path, _ in sources}
    return [(path, text) for path, text in texts_in(folders)[0] if Path(path).resolve() not in there]


def _only(found: RuleSet, paths: set[str]) -> RuleSet:
    rules = tuple(rule for rule in found.rules if rule.path in paths)
    return RuleSet(rules, tuple(problem for problem in found.problems if problem.path in paths))


def warning(remark: Remark) -> Told:
    """Advice on a rule."""
    text = f"{remark.path}:{remark.line}: warning: {remark.code}: {remark.message}"
    return Told("warning", remark.code, remark.path, remark.line, remark.rule, remark.message, text)


def folded(problems: Sequence[RuleProblem]) -> list[Told]:
    """Every problem; for people, those that another one brings about are told with it, in one line."""
    causes = {problem.rule: place for place, problem in reversed([*enumerate(problems)]) if not problem.because}
    because = {problem.rule: problem.because for problem in problems if problem.because}
    told = [_refused(problem) for problem in problems]
    brought: dict[int, list[str]] = {}
    for place, problem in enumerate(problems):
        cause = causes.get(_bottom(problem.because, because))
        if problem.because and cause is not None:
            brought.setdefault(cause, []).append(f"{problem.rule} ({problem.path}:{problem.line})")
            told[place] = replace(told[place], is_said=True)
    for place, others in brought.items():
        shown = ", ".join(others[:BROUGHT_MAX]) + (
            f" and {len(others) - BROUGHT_MAX} more" if others[BROUGHT_MAX:] else ""
        )
        told[place] = replace(told[place], text=f"{told[place].text}; because of it also refused: {shown}")
    return told


def _bottom(rule: str, because: Mapping[str, str]) -> str:
    """The last of a chain of rules that were refused because of each other."""
    for _ in range(LEVELS_MAX):
        rule = because.get(rule, rule)
    return rule


def _refused(problem: RuleProblem) -> Told:
    text = problem_text(problem)
    return Told("problem", "refused", problem.path, problem.line, problem.rule, problem.message, text)


def _nothing_in(path: Path) -> str | None:
    """Why there can be no rule under a path."""
    if not path.exists():
        return f"{path}: there is no such file or folder"
    if not path.is_dir() or any(any(path.rglob(suffix)) for suffix in ("*.yml", "*.yaml")):
        return None
    if (path / HIT).is_file():
        return f"{path} holds a twin; did you mean {path}.yml?"
    return f"no rule file (*.yml) under {path}"


def _twinless(found: Iterable[Rule]) -> dict[str, Told]:
    """Files of rules that have no twin, with what to say of each; the program's own were tested when it was made."""
    told: dict[str, Told] = {}
    for path in dict.fromkeys(rule.path for rule in found if not _is_builtin(rule.path)):
        if absent := missing(Path(path).with_suffix("")):
            files = " and ".join(str(file) for file in absent)
            message = f"well formed, but its twin is missing: {files}; a rule without a twin is refused"
            told[path] = Told("problem", "missing-twin", path, 0, "", message, f"{path}: {message}")
    return told


def _is_builtin(path: str) -> bool:
    return Path(path).resolve().is_relative_to(builtin_folder().path.resolve())
