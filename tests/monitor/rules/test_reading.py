"""Whatever stands in a folder of rules, reading it ends, and what is not read is told."""

from __future__ import annotations

import os

import pytest

from monitor.rules import reading
from monitor.rules.reading import rule_texts


def read(folder):
    problems = []
    return [found.name for found in rule_texts(folder, problems)], [str(problem) for problem in problems]


def write(path, text="x: 1"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_rules_are_read_in_the_order_of_their_paths(tmp_path):
    for name in ("b.yml", "a/z.yaml", "a.yml", "a/b/c.yml", "a/note.txt"):
        write(tmp_path / name)
    assert read(tmp_path) == (["a/b/c.yml", "a/z.yaml", "a.yml", "b.yml"], [])


def test_links_that_run_in_circles_are_followed_once(tmp_path):
    write(tmp_path / "in" / "a.yml")
    write(tmp_path / "out" / "b.yml")
    (tmp_path / "in" / "up").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "side").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "back").symlink_to(tmp_path / "in")
    assert read(tmp_path / "in") == (["a.yml", "side/b.yml"], [])


def test_a_link_to_a_file_is_as_good_as_the_file_and_hidden_folders_are_left_alone(tmp_path):
    write(tmp_path / "..data" / "a.yml")
    (tmp_path / "a.yml").symlink_to("..data/a.yml")
    write(tmp_path / ".git" / "b.yml")
    write(tmp_path / ".c.yml")
    assert read(tmp_path) == (["a.yml"], [])


def test_pipes_devices_and_links_to_nothing_are_told_and_nobody_waits_for_them(tmp_path):
    os.mkfifo(tmp_path / "a.yml")
    (tmp_path / "b.yml").symlink_to("/dev/zero")
    (tmp_path / "c.yml").symlink_to("nowhere")
    (tmp_path / "d.yml").symlink_to("d.yml")
    write(tmp_path / "e.yml")
    names, problems = read(tmp_path)
    assert names == ["e.yml"]
    assert [problem.partition("document: ")[2] for problem in problems] == [
        "cannot be read: is no plain file",
        "cannot be read: is no plain file",
        "cannot be read: No such file or directory",
        "cannot be read: Too many levels of symbolic links",
    ]


def test_a_byte_that_is_no_text_is_told_with_its_line(tmp_path):
    (tmp_path / "a.yml").write_bytes(b"title: x\nname: caf\xe9\n")
    (tmp_path / "b.yml").write_bytes(b"\xef\xbb\xbftitle: x\n")
    names, (problem,) = read(tmp_path)
    assert names == ["b.yml"]
    assert "a.yml:2: document: cannot be read: found the byte 0xe9, which is not UTF-8" in problem


def test_a_file_that_is_too_large_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(reading.read_text, "__defaults__", (10,))
    write(tmp_path / "a.yml", "x" * 11)
    write(tmp_path / "b.yml", "x" * 10)
    names, (problem,) = read(tmp_path)
    assert (names, "larger than 10 bytes" in problem) == (["b.yml"], True)


@pytest.mark.parametrize("bound", ["FILES_MAX", "ALL_BYTES_MAX"])
def test_of_too_many_rules_the_first_are_read_and_the_first_that_is_not_is_named(tmp_path, monkeypatch, bound):
    for number in range(9):
        write(tmp_path / f"{number}.yml", "x" * 10)
    monkeypatch.setattr(reading, bound, 5 if bound == "FILES_MAX" else 50)
    names, (problem,) = read(tmp_path)
    assert names == [f"{number}.yml" for number in range(5)]
    assert "5.yml" in problem
    assert ("it and 3 files after it are not" in problem) or ("from 5.yml on" in problem)


def test_a_folder_with_too_many_entries_is_not_read_at_all(tmp_path, monkeypatch):
    for number in range(4):
        write(tmp_path / f"{number}.yml")
    monkeypatch.setattr(reading, "ENTRIES_MAX", 3)
    names, (problem,) = read(tmp_path)
    assert (names, "none of it is read" in problem) == ([], True)


def test_a_folder_that_is_no_folder_is_told(tmp_path):
    write(tmp_path / "a.yml")
    for path in (tmp_path / "a.yml", tmp_path / "nowhere"):
        names, (problem,) = read(path)
        assert (names, "is no folder" in problem) == ([], True)
