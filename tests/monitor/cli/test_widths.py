from monitor.cli.options import Form
from monitor.cli.printing import CELL_CHARACTERS_MAX, write_rows
from monitor.cli.widths import widths_of

ID = "4f504646bb29"


def test_a_table_that_fits_is_as_wide_as_its_cells():
    assert widths_of(["ID", "TITLE"], [[ID, "Nothing at all"]], room=80) == [12, 14]


def test_an_id_is_never_broken_and_texts_are():
    assert widths_of(["ID", "TITLE"], [[ID, "many words " * 10]], room=40) == [12, 24]


def test_where_there_is_too_little_room_columns_are_left_out():
    heads, row = ["ID", "EVENTS", "RULE", "TITLE"], [ID, "2", "3b489e22", "A text of thirty characters .."]
    assert widths_of(heads, [row], room=44) == [12, 6, 0, 20]
    assert widths_of(heads, [row], room=36) == [12, 0, 0, 20]


def test_chinese_is_twice_as_wide():
    assert widths_of(["NAME"], [["同城圈子"]], room=80) == [8]


def test_of_a_long_cell_is_seen_that_something_is_left_out(capsys):
    write_rows(Form.TABLE, ["a" * CELL_CHARACTERS_MAX, "b" * (CELL_CHARACTERS_MAX + 1)], [("WHY", str), ("N", len)])
    _, whole, cut = capsys.readouterr().out.splitlines()
    assert whole.split()[0] == "a" * CELL_CHARACTERS_MAX
    assert cut.split()[0] == "b" * (CELL_CHARACTERS_MAX - 1) + "…"
