"""What a supervisor hands over as files is the value of the keys that they are named for, and a name that is none is told."""

import pytest

from monitor.config import ConfigError, load_config

TEXT = """
[store]
url = "postgresql://miniwatch@db.example/miniwatch"
password_file = "nowhere"

[[webhooks]]
name = "on-call"
url = "https://oncall.example/miniwatch"
"""


@pytest.fixture
def load(tmp_path):
    def load(credentials, **environ):
        folder = tmp_path / "credentials"
        folder.mkdir()
        for name, text in credentials.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o400)
        (tmp_path / "config.toml").write_text(TEXT)
        return load_config(tmp_path / "config.toml", {"CREDENTIALS_DIRECTORY": str(folder), **environ})

    return load


def _origins(config):
    return {each.key: (each.value, each.origin) for each in config.describe()}


def test_a_credential_is_the_secret_of_the_key_that_it_is_named_for(load):
    config = load({"store.password": "a\n", "webhooks.on_call.secret": "b"})
    assert config.store.password.get_secret_value() == "a"
    assert config.webhooks[0].secret.get_secret_value() == "b"
    assert _origins(config)["store.password"] == ("<secret>", "credential store.password")


def test_those_of_a_folder_are_known_by_what_stands_before_their_names(load):
    config = load({"secrets_store.password": "a", "secrets_people.key": "ab" * 16})
    assert config.store.password.get_secret_value() == "a"
    assert config.people.key.get_secret_value() == "ab" * 16


def test_a_variable_counts_more_than_a_credential(load):
    config = load({"store.password": "a"}, MINIWATCH_STORE__PASSWORD="c")
    assert config.store.password.get_secret_value() == "c"


def test_where_a_key_names_a_file_the_credential_is_that_file(load, tmp_path):
    config = load({"secrets_audit.anchor_key_file": "ab" * 32, "secrets_store.password": "a"})
    assert config.audit.anchor_key_file == str(tmp_path / "credentials/secrets_audit.anchor_key_file")


@pytest.mark.parametrize("name", ["store.pasword", "store.url", "webhooks.other.secret", "nothing"])
def test_a_name_that_is_no_key_for_a_secret_is_told_where_it_was_meant_for_us(load, name):
    with pytest.raises(ConfigError, match=f"credential secrets_{name}: found unknown key"):
        load({f"secrets_{name}": "a", "store.password": "b"})


def test_credentials_for_others_are_left_alone(load):
    assert load({"tls-ticket": "a", "store.password": "b"}).store.url


def test_no_secret_is_told_in_what_is_wrong(load):
    with pytest.raises(ConfigError) as refused:
        load({"secrets_people.key": "not-hexadecimal", "store.password": "b"})
    assert "not-hexadecimal" not in str(refused.value)


def test_a_folder_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"environment CREDENTIALS_DIRECTORY: found .*nowhere: no such file"):
        load_config(None, {"CREDENTIALS_DIRECTORY": str(tmp_path / "nowhere")})
