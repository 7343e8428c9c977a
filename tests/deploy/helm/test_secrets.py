"""Whoever follows docs/kubernetes.md has made every secret, with every key of it, that the example of roles apart asks for."""

import re
import shlex

import yaml
from chart import ROOT, WORKERS

GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()
FILES = re.compile(r"/etc/miniwatch/secrets/(?P<name>[\w-]+)/(?P<key>[\w.-]+)")


def made_by_the_guide():
    """Names of secrets, and what is in each."""
    found = {}
    for line in re.findall(r"(?m)^kubectl create secret .*$", GUIDE):
        _, _, _, kind, name, *options = shlex.split(line)
        keys = {one.removeprefix("--from-").split("=")[1] for one in options if one.startswith("--from-")}
        found[name] = keys if kind == "generic" else {"tls.crt", "tls.key"}
    return found


def named(part):
    """Every reference to one key of a secret, wherever it stands."""
    if isinstance(part, dict):
        if {"name", "key"} <= part.keys():
            yield part["name"], part["key"]
        part = [*part.values()]
    if isinstance(part, list):
        for one in part:
            yield from named(one)


def mounted(pod, config):
    """Secrets that a pod has as files, and which of them its process reads."""
    secrets = {one["name"]: one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one}
    yield from ((secrets[f"secret-{file['name']}"], file["key"]) for file in FILES.finditer(config))
    yield from ((secrets["keys"], key) for key in ("people.key", "seal.key"))
    yield from ((secrets["tls"], key) for key in ("tls.crt", "tls.key"))


def test_every_secret_of_the_example_is_made(tools):
    every = [one for one in yaml.safe_load_all(tools.template(*WORKERS)) if one]
    (config,) = (one["data"]["config.toml"] for one in every if one["kind"] == "ConfigMap")
    asked = {
        pair
        for one in every
        if one["kind"] in {"StatefulSet", "Deployment"}
        for pair in mounted(one["spec"]["template"]["spec"], config)
    }
    (monitor,) = (one for one in every if one["kind"] == "ServiceMonitor")
    asked |= {*named(monitor["spec"]["endpoints"])}
    shown = [one for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", GUIDE) for one in yaml.safe_load_all(block)]
    (login,) = (one for one in shown if one.get("kind") == "TriggerAuthentication")
    (scaled,) = (one for one in every if one["kind"] == "ScaledObject")
    assert scaled["spec"]["triggers"][0]["authenticationRef"]["name"] == login["metadata"]["name"]
    asked |= {*named(login["spec"])}
    assert len(asked) > 8
    made = made_by_the_guide()
    assert {(name, key) for name, key in asked if key not in made.get(name, ())} == set()
    assert made.keys() == {name for name, _ in asked}
