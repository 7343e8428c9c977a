"""The API on a port of its own over a data folder, and the command line on the same."""

import io
import json
from pathlib import Path

import httpx
from typer.testing import CliRunner

from monitor.cli.tree import app
from monitor.config import load_config
from monitor.console.api.operation import Api
from monitor.console.api.pages import ApiPages
from monitor.console.health import Health
from monitor.content.in_force import playbook_folders, playbooks_of, rules_of
from monitor.front import front_of
from monitor.kept import Kept
from monitor.playbook_files import files_of
from monitor.rulings import Rulings, laid_down_windows
from monitor.stores.appeals import AppealTerms
from monitor.telemetry import Telemetry
from monitor.tokens import Role, new_token
from playbooks.waiting import HeldConfig

YEAR_US = 365 * 86_400_000_000


class ApiSite:
    """A front with the API alone, on a data folder; it makes tokens and asks with them."""

    def __init__(self, folder: Path, **keys):
        self.now = 1_772_600_000_000_000
        self.folder = folder
        self.log = io.StringIO()
        self.config = load_config(
            None,
            {},
            {
                "data_dir": str(folder),
                "http.listen": "127.0.0.1:0",
                "http.requests_per_s_max": 100_000.0,
                **{f"http.{name}": value for name, value in keys.items()},
            },
        )
        self.kept = Kept.open(folder)
        self.store = self.kept.store
        loaded = rules_of(self.config).rules, playbooks_of(self.config).playbooks
        self.api = Api(
            store=self.store,
            people=lambda: self.kept.people(self.config),
            rules=lambda: loaded[0],
            playbooks=lambda: loaded[1],
            playbook_files=lambda: files_of(playbook_folders(self.config)),
            windows=lambda now: laid_down_windows(self.config, now),
            held=HeldConfig(),
            appeals=AppealTerms(),
            mark_days=self.config.feedback.mark_days,
            policy=Rulings(self.config, playbooks_of(self.config), self.store, lambda: self.now),
            clock=lambda: self.now,
        )
        health = Health(heartbeat_age_s=0.1)
        pages = ApiPages(self.api).pages()
        telemetry = Telemetry(stream=self.log)
        self.front = front_of(self.config, self.store, telemetry, lambda: self.now, lambda: health, pages)
        self.front.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.front.server.port}", timeout=30)
        self._tokens: dict[tuple[Role, ...], str] = {}

    def token(self, *roles: Role, lasts_us: int = YEAR_US) -> str:
        """The text of a token, made when it is first asked for."""
        if roles not in self._tokens:
            self._tokens[roles] = self.named("on-call", *roles, lasts_us=lasts_us)
        return self._tokens[roles]

    def named(self, name: str, *roles: Role, lasts_us: int = YEAR_US) -> str:
        """The text of another token."""
        made, text = new_token(name, roles, created=self.now, expires=self.now + lasts_us, actor="operator:ann")
        self.store.add_token(made, "")
        self.front.guard._known._read()
        return text

    def ask(self, path: str, role: Role = Role.ADMIN, method: str = "GET", **options) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token(role)}", **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, role: Role = Role.ADMIN, **options) -> dict:
        answer = self.ask(f"/api/v1/{path}", role, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def walk(self, path: str, limit: int = 7, **params) -> list[dict]:
        """Every row of a list, page by page."""
        found, cursor = [], {}
        while True:
            page = self.get(path, params={"limit": limit, **params, **cursor})
            found += page["items"]
            if page["next"] is None:
                return found
            assert len(page["items"]) == limit
            cursor = {"cursor": page["next"]}

    def refused(self, path: str, status: int, **options) -> str:
        answer = self.ask(f"/api/v1/{path}", **options)
        assert answer.status_code == status, answer.text
        assert list(answer.json()) == ["message"]
        return answer.json()["message"]

    def close(self) -> None:
        self.client.close()
        self.front.stop()
        self.store.close()


class CommandLine:
    """The command line on the same data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str) -> str:
        words = [*arguments, *([] if arguments[0] == "playbooks" else ["--data-dir", str(self.folder)])]
        result = CliRunner().invoke(app, words, catch_exceptions=False, prog_name="miniwatch")
        assert result.exit_code == 0, result.output
        return result.stdout

    def rows(self, *arguments: str) -> list[dict]:
        return [json.loads(line) for line in self(*arguments, "-o", "ndjson").splitlines()]
