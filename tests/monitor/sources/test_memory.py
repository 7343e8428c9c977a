"""The source that tests feed by hand."""

from monitor.testing import SOURCE_LINE_BYTES_MAX, MemorySource, check_source


def test_a_memory_source_keeps_the_laws_of_a_source():
    check_source(lambda content: MemorySource(content, line_bytes_max=SOURCE_LINE_BYTES_MAX))


def test_a_following_one_gives_what_is_appended_and_never_ends():
    source = MemorySource(b"one\ntw", follow=True)
    source.open(None)
    assert source.read(100, 0).data == b"one\n"
    assert source.read(100, 0) is None
    assert source.lag_bytes == 2
    source.append(b"o\n")
    assert source.read(100, 0).data == b"two\n"
    assert not source.ended
