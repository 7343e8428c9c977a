"""What no file of ours holds: unfinished work, ways to run foreign text, and traces of one machine."""

import ast
import re

import yaml

from detectors.sigma.document import _Loader

UNFINISHED = re.compile(
    "|".join(
        rf"\b{a}{b}\b" for a, b in (("TO", "DO"), ("FIX", "ME"), ("X", "XX"), ("HA", "CK"), ("NotImplemented", "Error"))
    )
)
DANGEROUS = {"eval", "exec", "compile", "__import__"}
DANGEROUS_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib"}
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home/\w+)/\w")
HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("static", "crates", "io"),
        ("index", "crates", "io"),
        ("anaconda", "org"),
        ("proxy", "golang", "org"),
        ("docker", "io"),
    )
]
OUR_OWN = "tests/house/test_habits.py"


def test_nothing_is_left_for_later(texts):
    left = {name for name, text in texts.items() if UNFINISHED.search(text)}
    assert left == set()


def test_nothing_runs_foreign_text(sources):
    found = [(name, node.lineno) for name, text in sources.items() for node in ast.walk(ast.parse(text)) if _runs(node)]
    assert found == []


def _runs(node):
    match node:
        case ast.Import(names=names):
            return any(alias.name.partition(".")[0] in DANGEROUS_MODULES for alias in names)
        case ast.ImportFrom(module=module):
            return (module or "").partition(".")[0] in DANGEROUS_MODULES
        case ast.Call(func=ast.Name(id=name)) if name in DANGEROUS:
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="system" | "popen")):
            return True
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "load_all" | "unsafe_load" | "full_load")
        ):
            return True
        case ast.Call(keywords=keywords):
            return any(word.arg == "shell" and getattr(word.value, "value", True) for word in keywords)
    return False


def test_the_loader_of_rules_is_a_safe_one():
    assert issubclass(_Loader, yaml.CSafeLoader)


def test_no_file_names_a_place_on_one_machine(texts):
    found = {name: MACHINE_PATH.search(text) for name, text in texts.items() if name != OUR_OWN}
    assert {name: match.group() for name, match in found.items() if match} == {}


def test_no_file_names_a_package_registry(texts):
    found = {name: [host for host in HOSTS if host in text] for name, text in texts.items()}
    assert {name: hosts for name, hosts in found.items() if hosts} == {}
