import pytest

from monitor.config import ConfigError, load_config
from monitor.searching import search_settings

NODE = {"elasticsearch.urls": ["https://search.example:9200"]}


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ({"urls": ["search.example"]}, "the URL of a node"),
        ({"urls": ["https://u:p@search.example:9200"]}, "without user and password"),
        ({"urls": ["http://search.example:9200"]}, "https, because all events go there"),
        ({"urls": ["https://search.example"]}, "with a port"),
        ({"lists": "elasticsearch"}, "elasticsearch.urls"),
        ({"namespace": "a-b"}, "namespace"),
    ],
)
def test_what_cannot_be_is_refused(keys, word):
    with pytest.raises(ConfigError, match=word):
        load_config(None, {}, {f"elasticsearch.{name}": value for name, value in keys.items()})


def test_a_secret_comes_from_a_file_and_is_printed_nowhere(tmp_path):
    key = tmp_path / "key"
    key.write_text("encoded==\n")
    key.chmod(0o600)
    config = load_config(None, {}, {**NODE, "elasticsearch.api_key_file": str(key)})
    assert search_settings(config).api_key == "encoded=="
    assert not any("encoded" in each.value for each in config.describe())
    assert "encoded" not in repr(config)
