"""Processes that share a record have the same keys, or do not start."""

import pytest

from monitor.config import load_config
from monitor.kept import Kept
from monitor.sealing import SealError


def test_a_process_with_another_key_is_refused(tmp_path):
    def kept(people):
        config = load_config(None, {"MINIWATCH_PEOPLE__KEY": people}, {"data_dir": str(tmp_path)})
        return config, Kept.of(config)

    config, first = kept("5e" * 32)
    first.refuse_other_keys(config)
    first.refuse_other_keys(config)
    config, second = kept("5f" * 32)
    with pytest.raises(SealError, match=r"the people key of this process \(people.key\) is another"):
        second.refuse_other_keys(config)
    first.store.close()
    second.store.close()
