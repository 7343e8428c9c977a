"""The tables in the documentation say what the code says. Run this file as a program to bring them up to date."""

import re
from pathlib import Path

import pytest

from detectors.event import DATASETS, FIELDS, PEOPLE
from detectors.finding import SCOPE_FIELDS
from detectors.sigma.remark import CODES
from monitor.console.otlp_fields import RENAMED
from monitor.telemetry.metrics import metrics_table

DOCS = Path(__file__).parents[2] / "docs"


def _part(page, name):
    """What stands in a page between the two marks of a table."""
    return re.search(rf"(?s)<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", page).group(1)


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


PAGES = {
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
            page = page.replace(_part(page, part), table)
        (DOCS / name).write_text(page)


if __name__ == "__main__":
    main()
