"""The documentation as a site: every page has its place in it, and where Sphinx is there it builds without a warning."""

import importlib.util
import re
import subprocess

import pytest
from lacking import lacking


@pytest.fixture(scope="module")
def conf(root):
    """What Sphinx is told, as a module."""
    where = importlib.util.spec_from_file_location("conf", root / "docs" / "conf.py")
    module = importlib.util.module_from_spec(where)
    where.loader.exec_module(module)
    return module


def test_every_page_has_one_place_in_the_order_of_the_site(conf, documents):
    order = conf.with_order(documents["docs/index.md"]).removeprefix(documents["docs/index.md"])
    placed = re.findall(r"(?m)^[a-z][\w-]*$", order)
    assert sorted([*placed, "index"]) == sorted(
        name.removeprefix("docs/").removesuffix(".md") for name in documents if name.startswith("docs/")
    )


def test_the_site_has_every_key_of_the_configuration(conf, documents, texts):
    assert texts["config.toml"] in conf.with_every_key(documents["docs/configuration.md"])


@pytest.mark.programs
def test_sphinx_builds_the_site_without_a_warning(root, tmp_path):
    sphinx = root / "build" / "docs" / "env" / "bin" / "sphinx-build"
    if not sphinx.is_file():
        lacking("Sphinx is not installed: make docs")
    command = [sphinx, "-W", "--keep-going", "-q", "-d", tmp_path / "read", root / "docs", tmp_path / "site"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (tmp_path / "site" / "command-line.html").is_file()
