from monitor.testing import check_store, scratch_store
from monitor.testing.retention import check_retention


def test_the_sqlite_store_keeps_the_laws_of_stores(tmp_path_factory):
    check_store(lambda: scratch_store(tmp_path_factory.mktemp("record")))


def test_retention_deletes_what_is_over_together_and_nothing_else(tmp_path_factory):
    check_retention(lambda: scratch_store(tmp_path_factory.mktemp("record")))
