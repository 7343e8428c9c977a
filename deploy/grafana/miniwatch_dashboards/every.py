"""All dashboards, in the order in which one looks at them."""

from __future__ import annotations

from typing import Final

from miniwatch_dashboards.detection import DETECTION
from miniwatch_dashboards.oncall import ONCALL
from miniwatch_dashboards.overview import OVERVIEW
from miniwatch_dashboards.page import Page
from miniwatch_dashboards.pipeline import PIPELINE
from miniwatch_dashboards.response import RESPONSE
from miniwatch_dashboards.storage import STORAGE

DASHBOARDS: Final[tuple[Page, ...]] = (OVERVIEW, PIPELINE, DETECTION, RESPONSE, ONCALL, STORAGE)
