"""The registry: read from lines, joined to events as of their time."""

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import TIME
from monitor.registry import COLUMNS, Registry, parse_registry, released_version
from monitor.stores import AppRecord

ALL = frozenset(COLUMNS)


def record(app_id="wx1", as_of=0, **keys):
    return AppRecord(app_id=app_id, as_of=as_of, document=json.dumps({"app_id": app_id, **keys}))


def events(*rows, version=None, api=None):
    """Events of (app, time)."""
    return pl.DataFrame(
        {
            "miniprogram.app_id": pl.Series([app for app, _ in rows], dtype=pl.String),
            "miniprogram.version": pl.Series([version] * len(rows), dtype=pl.String),
            "miniprogram.api": pl.Series([api] * len(rows), dtype=pl.String),
            TIME: pl.Series([time for _, time in rows], dtype=pl.Int64),
        }
    )


def joined(records, frame, column):
    return Registry(records).join(frame, ALL)[column].to_list()


def test_a_later_line_replaces_an_apps_earlier_one_from_its_time_on():
    lines = [record(as_of=20, merchant_id="new"), record(as_of=10, merchant_id="old")]
    assert joined(lines, events(("wx1", 9), ("wx1", 10), ("wx1", 19), ("wx1", 20)), "app.merchant_id") == [
        None,
        "old",
        "old",
        "new",
    ]


def test_of_two_lines_for_one_time_the_later_in_the_file_holds():
    assert joined([record(name="a"), record(name="b")], events(("wx1", 5)), "app.name") == ["b"]


def test_an_unregistered_app_is_unknown_rather_than_empty():
    row = Registry([record(declared_domains=["a.example.com"])]).join(events(("wx2", 5)), ALL).row(0, named=True)
    assert row["app.category"] == "unknown"
    assert row["app.declared_domains"] is None
    assert row["app.protected"] is None


def test_an_empty_declaration_is_not_an_unknown_one():
    assert joined([record(declared_domains=[])], events(("wx1", 5), (None, 5)), "app.declared_domains") == ["[]", None]


def test_an_empty_registry_joins_nothing_but_unknowns():
    assert joined([], events(("wx1", 5)), "app.declared_permissions") == [None]


def test_no_events_give_all_columns():
    frame = Registry([record()]).join(events(), ALL)
    assert {name: frame.schema[name] for name in COLUMNS} == COLUMNS


def test_only_the_columns_asked_for_are_added_and_other_names_left_alone():
    frame = Registry([record()]).join(events(("wx1", 5)), frozenset({"app.protected", "app.unheard_of", "user.id"}))
    assert set(frame.columns) - set(events().columns) == {"app.protected"}


def test_permissions_are_found_in_both_spellings():
    assert joined(
        [record(declared_permissions=["camera", "scope.record"])], events(("wx1", 5)), "app.declared_permissions"
    ) == ['["camera","record","scope.camera","scope.record"]']


def test_versions_have_a_status_and_the_released_one_depends_on_the_time():
    versions = [
        {"version": "1", "status": "retired"},
        {
            "version": "2",
            "status": "released",
            "valid_from": "1970-01-01T00:00:10Z",
            "valid_to": "1970-01-01T00:00:20Z",
        },
        {"version": "3", "status": "released", "valid_from": "1970-01-01T00:00:20Z"},
    ]
    frame = events(("wx1", 9_999_999), ("wx1", 25_000_000), ("wx1", 10_000_000), version="1")
    assert joined([record(versions=versions)], frame, "app.released_version") == [None, "3", "2"]
    assert joined([record(versions=versions)], frame, "app.version_status") == ["retired"] * 3
    assert joined([record(versions=versions)], events(("wx1", 5), version="9"), "app.version_status") == [None]


def test_the_fields_that_a_join_reads_are_told():
    assert Registry.fields(frozenset({"app.version_status", "catalogue.known"})) == {
        "miniprogram.app_id",
        "miniprogram.version",
        "miniprogram.api",
    }
    assert Registry.fields(frozenset({"url.full"})) == frozenset()


def test_facts_of_the_catalogue_are_joined_by_api():
    assert joined([], events(("wx1", 5), api="getLocation"), "catalogue.scope") == ["scope.userLocation"]


def test_a_file_gives_records_and_tells_each_bad_line():
    lines = [
        b'\xef\xbb\xbf{"app_id":"wx1","owner_note":"kept","as_of":"1970-01-01T00:00:01Z"}',
        b"",
        b"{broken",
        b'{"app_id":""}',
        b'{"app_id":"wx2","declared_domains":"not a list"}',
        b'{"app_id":"wx3","versions":[{"version":"1","status":"perhaps"}]}',
        b'{"app_id":"wx4","as_of":"yesterday"}',
        b'{"app_id":"wx5","note":"\xff"}',
        b'{"app_id":"wx6"}',
    ]
    records, problems = parse_registry(lines, now=7)
    assert [(one.app_id, one.as_of) for one in records] == [("wx1", 1_000_000), ("wx6", 7)]
    assert "owner_note" in records[0].document
    assert [problem.line for problem in problems] == [3, 4, 5, 6, 7, 8]
    assert "review, released, gray, retired" in str(problems[3])


TIMES = st.integers(0, 6)
LINES = st.lists(st.tuples(st.sampled_from("abc"), TIMES), max_size=12)
HAPPENINGS = st.lists(st.tuples(st.sampled_from("abcd"), TIMES), max_size=12)


@given(LINES, HAPPENINGS)
@settings(max_examples=200, deadline=None)
def test_each_event_meets_the_last_line_not_after_it(lines, happenings):
    records = [record(app, time, name=str(number)) for number, (app, time) in enumerate(lines)]

    def expected(app, time):
        known = [(as_of, number) for number, (one, as_of) in enumerate(lines) if one == app and as_of <= time]
        return str(max(known)[1]) if known else None

    assert joined(records, events(*happenings), "app.name") == [expected(*one) for one in happenings]


def test_the_version_that_is_released_at_a_time_is_that_of_the_line_true_then():
    lines = [
        (
            b'{"app_id":"wx1","as_of":0,"versions":[{"version":"1","status":"released"},{"version":"2","status":"released",'
            b'"valid_from":"1970-01-01T00:00:10Z","valid_to":"1970-01-01T00:00:20Z"}]}'
        ),
        b'{"app_id":"wx1","as_of":30000,"versions":[{"version":"3","status":"gray"}]}',
    ]
    records, _ = parse_registry(lines, now=0)
    registry = Registry(records)
    asked = [registry.released("wx1", seconds * 1_000_000) for seconds in (-1, 5, 15, 25, 35)]
    assert asked == [None, "1", "2", None, None]
    assert registry.released("wx2", 0) is None
    assert released_version(records[0].document, 15_000_000) == "2"
