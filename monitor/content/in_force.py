"""What an installation has in force: the rules and playbooks of its folders, and over them those of its pack.

A pack's rule stands for one of the same id in a folder, and its playbook for one of the same name. What the folders hold is
not signed: they are the operator's own, for development on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from detectors.sigma import Rule, RuleProblem, Trial
from monitor.config import Config
from monitor.models.loading import NO_MODELS, LoadedModels, load_models
from monitor.models.shelf import ModelShelf
from monitor.packs.archive import Pack, opened
from monitor.packs.building import PLAYBOOKS, RULES
from monitor.packs.manifest import PackRefused
from monitor.packs.shelf import Shelf, Stage
from monitor.packs.unpacking import unpacked
from monitor.playbook_files import LoadedPlaybooks, builtin_playbooks, load_playbooks
from monitor.recorded import may_have_record, open_record
from monitor.rules import LoadedRules, RuleFolder, RuleSettings, builtin_folder, closure, load_rules
from monitor.rules.cache import RuleCache, placeless
from monitor.rules.lineup import ForeignContent, Models
from monitor.stores.places import Places
from monitor.stores.record import PackRow
from playbooks.ladder import Playbook

NO_RULES: Final = LoadedRules()
NO_PLAYBOOKS: Final = LoadedPlaybooks()


class InForce(msgspec.Struct, frozen=True):
    """Rules, playbooks and models that may run; beside them, rules that are being tried and the playbooks that answer those."""

    rules: LoadedRules
    playbooks: LoadedPlaybooks
    trial: Trial | None = None
    trial_playbooks: tuple[Playbook, ...] = ()
    models: LoadedModels = NO_MODELS

    @property
    def problems(self) -> dict[tuple[str, ...], str]:
        """What is wrong with what is not in force, in words, by what stays the same when lines move."""
        found: dict[tuple[str, ...], str] = {}
        for problem in self.rules.problems:
            found[problem.path, problem.rule, problem.message] = str(problem)
        for mistake in (*self.playbooks.problems, *self.models.problems):
            found[str(mistake),] = str(mistake)
        return found


def folders_of(config: Config) -> list[RuleFolder]:
    """Where a configuration has its rules: that of the program, then the operator's folders."""
    builtin = [builtin_folder()] if config.rules.builtin else []
    return [*builtin, *(RuleFolder(folder) for folder in config.rules.folders)]


def rule_settings(config: Config) -> RuleSettings:
    """How a configuration has the rules of its folders and packs read."""
    return RuleSettings(config.rules.pipelines, config.rules.placeholders)


def playbook_folders(config: Config) -> list[Path]:
    """Where a configuration has its playbooks: the operator's folders, then that of the program."""
    return [*config.playbooks.folders, *([builtin_playbooks()] if config.playbooks.builtin else [])]


def as_asked(playbooks: Iterable[Playbook], config: Config) -> tuple[Playbook, ...]:
    """Playbooks as a daemon of this configuration asks them."""
    return tuple(playbook.in_shadow() if config.mode == "shadow" else playbook for playbook in playbooks)


class Installed:
    """Loads what is in force, from the folders of a configuration and from packs that it trusts."""

    def __init__(
        self,
        config: Config,
        content: Callable[[str], bytes | None],
        cache: RuleCache | None = None,
        models: Models | None = None,
    ) -> None:
        """`content` gives the bytes of a pack by its digest; without `models` none is asked."""
        self._models = models
        self._config = config
        self._content = content
        self._cache = cache
        self._packs = Places(config.data_dir).packs

    def load(self, shelf: Shelf, on_shelf: ModelShelf | None = None) -> InForce:
        """Everything; what cannot be used is among the problems, a pack whole."""
        rules, playbooks = self.rules(shelf), self.playbooks(shelf)
        models = NO_MODELS if on_shelf is None else self.models(on_shelf)
        if shelf.candidate is None:
            return InForce(rules, playbooks, models=models)
        tried, answering = self._rules_of(shelf.candidate), self._playbooks_of(shelf.candidate)
        gone = frozenset(rule.id for rule in self._rules_of(shelf.active).rules)
        share = self._config.packs.canary_share if shelf.candidate.stage == Stage.CANARY else 0.0
        return InForce(
            LoadedRules(rules.rules, (*rules.problems, *tried.problems)),
            LoadedPlaybooks(playbooks.playbooks, (*playbooks.problems, *answering.problems)),
            _trial(rules.rules, tried.rules, gone, share),
            _playbooks_over(playbooks, answering).playbooks,
            models,
        )

    def models(self, on_shelf: ModelShelf) -> LoadedModels:
        """The models that are in force, and that are tried."""
        if self._models is None or not self._config.models.enabled:
            return NO_MODELS
        return load_models(on_shelf, self._models)

    def why_not(self, digest: str) -> str:
        """Why a model cannot be asked here; empty where it can, or where none is asked."""
        if self._models is None or not self._config.models.enabled:
            return ""
        try:
            self._models(digest)
        except ForeignContent as error:
            return str(error)
        return ""

    def rules(self, shelf: Shelf) -> LoadedRules:
        """The rules that are in force."""
        return _rules_over(
            load_rules(folders_of(self._config), self._cache, rule_settings(self._config)), self._rules_of(shelf.active)
        )

    def playbooks(self, shelf: Shelf) -> LoadedPlaybooks:
        """The playbooks that are in force, in the order in which they are asked."""
        return _playbooks_over(load_playbooks(playbook_folders(self._config)), self._playbooks_of(shelf.active))

    def opened(self, row: PackRow) -> Pack:
        """A pack of the record, verified anew; raises `PackRefused`."""
        content = self._content(row.digest)
        if content is None:
            raise PackRefused("it is not in the record")
        pack = opened(content, self._config.packs.trusted_keys)
        if pack.digest != row.digest:
            raise PackRefused("it is another than the record says")
        return pack

    def _rules_of(self, row: PackRow | None) -> LoadedRules:
        if row is None:
            return NO_RULES
        try:
            folder = unpacked(self.opened(row), self._packs) / RULES
        except (PackRefused, OSError) as error:
            label = f"pack {row.name} {row.version}"
            return LoadedRules(problems=(RuleProblem(label, 0, "", f"is not used: {error}"),))
        return (
            load_rules([RuleFolder(folder)], self._cache, rule_settings(self._config)) if folder.is_dir() else NO_RULES
        )

    def _playbooks_of(self, row: PackRow | None) -> LoadedPlaybooks:
        if row is None:
            return NO_PLAYBOOKS
        try:
            folder = unpacked(self.opened(row), self._packs) / PLAYBOOKS
        except (PackRefused, OSError):
            return NO_PLAYBOOKS  # told with its rules
        return load_playbooks([folder]) if folder.is_dir() else NO_PLAYBOOKS


def rules_of(config: Config, cache: RuleCache | None = None) -> LoadedRules:
    """The rules that an installation has in force: of the folders that its configuration names, and of its pack."""
    with _shelf_of(config, cache) as (installed, shelf):
        return installed.rules(shelf)


def playbooks_of(config: Config) -> LoadedPlaybooks:
    """The playbooks that an installation has in force; the operator's are asked before those of the program, by priority."""
    with _shelf_of(config) as (installed, shelf):
        return installed.playbooks(shelf)


@contextmanager
def _shelf_of(config: Config, cache: RuleCache | None = None) -> Iterator[tuple[Installed, Shelf]]:
    """The packs of an installation, seen beside its daemon; none where no key is trusted, or nothing is there yet."""
    if not config.packs.trusted_keys or not may_have_record(config):
        yield Installed(config, lambda _digest: None, cache), Shelf(())
        return
    store = open_record(config, read_only=True)
    try:
        yield Installed(config, store.pack_content, cache), Shelf(store.packs())
    finally:
        store.close()


def _rules_over(below: LoadedRules, above: LoadedRules) -> LoadedRules:
    """Rules with others over them, which stand for those of the same id."""
    ids = {rule.id for rule in above.rules}
    kept, problems = [], [*below.problems, *above.problems]
    for rule in below.rules:
        if rule.id in ids:
            continue
        counted = [base for base in (rule.window.bases if rule.window else ()) if base in ids]
        if counted:
            message = f"counts {counted[0]}, which the pack replaces; take this rule into the pack too"
            problems.append(RuleProblem(rule.path, rule.line, rule.id, message))
        else:
            kept.append(rule)
    return LoadedRules((*kept, *above.rules), tuple(problems))


def _playbooks_over(below: LoadedPlaybooks, above: LoadedPlaybooks) -> LoadedPlaybooks:
    names = {playbook.name for playbook in above.playbooks}
    whole = [*(one for one in below.playbooks if one.name not in names), *above.playbooks]
    ordered = sorted(whole, key=lambda playbook: (playbook.priority, playbook.name))
    return LoadedPlaybooks(tuple(ordered), (*below.problems, *above.problems))


def _trial(in_force: Sequence[Rule], coming: Sequence[Rule], gone: frozenset[str], share: float) -> Trial:
    """Of a pack's rules those that are new or not the same as in force, with all that they count."""
    present = dict(zip((rule.id for rule in in_force), placeless(in_force), strict=True))
    new = [rule for rule, bare in zip(coming, placeless(coming), strict=True) if present.get(rule.id) != bare]
    by_id = {rule.id: rule for rule in coming}
    return Trial(
        rules=tuple(closure(new, by_id)),
        tried=frozenset(rule.id for rule in new),
        replaced=frozenset(rule.id for rule in new) | (gone - by_id.keys()),
        share=share,
    )
