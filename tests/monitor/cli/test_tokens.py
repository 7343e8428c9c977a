from monitor.tokens import parts_of


def test_a_token_is_shown_once_listed_and_revoked(fresh):
    made = fresh.here("tokens", "add", "gateway", "--role", "ingest", "--role", "Viewer", "--expires", "30d")
    key, secret = parts_of(made.stdout.strip())
    (row,) = fresh.rows("tokens", "list")
    assert (row["id"], row["name"], row["roles"], row["state"]) == (key, "gateway", ["ingest", "viewer"], "valid")
    assert secret not in fresh.here("tokens", "list").stdout
    assert "ingest, viewer" in fresh.here("tokens", "list").stdout
    fresh.here("tokens", "revoke", key[:5], "--reason", "The gateway was replaced")
    assert fresh.rows("tokens", "list") == []
    assert fresh.rows("tokens", "list", "--all")[0]["state"] == "revoked"
    assert [row["action"] for row in fresh.rows("audit", "list")] == ["token.add", "token.revoke"]


def test_a_token_as_an_object_has_its_text_too(fresh):
    (row,) = fresh.rows("tokens", "add", "gateway", "--role", "ingest")
    assert parts_of(row["token"])[0] == row["id"]


def test_wrong_words_are_told(fresh):
    assert "none of ingest" in fresh.here("tokens", "add", "x", "--role", "root", code=2).stderr
    assert "1 to 64 characters" in fresh.here("tokens", "add", " ", "--role", "admin", code=2).stderr
    fresh.here("tokens", "add", "x", "--role", "admin")
    assert "there is no token zz" in fresh.here("tokens", "revoke", "zz", "--reason", "x", code=2).stderr
