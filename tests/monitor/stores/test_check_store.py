from monitor.testing import check_store, scratch_store


def test_the_sqlite_store_keeps_the_laws_of_stores(tmp_path_factory):
    check_store(lambda: scratch_store(tmp_path_factory.mktemp("record")))
