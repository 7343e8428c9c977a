"""The tables in the documentation say what the code says. Run this file as a program to bring them up to date."""

import re
from pathlib import Path

import pytest
import typer

from detectors.event import DATASETS, FIELDS, PEOPLE
from detectors.finding import SCOPE_FIELDS
from detectors.sigma.remark import CODES
from monitor.cli.leaving import EXIT_CODES
from monitor.cli.tree import COMMANDS, HEADINGS, app
from monitor.console.otlp_fields import RENAMED
from monitor.telemetry.metrics import metrics_table

DOCS = Path(__file__).parents[2] / "docs"


def _part(page, name):
    """What stands in a page between the two marks of a table."""
    return re.search(rf"(?s)<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", page).group(1)


def _marked(table, name):
    return f"<!-- {name}: begin -->\n{table}<!-- {name}: end -->"


def _meanings(page, name):
    """What people have written in the last column, by the first."""
    rows = [row.strip("|\n ").split(" | ") for row in _part(page, name).splitlines()[2:]]
    return {cells[0].strip("`"): cells[-1] for cells in rows}


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _events(page):
    said = {name: _meanings(page, name) for name in ("fields", "datasets")}
    fields = [[f"`{name}`", kind.value, said["fields"].get(name, "")] for name, kind in FIELDS.items()]
    datasets = [[f"`{name}`", said["datasets"].get(name, "")] for name in DATASETS]
    entities = [[f"`{scope.value}`", f"`{field}`"] for scope, field in SCOPE_FIELDS.items()]
    return {
        "fields": _table(["field", "kind", "meaning"], fields),
        "datasets": _table(["dataset", "holds"], datasets),
        "entities": _table(["entity", "field"], entities),
    }


def _rules(_page):
    return {"remarks": _table(["code", "meaning"], [[f"`{code}`", text] for code, text in CODES.items()])}


def _http(_page):
    return {"otlp": _table(["attribute", "field"], [[f"`{name}`", f"`{field}`"] for name, field in RENAMED.items()])}


EVERYWHERE = ("--config", "--data-dir", "--output", "--help")
"""Options that are the same wherever they are: explained once."""


def _command_line(_page):
    overview = typer.main.get_command(app)
    root = overview.make_context("miniwatch", [], resilient_parsing=True)
    commands, shared = [], {}
    for heading in HEADINGS:
        commands.append(f"## {heading}\n\n")
        for place in COMMANDS:
            if place.heading == heading:
                for command, context in _commands(overview.get_command(root, place.name), root):
                    commands.append(_described(command, context, shared))
    return {
        "commands": "\n".join(commands).replace("\n\n\n", "\n\n"),
        "everywhere": _table(["option", "meaning"], [shared[name] for name in EVERYWHERE]),
        "exit codes": _table(["code", "says"], [[f"`{code}`", means] for code, means in EXIT_CODES.items()]),
    }


def _commands(command, above):
    """A command, or those of a group, each with the context in which it describes itself."""
    context = command.context_class(command, info_name=command.name, parent=above, **command.context_settings)
    if not hasattr(command, "commands"):
        yield command, context
        return
    for name in command.list_commands(context):
        yield from _commands(command.get_command(context, name), context)


def _described(command, context, shared):
    """One command: how it is called, what it does, what it takes, and an example of it."""
    rows, common = [], []
    for parameter in command.get_params(context):
        told = parameter.get_help_record(context)
        if told is None:
            continue
        name, meaning = _parameter(*told)
        same = next((option for option in EVERYWHERE if option in parameter.opts), None)
        if same is not None and shared.setdefault(same, [name, meaning]) == [name, meaning]:
            common.append(same)
        else:
            rows.append([name, meaning])
    paragraphs = [" ".join(part.split()).replace("<", "&lt;") for part in (command.help or "").split("\n\n")]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    usage = usage.replace("{", "").replace("}", "").replace("[[", "[").replace("]]", "]")
    pieces = [f"### {context.command_path.removeprefix('miniwatch ')}", f"```text\n{usage}\n```", *paragraphs]
    if rows:
        pieces.append(_table(["argument or option", "meaning"], rows).rstrip())
    taken = [f"`{option}`" for option in common if option != "--help"]
    if taken:
        pieces.append(f"And {', '.join(taken)}, [as everywhere](#options-of-nearly-every-command).")
    if command.epilog:
        pieces.append(f"```sh\n{command.epilog.removeprefix('Example: ')}\n```")
    return "\n\n".join(pieces) + "\n"


BOUND = re.compile(r"(?<=[\[ ])(?:([\d.]+)<=)?x([<>])=([\d.]+)(?=[;\]])")
"""How the framework tells between which numbers a value is to be."""


def _parameter(name, meaning):
    """Name and meaning as a table may have them; the type of an argument says what its meaning says."""
    shown = re.sub(r" <(?:list\[)?(?:str|path|Path|int)\]?>$", "", name).replace("|", r"\|")
    kept = BOUND.sub(_between, " ".join(meaning.split()))
    kept = re.sub(r"\[((?:required|default: |env var: |from |at most ).*)\]$", r"(\1)", kept)
    return f"`{shown}`", kept.replace("|", r"\|").replace("<", "&lt;").rstrip()


def _between(bound):
    least, way, last = bound.groups()
    if way == ">":
        return f"from {last} on"
    return f"from {least} to {last}" if least is not None else f"at most {last}"


PAGES = {
    "command-line.md": _command_line,
    "events.md": _events,
    "http.md": _http,
    "metrics.md": lambda _page: {"metrics": metrics_table()},
    "rules.md": _rules,
}


@pytest.mark.parametrize("name", PAGES)
def test_every_table_is_what_the_code_says(name):
    page = (DOCS / name).read_text()
    for part, table in PAGES[name](page).items():
        assert _part(page, part) == table, f"run `python tests/house/test_tables.py`: {name}, {part}"


def test_every_field_and_dataset_is_explained():
    page = (DOCS / "events.md").read_text()
    assert [name for part in ("fields", "datasets") for name, text in _meanings(page, part).items() if not text] == []


def test_every_hashed_field_is_called_so():
    meanings = _meanings((DOCS / "events.md").read_text(), "fields")
    assert {name for name, text in meanings.items() if text.endswith("hashed")} == set(PEOPLE)


def main():
    """Write every table anew; what people have written in it stays."""
    for name, tables in PAGES.items():
        page = (DOCS / name).read_text()
        for part, table in tables(page).items():
            page = page.replace(_marked(_part(page, part), part), _marked(table, part))
        (DOCS / name).write_text(page)


if __name__ == "__main__":
    main()
