from monitor.sealing import Seal
from monitor.stores.sqlite import SqliteStore
from monitor.testing import MemoryStore, check_store


def test_the_sqlite_store_keeps_the_laws_of_stores(tmp_path_factory):
    check_store(lambda: SqliteStore(tmp_path_factory.mktemp("record") / "miniwatch.db", seal=Seal(bytes(32))))


def test_the_memory_store_keeps_the_laws_of_stores():
    check_store(MemoryStore)
