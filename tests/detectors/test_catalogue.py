"""What is known of the platform's API names."""

import polars as pl
import pytest

from detectors.catalogue import NAME_CHARACTERS_MAX
from monitor.registry import builtin_catalogue


def facts(name: str | None) -> dict[str, object]:
    return builtin_catalogue().lookup(pl.Series([name], dtype=pl.String)).row(0, named=True)


@pytest.mark.parametrize(
    "name", ["login", "wx.request", "getFileSystemManager().writeFile", "cloud.database().collection().get"]
)
def test_published_names_and_what_is_chained_to_them_are_known(name):
    assert facts(name)["catalogue.known"] is True


@pytest.mark.parametrize("name", ["createContext().arc", "drawCanvas", "saveFile", "showHomeButton"])
def test_retired_names_are_known_and_told_apart(name):
    assert facts(name)["catalogue.known"] is True
    assert facts(name)["catalogue.retired"] is True


@pytest.mark.parametrize("name", ["cmp.setData", "npm:dayjs", "npm:dayjs().format", "task.onProgressUpdate"])
def test_what_belongs_to_the_app_itself_is_known(name):
    assert facts(name)["catalogue.known"] is True


@pytest.mark.parametrize("name", ["", "Login", "private_openUrl", "cmpx.run", "login" + "x" * NAME_CHARACTERS_MAX])
def test_other_names_are_unknown(name):
    assert facts(name)["catalogue.known"] is False


def test_an_event_without_a_call_has_no_facts():
    assert set(facts(None).values()) == {None}


def test_scope_and_kind_of_data_follow_the_call_also_through_a_manager():
    assert facts("getRecorderManager().start")["catalogue.scope"] == "scope.record"
    assert facts("getRecorderManager().onStop")["catalogue.scope"] is None
    assert facts("createCameraContext().takePhoto")["catalogue.privacy"] == "camera"
    assert facts("getLocationManager().start")["catalogue.privacy"] == "location"


def test_rows_come_back_in_order_with_repeats():
    names = pl.Series(["login", None, "nobody", "login"])
    assert builtin_catalogue().lookup(names)["catalogue.known"].to_list() == [True, None, False, True]


def test_the_catalogue_holds_the_published_surface_once():
    catalogue = builtin_catalogue()
    assert len(catalogue.names) > 480
    assert not catalogue.names & (catalogue.retired | catalogue.beside)
