"""``miniwatch rules``: look at rules, check them, test them, ask them why."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from monitor.cli.asking import reload_rules
from monitor.cli.benching import bench
from monitor.cli.history import rule_history
from monitor.cli.holding import shadow_rule, unshadow_rule
from monitor.cli.leaving import FOUND_PROBLEMS, USAGE, Refused, leave, say
from monitor.cli.options import ConfigFile, DataDir, Form, Output, SeverityWord, group
from monitor.cli.packing import activate_pack, list_packs, make_signing_key, pack_folder, roll_pack_back, verify_pack
from monitor.cli.printing import Column, write_one, write_pairs, write_rows, write_text
from monitor.cli.terminal import visible
from monitor.counting import counted
from monitor.listing import filters

if TYPE_CHECKING:
    from detectors.sigma import Explanation, Rule
    from monitor.listing.in_force import RulesSaid

rules = group("Detection rules (Sigma): look at them, check them, test them.")
rules.command("bench", epilog="Example: miniwatch rules bench rules/mine/ --since 1d")(bench)

Row = dict[str, Any]
COLUMNS: Final[list[Column[Row]]] = [
    ("SEVERITY", lambda row: row["severity"]),
    ("KIND", lambda row: row["kind"]),
    ("BEHAVIOURS", lambda row: ", ".join(tag.removeprefix("behaviour.") for tag in row["tags"] if "behaviour." in tag)),
    ("DATASETS", lambda row: ", ".join(row["datasets"])),
    ("TITLE", lambda row: row["title"]),
]
EVENT_BYTES_MAX: Final = 16 << 20
EVENTS_DEFAULT: Final = 200_000
EVENTS_MAX: Final = 100_000_000
"""Real events that rules are checked by."""

ELSEWHERE_MAX: Final = 20
"""Rules that no file has, such as those of statistics, of which precision is told."""

Paths = Annotated[
    list[Path] | None,
    Argument(
        metavar="PATH",
        help="Rule files and folders. Default: those that the configuration names.",
        show_default=False,
    ),
]
RuleName = Annotated[
    str,
    Argument(metavar="RULE", help="Its file's name, its own, its id, or the beginning of that.", show_default=False),
]


@rules.command("list", epilog="Example: miniwatch rules list --severity high")
def list_rules(
    severity: SeverityWord = None,
    tag: Annotated[str | None, Option("--tag", metavar=filters.TAG.metavar, help=filters.TAG.about)] = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List the rules that run, and which of them are in shadow; those that were refused are counted on standard error."""
    from monitor.cli.filters import filters_told
    from monitor.cli.opening import configuration
    from monitor.cli.rule_files import handles, unique_digits
    from monitor.content.in_force import rules_of
    from monitor.listing.feedback import precision_text, share_text
    from monitor.listing.in_force import chosen_rules, rule_told

    loaded = rules_of(configuration(config, data_dir))
    said = _said(config, data_dir)
    with filters_told():
        chosen = chosen_rules(loaded.rules, {"severity": severity, "tag": tag})
    called = handles(loaded.rules)
    digits = unique_digits(called)
    columns: list[Column[Row]] = [
        ("RULE", lambda row: called[row["id"]]),
        ("ID", lambda row: row["id"][:digits]),
        *COLUMNS,
    ]
    if any(row.id in said.precisions.rules for row in chosen):
        columns.insert(2, ("PRECISION", lambda row: share_text(said.precisions.of_rule(row["id"]))))
        columns.insert(3, ("MARKED", lambda row: said.precisions.of_rule(row["id"]).marked or ""))
    if said.shadowed:
        columns.insert(2, ("STATE", lambda row: "in shadow" if row["in_shadow"] else ""))
    write_rows(output, [rule_told(rule, said) for rule in chosen], columns)
    for detector, precision in said.precisions.detectors.items():
        say(f"What {detector} finds is right, by what people have marked: {precision_text(precision)}.")
    in_files = {rule.id for rule in loaded.rules}
    elsewhere = [(rule, one) for rule, one in said.precisions.rules.items() if rule not in in_files]
    for rule, precision in elsewhere[:ELSEWHERE_MAX]:
        say(f"  {visible(rule)}, which is in no file: {precision_text(precision)}")
    if loaded.problems:
        say(f"{counted(len(loaded.problems), 'problem')} in rules that do not run; `miniwatch rules check` names them.")


@rules.command("show", epilog="Example: miniwatch rules show 277df3d1")
def show_rule(name: RuleName, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show one rule: what it says of itself, and its text."""
    from monitor.cli.opening import configuration
    from monitor.cli.rule_files import rule_starting
    from monitor.listing.feedback import precision_text
    from monitor.listing.in_force import rule_told

    rule = rule_starting(name, configuration(config, data_dir))
    said = _said(config, data_dir)
    row = rule_told(rule, said)
    shown = {**row, "feedback": precision_text(said.precisions.of_rule(rule.id)) or None}
    kept = ((key.replace("_", " "), value) for key, value in shown.items() if value is not None)
    told = [(key, value if isinstance(value, list) else str(value)) for key, value in kept]
    write_one(output, row, told)
    if output is Form.TABLE:
        write_text("\n" + Path(rule.path).read_text(encoding="utf-8-sig"))


rules.command("reload", epilog='Example: miniwatch rules reload --reason "New rule for box apps"')(reload_rules)
rules.command("keygen", epilog="Example: miniwatch rules keygen signing.key")(make_signing_key)
rules.command("pack", epilog="Example: miniwatch rules pack mine/ --key signing.key --version 7 -O mine-7.mwp")(
    pack_folder
)
rules.command("verify", epilog="Example: miniwatch rules verify mine-7.mwp")(verify_pack)
rules.command("activate", epilog='Example: miniwatch rules activate mine-7.mwp --stage shadow --reason "New box apps"')(
    activate_pack
)
rules.command("rollback", epilog='Example: miniwatch rules rollback --reason "Too many findings"')(roll_pack_back)
rules.command("packs", epilog="Example: miniwatch rules packs -o json")(list_packs)
rules.command("history", epilog="Example: miniwatch rules history -o json")(rule_history)
rules.command("shadow", epilog='Example: miniwatch rules shadow 277df3d1 --reason "Too many findings" --for 2d')(
    shadow_rule
)
rules.command("unshadow", epilog='Example: miniwatch rules unshadow 277df3d1 --reason "Mended"')(unshadow_rule)


@rules.command("check", epilog="Example: miniwatch rules check rules/mine/ --strict")
def check_rules(
    paths: Paths = None,
    strict: Annotated[bool, Option("--strict", help="Exit 1 for warnings too.")] = False,
    source: Annotated[
        list[str] | None,
        Option("--source", "-s", metavar="URI", help="Look at these events instead of the archive's newest."),
    ] = None,
    events: Annotated[
        int, Option("--events", metavar="N", min=0, max=EVENTS_MAX, help="Look at so many real events; 0 for none.")
    ] = EVENTS_DEFAULT,
    broad_share: Annotated[
        float,
        Option(
            "--broad-share", metavar="SHARE", min=0.0, max=1.0, help="Warn of rules that are true of a larger share."
        ),
    ] = 0.01,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Check that rules can be loaded, and how they could be better: every problem and warning with its file and line.

    Exits 1 when there is a problem. What each warning means stands in docs/rules.md.
    """
    from monitor.backtest.rerun import past_of
    from monitor.cli.past import past_configuration
    from monitor.cli.rule_check import check_configured, check_paths, measured

    loaded = past_configuration(config, data_dir, source, None, None)
    checked = check_paths(paths, loaded) if paths else check_configured(loaded)
    told = list(checked.told)
    with past_of(loaded) as past:
        if events and checked.rules and (source or past.segments):
            more, record = measured(checked, past, events, broad_share, own_only=not paths)
            told += more
            say(f"{counted(record.events, 'event')} of {'the sources' if source else 'the archive'} looked at.")
    if output is Form.TABLE:
        told = [each for each in told if not each.is_said]
        for each in told:
            write_text(visible(each.text))
    else:
        write_rows(output, [each.row() for each in told], [])
    problems = sum(each.kind == "problem" for each in told)
    found = f"{counted(problems, 'problem')}, {counted(len(told) - problems, 'warning')}"
    say(f"{counted(checked.loadable, 'rule')} can be loaded, {found}.")
    if problems or (strict and len(told) > problems):
        leave(FOUND_PROBLEMS)


@rules.command("test", epilog="Example: miniwatch rules test rules/mine/new.yml")
def run_twins(
    paths: Paths = None,
    junit: Annotated[
        Path | None, Option("--junit", metavar="FILE", help="Write the results there too, as build servers read them.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Run rules on their twins (NAME/hit.jsonl, NAME/miss.jsonl beside NAME.yml). Exits 1 when one fails."""
    from monitor.cli.junit import write_junit
    from monitor.cli.opening import configuration
    from monitor.cli.rule_tests import cases_configured, cases_in

    given = configuration(config)
    cases = list(cases_in(paths, given) if paths else cases_configured(given))
    told = [text for case in cases for text in (*case.errors, *map(str, case.failures))]
    for text in told:
        write_text(visible(text))
    if junit is not None:
        write_junit(junit, cases)
    tried = sum(not case.errors for case in cases)
    say(f"{counted(tried, 'rule file')} tested, {counted(len(told), 'failure')}.")
    if told:
        leave(FOUND_PROBLEMS)


@rules.command("explain", epilog="Example: miniwatch rules explain 277df3d1 @event.json")
def explain_rule(
    name: Annotated[
        str,
        Argument(metavar="RULE", help="Its id, the beginning of it, its name, or a rule file.", show_default=False),
    ],
    event: Annotated[
        str,
        Argument(
            metavar="EVENT",
            help="Id of an archived event, a file with NDJSON (also @FILE), or - for standard input.",
            show_default=False,
        ),
    ],
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Say of each part of a rule whether it is true of an event, and why; of a correlation, also what its windows hold."""
    from monitor.cli.judging import archived, explanations, foreign, registry_said, windows_of
    from monitor.cli.opening import configuration
    from monitor.cli.rule_named import rule_and_counted
    from monitor.cli.window_telling import stamped, window_lines

    loaded = configuration(config, data_dir)
    rule, counting = rule_and_counted(name, loaded)
    is_foreign = event == "-" or event[:1] == "@" or Path(event).is_file()
    given = foreign(_content(event), loaded) if is_foreign else archived(event, config, data_dir)
    judged = explanations(counting, given, loaded)
    windows = windows_of(rule, counting, given, loaded) if rule.is_correlation else None
    if output is Form.TABLE:
        for number, (base, explanation) in enumerate(judged):
            write_text(("\n" if number else "") + _verdict(base, explanation))
        if windows is not None:
            write_text("")
            write_pairs([("Correlation", f"{rule.title} ({rule.id})"), *window_lines(windows)])
    else:
        rows = [_why(base, explanation) for base, explanation in judged]
        if windows is not None:
            rows.append({"rule": rule.id, "title": rule.title, **stamped(windows)})
        write_rows(output, rows, [])
    said = registry_said(counting, given, loaded)
    if said is not None:
        say(said)
    why = _said(config, data_dir).shadowed.get(rule.id)
    if why is not None:
        say(f"This rule is in shadow, what it leads to is only recorded: {why}")


def _verdict(rule: Rule, explanation: Explanation) -> str:
    verdict = "matches" if explanation.true else "does not match"
    return "\n".join([f"{rule.title} ({rule.id}) {verdict}:", *(visible(line) for line in explanation.lines(1))])


def _why(rule: Rule, explanation: Explanation) -> Row:
    return {"rule": rule.id, "title": rule.title, "matches": explanation.true, "why": explanation.row()}


def _said(config: Path | None, data_dir: Path | None) -> RulesSaid:
    """What was said of rules, nothing where there is no record yet."""
    from monitor.cli.opening import configuration, record
    from monitor.clock import now_us
    from monitor.listing.in_force import NOTHING_SAID, rules_said
    from monitor.recorded import may_have_record

    if not may_have_record(configuration(config, data_dir)):
        return NOTHING_SAID
    with record(config, data_dir) as opened:
        return rules_said(opened.store, now_us())


def _content(event: str) -> bytes:
    content = sys.stdin.buffer.read(EVENT_BYTES_MAX + 1) if event == "-" else Path(event.removeprefix("@")).read_bytes()
    if len(content) > EVENT_BYTES_MAX:
        raise Refused(f"more than {EVENT_BYTES_MAX} bytes of events; give fewer", USAGE)
    return content
