"""Rules run on their twins, a case for each rule file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.cli.junit import Case, Failure
from monitor.cli.leaving import USAGE, Refused
from monitor.cli.rule_check import read_rules
from monitor.rules import TWINS, builtin_folder, closure, whole_files
from monitor.rules.twins import TwinFailure, run_twin

if TYPE_CHECKING:
    from monitor.config import Config


def cases_in(
    paths: Sequence[Path], config: Config, twin_of: Callable[[Path], Path] = lambda path: path.with_suffix("")
) -> Iterator[Case]:
    """Rule files under some paths, tried on their twins; those that could not be read come first."""
    found, _, refused = read_rules(paths, config)
    for path in dict.fromkeys(each.path for each in refused):
        yield Case(path, errors=[each.text for each in refused if each.path == path])
    by_id = {rule.id: rule for rule in found.rules}
    for path, own in whole_files(found).items():
        begun = time.perf_counter()
        failed = run_twin(closure(own, by_id), frozenset(rule.id for rule in own), twin_of(Path(path)))
        yield Case(path, time.perf_counter() - begun, [_failure(each) for each in failed])


def cases_configured(config: Config) -> Iterator[Case]:
    """The operator's folders; without any, the rules of the program, where their twins are at hand."""
    if config.rules.folders:
        yield from cases_in(config.rules.folders, config)
        return
    folder = builtin_folder().path
    twins = folder.parents[1] / TWINS
    if not twins.is_dir():
        raise Refused(
            "there are no rules of yours to test: name files, or set rules.folders. The rules that come with the "
            "program were tested when it was made; `miniwatch rules check` says that they are unchanged",
            USAGE,
        )
    yield from cases_in([folder], config, lambda path: (twins / path.relative_to(folder)).with_suffix(""))


def _failure(failed: TwinFailure) -> Failure:
    """With the event of the line, as far as there is one."""
    if not failed.line:
        return Failure(failed.message, failed.path, 0)
    with Path(failed.path).open("rb") as file:
        line = next((line for number, line in enumerate(file, start=1) if number == failed.line), b"")
    return Failure(failed.message, failed.path, failed.line, line.decode("utf-8", "replace").rstrip("\n"))
