import pytest

from playbooks.duration import about_text, duration_text, parse_duration_s


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800)])
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["0", "0d", "0s", "permanent", "-1d", "", "7", "1w", "366d", "٣d", "1.5h", " 7d"])
def test_nothing_is_permanent_and_nothing_is_guessed(text):
    with pytest.raises(ValueError, match="is"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(86_400, "24 hours"), (259_200, "3 days"), (60, "1 minute"), (61, "61 seconds")]
)
def test_durations_are_said_in_the_unit_that_fits(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(23_330_274, "270 days"), (7_000, "116 minutes"), (7_200, "2 hours"), (119.6, "120 seconds"), (1, "1 second")],
)
def test_how_long_something_has_lasted_is_told_in_a_unit_that_people_can_picture(seconds, text):
    assert about_text(seconds) == text
