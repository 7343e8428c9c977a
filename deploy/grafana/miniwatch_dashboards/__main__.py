"""Write all dashboards anew, beside this package."""

from __future__ import annotations

from pathlib import Path

from miniwatch_dashboards.every import DASHBOARDS
from miniwatch_dashboards.page import as_json

FOLDER = Path(__file__).parents[1] / "dashboards"


def main() -> None:
    """Write them."""
    for page in DASHBOARDS:
        (FOLDER / f"{page.uid}.json").write_text(as_json(page))


if __name__ == "__main__":
    main()
