"""The lists over HTTP are those of the command line: same rows, same filters, same objects; in pages that miss nothing."""

import json

import msgspec
import pytest
import typer
from api_site import CommandLine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity
from monitor.cli.tree import app
from monitor.console.api import lists, openapi, pages
from monitor.responding import adding as responding
from monitor.stores import Turn
from monitor.stores.appeals import AppealTerms
from playbooks.action import Ban
from playbooks.waiting import HeldConfig

COMMAND = typer.main.get_command(app)
PAGED = [operation for operation in pages.OPERATIONS if operation.paged]
OWN_ORDER = ("rules",)
"""Lists whose order on the command line is another: by file, not by id."""


def _options(name):
    command = COMMAND.get_command(None, name).get_command(None, "list")
    found = {each.name if name != "tokens" else each.opts[0][2:]: each for each in command.params}
    spelled = {each.opts[0].removeprefix("--"): each for each in found.values()}
    return {
        word: each
        for word, each in spelled.items()
        if word not in ("limit", "output", "config", "data-dir", "help", "from")  # what is read, and how: no filters
    }


@pytest.mark.parametrize("operation", PAGED, ids=lambda each: each.name)
def test_a_list_has_exactly_the_filters_of_the_command_line_in_the_same_words(operation):
    options = _options(operation.tag)
    assert {each.name: each.about for each in operation.filters} == {name: each.help for name, each in options.items()}


@pytest.mark.parametrize("operation", PAGED, ids=lambda each: each.name)
def test_every_list_is_the_same_over_http_and_on_the_command_line(site, line, operation):
    said = line.rows(operation.tag, "list")
    told = site.walk(operation.tag)
    if operation.tag == "tokens":  # made by these tests meanwhile
        told = [row for row in told if row["id"] in {one["id"] for one in said}]
    if operation.tag in OWN_ORDER:
        said.sort(key=lambda row: row["id"])
    assert said
    assert told == said
    numbers = {name for row in told for name, value in row.items() if isinstance(value, int) and value > 10**15}
    assert numbers == set(), "a time is told as a number"


FILTERED = [
    ("findings", {"severity": "HIGH"}),
    ("findings", {"since": "2026-03-02T12:00:00Z", "until": "2026-03-02T18:00:00+00:00"}),
    ("findings", {"scope": "appid"}),
    ("findings", {"rule": "277df3d1"}),
    ("incidents", {"sort": "risk"}),
    ("incidents", {"state": "open", "severity": "medium"}),
    ("decisions", {"state": "held"}),
    ("decisions", {"mode": "replay", "since": "2026-03-02T06:00:00Z"}),
    ("deadletters", {"reason": "broken-json"}),
    ("appeals", {"state": "FILED", "app": "wx77"}),
    ("apps", {"category": "finance"}),
    ("rules", {"tag": "behaviour.8", "severity": "medium"}),
]


@pytest.mark.parametrize(("name", "filters"), FILTERED, ids=str)
def test_filters_leave_the_same_rows(site, line, name, filters):
    options = [word for key, value in filters.items() for word in (f"--{key}", value)]
    said = line.rows(name, "list", *options)
    assert said
    if name in OWN_ORDER:
        said.sort(key=lambda row: row["id"])
    assert site.walk(name, limit=5, **filters) == said


def test_the_queue_is_that_of_the_command_line(fresh):
    for number in range(5):
        responding.add(
            fresh.store,
            Entity(Scope.APP, f"wx{number}"),
            Ban(duration_s=86_400),
            actor="operator:ann",
            reason="A storm",
            now=fresh.now + number % 2,
        )
    said = CommandLine(fresh.folder).rows("decisions", "list", "--waiting")
    assert len(said) == 5
    assert fresh.walk("decisions", limit=2, waiting="true") == said
    assert "leave other filters out" in fresh.refused("decisions?waiting=true&app=wx1", 400)


def test_flags_are_filters_too(site, line):
    assert site.walk("apps", protected="true") == line.rows("apps", "list", "--protected")
    assert site.walk("allowlists", expired="true") == line.rows("allowlists", "list", "--expired")


def test_findings_of_an_incident_and_of_an_app_are_the_same(site, line):
    incident = line.rows("incidents", "list")[0]
    key, entity = incident["id"], incident["entity"]
    assert site.walk("findings", incident=key[:12]) == line.rows("findings", "list", "--incident", key)
    about = {"scope": entity["scope"], "value": entity["value"]}
    assert site.walk("incidents", **about) == line.rows(
        "incidents", "list", "--scope", entity["scope"], "--value", entity["value"]
    )


def test_a_person_is_found_by_their_own_id(site, line):
    found = [row for row in line.rows("findings", "list") if row["entity"]["scope"] == "OpenId"]
    if found:
        assert site.walk("findings", scope="OpenId", value=found[0]["entity"]["value"])
    key = site.kept.people(site.config)("oPerson-1")
    assert (
        site.get("findings", params={"scope": "OpenId", "value": "oPerson-1"})["items"]
        == site.get("findings", params={"scope": "OpenId", "value": key})["items"]
    )


def test_a_page_can_be_one_object_a_line(site, line):
    answer = site.ask("/api/v1/findings?limit=3&severity=low", headers={"Accept": "application/x-ndjson"})
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    rows = [json.loads(text) for text in answer.text.splitlines()]
    assert rows == line.rows("findings", "list", "--severity", "low", "--limit", "3")
    more = site.ask(answer.links["next"]["url"], headers={"Accept": "application/x-ndjson"})
    assert [json.loads(text) for text in more.text.splitlines()] == line.rows(
        "findings", "list", "--severity", "low", "--limit", "6"
    )[3:]


@pytest.mark.parametrize("name", ["findings", "incidents", "decisions", "deadletters", "allowlists", "rules"])
def test_an_object_is_that_of_the_command_line(site, line, name):
    row = line.rows(name, "list")[0]
    shown = [row] if name == "allowlists" else line.rows(name, "show", row["id"])
    assert [site.get(f"{name}/{row['id']}")] == shown
    assert "there is no" in site.refused(f"{name}/zzz", 404)


def test_of_an_app_and_of_a_playbook_the_same_is_told(site, line):
    app_id = line.rows("incidents", "list")[-1]["entity"]["value"]
    assert [site.get(f"apps/{app_id}")] == line.rows("apps", "show", app_id)
    assert [site.get("playbooks/payment-abuse")] == line.rows("playbooks", "show", "payment-abuse")
    assert "nothing is known" in site.refused("apps/wx-nobody", 404)


def test_the_beginning_of_an_id_will_do_if_it_is_of_one(site):
    rows = site.walk("findings", limit=1000)
    first = next(row["id"][0] for row in rows if sum(one["id"][0] == row["id"][0] for one in rows) > 1)
    assert "several" in site.refused(f"findings/{first}", 400)
    assert site.get(f"findings/{rows[0]['id'][:20]}") == rows[0]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("severty=high", "'severty' is no parameter here"),
        ("severity=high&severity=low", "severity is given twice"),
        ("severity=urgent", "severity: 'urgent' is none of informational"),
        ("since=soon", "since: 'soon' is no time"),
        ("since=", "since: 1 to 256"),
        ("limit=0", "limit: 1 to 1000"),
        ("limit=1e3", "limit: 1 to 1000"),
        ("limit=²", "limit: 1 to 1000"),
        ("app=wx1&value=x", "app: app already says whom"),
        ("rule=zzz", "there is no rule with findings zzz"),
        ("incident=zzz", "there is no incident zzz"),
        ("cursor=AAAA", "cursor: this is none of this list"),
        ("state=open", "'state' is no parameter here"),
    ],
)
def test_what_is_wrong_with_a_parameter_is_told(site, query, told):
    assert site.refused(f"findings?{query}", 400).startswith(told)


def test_a_cursor_is_of_one_list_and_order(site):
    by_time = site.get("incidents?limit=1")["next"]
    assert "cursor" in site.refused(f"findings?cursor={by_time}", 400)
    assert "cursor" in site.refused(f"incidents?sort=risk&cursor={by_time}", 400)
    by_risk = site.get("incidents?limit=1&sort=risk")["next"]
    assert "cursor" in site.refused(f"incidents?cursor={by_risk}", 400)


def test_how_long_ago_a_list_begins_does_not_move_while_it_is_read(fresh):
    fresh.store.commit(Turn(number=1, findings=[_finding(number, fresh.now - number) for number in range(10)]))
    page = fresh.get("findings?since=1h&limit=5")
    fresh.now += 2 * 3_600_000_000
    assert len(fresh.get(f"findings?since=1h&limit=5&cursor={page['next']}")["items"]) == 5
    assert fresh.get("findings?since=1h")["items"] == []


def _finding(number, time):
    return Finding(
        id=f"{number:032x}",
        time=time,
        first_event=time,
        last_event=time,
        detector="sigma",
        kind="rule",
        rule=RuleRef("r", "1"),
        entity=Entity(Scope.APP, "wx1"),
        severity=Severity.LOW,
        title="t",
        evidence=Evidence(count=1),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=25),
    st.lists(st.lists(st.integers(-5, 25), max_size=4), max_size=8),
    st.integers(1, 5),
)
def test_rows_that_come_while_a_list_is_read_lose_none_and_bring_none_twice(tmp_path_factory, times, coming, limit):
    """Cuts, ties of time, and rows that come before, behind and at the place of the cursor."""
    from monitor.testing import scratch_store  # noqa: PLC0415 - beside what it is for

    store = scratch_store(tmp_path_factory.mktemp("walk"))
    count, turn = 0, 1

    def add(some):
        nonlocal count, turn
        made = [_finding((count + place) * 7919 % 100_003, 1_000_000 + time) for place, time in enumerate(some)]
        count += len(some)
        store.commit(Turn(number=turn, findings=made))
        turn += 1
        return {one.id for one in made}

    there = add(times)
    api = _api(store)
    seen, cursor, rest = [], None, list(coming)
    while True:
        page = lists.page(lists.lists.FINDINGS, api, _call(limit, cursor)).content
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
        assert len(seen) < 200, "the walk does not end"
        if cursor is None:
            break
        if rest:
            add(rest.pop())
    store.close()
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


def _api(store):
    from monitor.console.api.operation import Api  # noqa: PLC0415 - beside what it is for

    return Api(
        store=store,
        people=lambda: None,
        rules=lambda: (),
        playbooks=lambda: (),
        playbook_files=dict,
        windows=lambda _now: (),
        held=HeldConfig(),
        appeals=AppealTerms(),
        mark_days=180,
        policy=lambda: None,
        clock=lambda: 2_000_000,
    )


def _call(limit, cursor):
    from monitor.console.api.operation import Call  # noqa: PLC0415 - beside what it is for

    return Call(token=None, query={"limit": str(limit), **({"cursor": cursor} if cursor else {})})


def test_the_document_in_docs_is_that_of_the_program(pytestconfig):
    kept = (pytestconfig.rootpath / "docs" / "openapi.json").read_bytes()
    assert kept == openapi.document_text(pages.DOCUMENTED), "run: python -m monitor.console.api > docs/openapi.json"


def test_no_secret_of_a_token_and_nothing_sealed_leaves(site):
    (token,) = [one for one in site.store.tokens() if one.name == "gateway"]
    letter = next(site.store.dead_letters())
    whole = b""
    for operation in PAGED:
        whole += site.ask(f"{operation.whole_path}?limit=1000").content
    assert token.id.encode() in whole
    assert token.digest.encode() not in whole
    assert letter.id.encode() in whole
    assert b"secret-of-a-person" not in whole
    assert msgspec.json.encode(letter.sealed)[1:-1] not in whole
