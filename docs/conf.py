"""The documentation as a site: Sphinx reads the pages as they are, in the order of the map.

The pages are for whoever opens the repository too, so nothing stands in them that only Sphinx understands: which page follows which is
taken from the sections of `index.md`, and the reference of the configuration is the file itself.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "Miniwatch"
release = version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
exclude_patterns = ["plan.md"]
html_theme = "furo"
html_title = f"Miniwatch {release}"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_last_updated_fmt = None  # the same text gives the same site, whenever it is built
myst_heading_anchors = 4  # links to headings are those of the repository's own pages


def with_order(text: str) -> str:
    """The map, and behind it an unseen list of pages for each of its sections."""
    lists = []
    for section in re.split(r"(?m)^## ", text)[1:]:
        caption, _, rest = section.partition("\n")
        pages = re.findall(r"\]\(([\w-]+)\.md\)", rest)
        lists.append("\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""]))
    return text + "".join(lists)


def with_every_key(text: str) -> str:
    """The page about the configuration, with the file that documents each key."""
    return f"{text}\n## Every key\n\n```toml\n{(ROOT / 'config.toml').read_text()}```\n"


CHANGED = {"index": with_order, "configuration": with_every_key}


def setup(app: Any) -> None:
    """Sphinx asks for this by its name."""

    def read(_app: Any, page: str, source: list[str]) -> None:
        if page in CHANGED:
            source[0] = CHANGED[page](source[0])

    app.connect("source-read", read)
