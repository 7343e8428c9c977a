"""A Kubernetes API server on the loopback interface, for as long as tests ask it. No node belongs to it: what it takes is never run."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import apiserver_made
import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ports import free_port

START_S = 120.0
END_S = 30.0

RESTRICTED = {f"pod-security.kubernetes.io/{act}": "restricted" for act in ("enforce", "warn", "audit")}


class ApiServer:
    """From entering to leaving. Raises `RuntimeError` where it does not come up."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.config = folder / "config"  # how it is reached, as kubectl and helm read it
        self._programs = apiserver_made.folder()
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self) -> None:
        peers, database, port = (free_port() for _ in range(3))
        etcd = {
            "data-dir": self._folder / "etcd",
            "listen-client-urls": f"http://127.0.0.1:{database}",
            "advertise-client-urls": f"http://127.0.0.1:{database}",
            "listen-peer-urls": f"http://127.0.0.1:{peers}",
            "initial-advertise-peer-urls": f"http://127.0.0.1:{peers}",
            "initial-cluster": f"default=http://127.0.0.1:{peers}",
            "unsafe-no-fsync": "true",
        }
        self._run("etcd", etcd)
        token = secrets.token_hex(16)
        (self._folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        (self._folder / "accounts.key").write_bytes(
            rsa.generate_private_key(65537, 2048).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        certificates = self._folder / "certificates"
        server = {
            "etcd-servers": f"http://127.0.0.1:{database}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": port,
            "endpoint-reconciler-type": "none",
            "cert-dir": certificates,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self._folder / "accounts.key",
            "service-account-signing-key-file": self._folder / "accounts.key",
            "service-cluster-ip-range": "10.96.0.0/24",
            "token-auth-file": self._folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "allow-privileged": "true",  # so that it is Pod Security that refuses
        }
        self._run("kube-apiserver", server)
        self._until_ready(f"https://127.0.0.1:{port}/readyz", token)
        known = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority": str(certificates / "apiserver.crt"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": known}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "current-context": "here",
        }
        self.config.write_text(json.dumps(config))
        self._take_kinds_of_others()

    def _run(self, name: str, flags: dict[str, object]) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            words = [str(self._programs / name), *(f"--{flag}={value}" for flag, value in flags.items())]
            environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder)}
            self._running.append(subprocess.Popen(words, stdout=log, stderr=log, cwd=self._folder, env=environment))

    def _until_ready(self, url: str, token: str) -> None:
        """Wait until it answers, and has written down the roles that every cluster has."""
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and all(one.poll() is None for one in self._running):
            try:
                # Whose certificate it is cannot be asked before it has made it.
                answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, verify=False)  # noqa: S501
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 200:
                return
            time.sleep(0.1)
        said = "\n".join(file.read_text()[-1500:] for file in self._folder.glob("*.log"))
        raise RuntimeError(f"the API server did not come up: {said}")

    def _take_kinds_of_others(self) -> None:
        for file in sorted((self._programs / "custom").iterdir()):
            self.does("create", "--filename", file)  # too long for what `apply` notes of it
        self.does("wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all")

    def kubectl(self, *words: object, given: object = None) -> tuple[int, str, str]:
        """Exit code, what it said, and what it warned of. What is given is a manifest as text, or as what is to be JSON."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "KUBECONFIG": str(self.config),
        }
        text = given if isinstance(given, str) or given is None else json.dumps(given)
        ran = subprocess.run(
            [self._programs / "kubectl", *map(str, words)],
            input=text,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr

    def does(self, *words: object, given: object = None) -> str:
        """Run a command that has to succeed, without a warning; what it says."""
        code, said, warned = self.kubectl(*words, given=given)
        assert (code, warned) == (0, ""), f"{words}: {said[-1500:]}{warned[-1500:]}"
        return said

    def got(self, *words: object) -> dict[str, Any]:
        """What the server has."""
        found: dict[str, Any] = json.loads(self.does("get", *words, "--output", "json"))
        return found

    def tried(self, manifests: object, namespace: str) -> tuple[int, str, str]:
        """Have the server go through all that it does with manifests, without keeping them."""
        words = ("apply", "--dry-run=server", "--validate=strict", "--namespace", namespace, "--filename", "-")
        return self.kubectl(*words, given=manifests)

    def namespace(self, name: str) -> str:
        """A namespace that takes nothing but pods without rights, and warns of what would make others."""
        self.does("create", "--filename", "-", given={**_named("v1", "Namespace", name, RESTRICTED)})
        return name


def _named(version: str, kind: str, name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}}
