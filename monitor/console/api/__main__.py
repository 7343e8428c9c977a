"""Writes the document of the API to standard output: ``python -m monitor.console.api > docs/openapi.json``."""

import sys

from monitor.console.api.openapi import document_text
from monitor.console.api.pages import DOCUMENTED

sys.stdout.buffer.write(document_text(DOCUMENTED))
