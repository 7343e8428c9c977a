"""Addresses of sources."""

import io
import re

import pytest

from monitor.sources import SourceError
from monitor.sources.file import FileSource
from monitor.sources.stdin import StdinSource
from monitor.sources.uri import parse_source


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.ndjson", "a.ndjson", "a.ndjson.1", "a.ndjson-20260101.gz", "odd?name", "set[1].log"):
        (tmp_path / name).write_bytes(b"{}\n")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def partitions(folder, uri):
    return [source.partition.removeprefix(f"file:{folder}/") for source in parse_source(uri, run="r")]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:a.ndjson", ["a.ndjson"]),
        ("file:./sub/../a.ndjson", ["a.ndjson"]),
        ("file:odd%3Fname", ["odd?name"]),
        ("file:set[1].log", ["set[1].log"]),
        ("file:*.ndjson", ["a.ndjson", "b.ndjson"]),
        ("file:a.ndjson*", ["a.ndjson", "a.ndjson-20260101.gz", "a.ndjson.1"]),
        ("file:a.ndjson*?follow", ["a.ndjson"]),
        ("file:not-there-yet?follow", ["not-there-yet"]),
    ],
)
def test_a_file_address_names_one_file_or_a_sorted_pattern(folder, uri, expected):
    assert partitions(folder, uri) == expected


def test_an_absolute_address_may_have_an_empty_host(folder):
    for uri in (f"file:{folder}/a.ndjson", f"file://{folder}/a.ndjson"):
        assert partitions(folder, uri) == ["a.ndjson"]


@pytest.mark.usefixtures("folder")
def test_parameters_reach_the_source():
    (source,) = parse_source("file:a.ndjson?follow&format=combined", run="r")
    assert isinstance(source, FileSource)
    source.open(None)
    assert source.read(100, 0).format == "combined"
    assert not source.ended


def test_standard_input_carries_the_run():
    (source,) = parse_source("stdin:", run="r7", stdin=io.BytesIO())
    assert isinstance(source, StdinSource)
    assert source.partition == "stdin:r7"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("a.ndjson", "no scheme; did you mean file:a.ndjson"),
        ("http://x/y", "unknown scheme 'http'"),
        ("file:", "no path"),
        ("file:gone.ndjson", "there is no file"),
        ("file:gone*", "no file matches gone*"),
        ("file:sub", "sub is a directory; name a file, or several as sub/*.ndjson"),
        ("file://host/x", "write file:host/x or file:/host/x"),
        ("file:a.ndjson?folow", "unknown parameter 'folow' (did you mean 'follow'?); allowed are follow, format"),
        ("file:a.ndjson?follow=yes", "follow is true or false, not 'yes'"),
        ("file:a.ndjson?follow&follow", "parameter 'follow' stands twice"),
        ("file:a.ndjson?format=json", "unknown format 'json' (did you mean 'ndjson'?); allowed are ndjson, combined"),
        ("file:a.ndjson-20260101.gz?follow", "is compressed and cannot be followed"),
        ("stdin:?follow", "unknown parameter 'follow'; allowed are format"),
        ("stdin:x", "nothing may stand after stdin:"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_wrong_address_says_what_would_be_right(uri, says):
    with pytest.raises(SourceError, match=re.escape(says)):
        parse_source(uri, run="r")
