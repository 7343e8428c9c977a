"""``miniwatch check``: everything that would keep the daemon from doing what is wanted, all at once."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from monitor.cli.leaving import FOUND_PROBLEMS, leave, say
from monitor.cli.options import ConfigFile, DataDir
from monitor.cli.printing import Column, write_rows, write_text
from monitor.cli.terminal import visible
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.config import Config, Problem, Setting


@dataclass(frozen=True, slots=True)
class RuleFault:
    """Why a rule is refused: where, what its file or its twin says, what to do."""

    place: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.place}: {self.found}. {self.remedy[:1].upper()}{self.remedy[1:]}."


def check(
    verbose: Annotated[
        bool, Option("--verbose", "-v", help="Print every effective setting and where it came from.")
    ] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Check configuration, rules, playbooks, sources, data folder, keys and who is told: all problems at once. Exits 1 when there are any."""
    from monitor.cli.opening import config_file, configuration, sound_configuration
    from monitor.config import ConfigError

    problems: list[Problem | RuleFault] = []
    loaded = None
    try:
        loaded = configuration(config, data_dir)
    except ConfigError as error:
        problems += error.problems
    looked_at = loaded or sound_configuration(config, data_dir)
    if looked_at is not None:
        problems += [*_damage(looked_at), *problems_of(looked_at)]
    if loaded is not None and verbose:
        _settings(loaded)
    for problem in problems:
        write_text(visible(problem))
    if looked_at is None:
        say("Rules, playbooks and sources are checked once the configuration can be read.")
    elif loaded is None:
        say("What is wrong in the configuration was left at its default to check rules, playbooks and sources.")
    if problems:
        say(f"{counted(len(problems), 'problem')}.")
        leave(FOUND_PROBLEMS)
    file = config_file(config)
    told = f"All is well: {file or 'the built-in defaults'}, its rules, playbooks, sources and keys."
    say(f"{told} {_counts(looked_at)}" if looked_at else told)


def problems_of(config: Config, *, begins: bool = True) -> list[Problem | RuleFault]:
    """What is wrong with the things that a readable configuration names. Where no daemon `begins` by it, its address may be taken."""
    store = [*_store(config)]
    if store:
        config = config.model_copy(
            update={"store": type(config.store)()}
        )  # the rest can be looked at without the record
    return [
        *store,
        *_sources(config),
        *_rules(config),
        *_playbooks(config),
        *_data_dir(config.data_dir),
        *key_problems(config.data_dir),
        *_other_keys(config),
        *(_listening(config) if begins else ()),
        *_search(config),
        *_told(config),
    ]


def _store(config: Config) -> Iterator[Problem]:
    """Whether the server that is to keep the record can be reached, and would do; whether this version can open the file that has it."""
    from monitor.config import Problem
    from monitor.recorded import refuse_foreign_file, standing_of
    from monitor.stores import StoreError
    from monitor.stores.damage import Damaged

    if not config.store.url:
        try:
            refuse_foreign_file(config)
        except Damaged as error:
            yield Problem("data_dir", str(error), "a record that is whole", "see docs/recover.md")
        except StoreError as error:
            yield Problem("data_dir", str(error), "a record that this version can open", "see docs/upgrade.md")
        return
    try:
        standing_of(config)
    except StoreError as error:
        yield Problem("store.url", str(error), "a database that can keep the record", "see docs/stores.md")


def _damage(config: Config) -> Iterator[Problem]:
    """Whether a daemon has met damage in the record: none begins on it again."""
    from monitor.config import Problem
    from monitor.stores import StoreError
    from monitor.stores.damage import damaged_at, found_damaged, remedy
    from monitor.stores.places import Places

    places = Places(config.data_dir)
    try:
        told = None if config.store.url else damaged_at(places)
    except StoreError:
        return  # whether the folder can be worked in is told by itself
    if told is not None:
        yield Problem("data_dir", f"{places.database}, {found_damaged(told)}", "a record that is whole", remedy(places))


def _search(config: Config) -> Iterator[Problem]:
    """Whether what is to be searched can be written there; what the cluster does not tell is said."""
    from monitor.config import Problem
    from monitor.searching import search_settings

    if not config.elasticsearch.urls:
        return
    from monitor.stores.elasticsearch.checking import ailments

    unchecked: list[str] = []
    for ailment in ailments(search_settings(config), unchecked):
        yield Problem("elasticsearch", *ailment)
    for what in unchecked:
        say(f"elasticsearch: not checked: {what}.")


def _told(config: Config) -> Iterator[Problem]:
    """Whether those who are to be told of incidents can be; `notifiers test` says whether they hear it. Who else may hear it is said."""
    from monitor.carriers import overheard, unreached

    for place, machine in overheard(config):
        say(f"{place}: warning: what goes to {machine} is not encrypted: whoever is on the way can read and change it.")
    yield from unreached(config)


def _sources(config: Config) -> Iterator[Problem]:
    from monitor.config import Problem
    from monitor.sources import SourceError
    from monitor.sources.kafka.address import is_kafka
    from monitor.sources.uri import parse_source

    for number, named in enumerate(config.sources):
        place = f"sources[{number}].uri"
        if named.uri == "http:":
            continue
        if is_kafka(named.uri):
            yield from _topic(config, place, named.uri, named.format)
            continue
        try:
            found = [source.partition for source in parse_source(named.uri, run="check", format=named.format)]
        except SourceError as error:
            yield Problem(place, str(error), "a source that can be read", "correct the URI")
            continue
        for path in (Path(name.removeprefix("file:")) for name in found if name.startswith("file:")):
            if path.exists() and not os.access(path, os.R_OK):
                yield Problem(
                    place, f"{path}, which may not be read", "a readable file", "give this user the right to read it"
                )


def _topic(config: Config, place: str, uri: str, line_format: str) -> Iterator[Problem]:
    """A topic of Kafka: what keeps it from being read. What else should be known of it is said."""
    from monitor.config import Problem
    from monitor.intake.opening import kafka_settings
    from monitor.sources import SourceError
    from monitor.sources.kafka.address import parse_address, refuse_readable_password
    from monitor.sources.kafka.checking import look_at

    settings = kafka_settings(config)
    try:
        address = parse_address(uri, format=line_format, client=config.kafka.client)
        refuse_readable_password(address, settings.sasl_mechanism, tls=settings.tls)
    except SourceError as error:
        yield Problem(place, str(error), "a source that can be read", "correct the URI")
        return
    told = look_at(address, settings)
    for found, remedy in told.problems:
        yield Problem(place, found, "a topic that can be read", remedy)
    for note in told.notes:
        say(f"{place}: topic {address.topic}: {note}.")


def _rules(config: Config) -> Iterator[Problem | RuleFault]:
    from monitor.config import Problem
    from monitor.content.in_force import rules_of

    loaded = rules_of(config)
    for problem in loaded.problems:
        place = f"{problem.path}:{problem.line}" if problem.line else problem.path
        found = f"{problem.message} (rule {problem.rule})" if problem.rule else problem.message
        yield RuleFault(place, found, "see `miniwatch rules test FILE`")
    if not loaded.rules:
        yield Problem(
            "rules", "no rule at all", "rules to look for abuse with", "set rules.builtin = true, or name folders"
        )


def _folders(config: Config) -> Iterator[Problem]:
    """Folders of the operator that give nothing: a path, a name or a key in the configuration is not what was meant."""
    from monitor.config import Problem

    wanted = ("*.yml", "*.yaml")
    for key, folders in (("rules.folders", config.rules.folders), ("playbooks.folders", config.playbooks.folders)):
        for folder in folders:
            if folder.is_dir() and not any(any(folder.rglob(suffix)) for suffix in wanted):
                found = f"{folder}, without any such file"
                yield Problem(key, found, f"a folder with {' or '.join(wanted)} in it", "correct the path")


def _counts(config: Config) -> str:
    """How many rules and playbooks are there, and whose they are."""
    from monitor.content.in_force import playbooks_of, rules_of
    from monitor.rules import builtin_folder

    loaded = rules_of(config).rules
    own = sum(1 for rule in loaded if not Path(rule.path).is_relative_to(builtin_folder().path))
    rules = f"{len(loaded) - own} rules of the program and {own} of yours"
    return f"{rules}, {counted(len(playbooks_of(config).playbooks), 'playbook')}."


def _playbooks(config: Config) -> Iterator[Problem]:
    from monitor.config import Problem
    from monitor.content.in_force import playbooks_of

    yield from _folders(config)
    for problem in playbooks_of(config).problems:
        yield Problem(f"{problem.file}:{problem.line}", problem.found, problem.expected, problem.advice.rstrip("."))


def _data_dir(folder: Path) -> Iterator[Problem]:
    from monitor.config import Problem

    nearest = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        yield Problem("data_dir", f"{nearest}, which is a file", "a folder", "name another, or move the file away")
    elif not os.access(nearest, os.W_OK | os.X_OK):
        remedy = "give this user the right to write there, or name another folder"
        yield Problem("data_dir", f"{nearest}, which may not be written", "a folder that can be written", remedy)


def key_problems(folder: Path) -> Iterator[Problem]:
    """Keys that are none, cannot be read, or can be read by others."""
    from monitor.config import Problem
    from monitor.sealing import SealError, key_at
    from monitor.stores.places import Places

    places = Places(folder)
    for path in (places.seal_key, places.people_key):
        if not path.is_file():
            continue  # made at first start
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            yield Problem(str(path), f"a key open to others (mode {mode:03o})", "mode 600", f"run chmod 600 {path}")
        try:
            key_at(path)
        except (SealError, OSError) as error:
            yield Problem(
                str(path), str(error), "the key that was made here", "restore it from a backup made with --keys"
            )


def _other_keys(config: Config) -> Iterator[Problem]:
    """Whether keys are those of the record; where it does not answer, that is told already. None is made here."""
    from monitor.config import Problem
    from monitor.own_keys import people_trouble, seal_trouble
    from monitor.recorded import known_keys
    from monitor.sealing import SealError
    from monitor.stores import StoreError
    from monitor.stores.places import Places

    try:
        known = known_keys(config)
        troubles = [people_trouble(config, known)] if known is not None else []
        if known is not None and Places(config.data_dir).seal_key.exists():
            troubles.append(seal_trouble(config, known))
    except (StoreError, SealError, OSError):
        return
    for trouble in filter(None, troubles):
        yield Problem("keys", trouble.found, "the keys with which the record was written", trouble.remedy)


def _listening(config: Config) -> Iterator[Problem]:
    """Whether the address for probes is free; a running daemon of ours may well hold it."""
    from monitor.cli.opening import is_used
    from monitor.config import Problem
    from monitor.config.listening import split_listen

    if not config.http.listen or is_used(config.data_dir):
        return
    host, port = split_listen(config.http.listen)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        found = f"{config.http.listen}: {error.strerror or error}"
        yield Problem("http.listen", found, "an address that is free", 'choose another port, or "" for no server')


def _settings(config: Config) -> None:
    from monitor.cli.options import Form

    columns: list[Column[Setting]] = [
        ("KEY", lambda row: row.key),
        ("VALUE", lambda row: row.value),
        ("FROM", lambda row: row.origin),
    ]
    write_rows(Form.TABLE, config.describe(), columns)
