import pytest

from monitor.stores.elasticsearch import SearchSettings
from monitor.stores.elasticsearch.checking import ailments
from monitor.stores.elasticsearch.cluster import prepare
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.templates import templates
from monitor.testing.search import Says, stub_node

ROOT = {"version": {"number": "9.5.0"}, "cluster_uuid": "u"}


class Cluster:
    """What a cluster with security and index lifecycle management has, as far as it is asked."""

    def __init__(self, **more):
        self.pages = {"/": ROOT, "/_cat/allocation": [{"node": "n", "disk.percent": "50"}]}
        self.pages["/_security/user/_has_privileges"] = {"has_all_requested": True, "cluster": {}, "index": {}}
        self.pages |= more
        self.put = {}

    def __call__(self, asked):
        path = asked.path.partition("?")[0]
        if asked.method == "PUT":
            self.put[path] = asked.body
            return Says(body={"acknowledged": True})
        return Says(body=self.pages[path]) if path in self.pages else Says(404, {"error": "none"})


def _found(cluster, **keys):
    unchecked = []
    with stub_node(cluster) as node:
        found = list(ailments(SearchSettings(urls=(node.url,), **keys), unchecked))
    return [one.found for one in found], unchecked


def test_a_cluster_that_would_do_has_no_ailment():
    assert _found(Cluster()) == ([], [])


def test_a_cluster_without_security_is_not_asked_for_rights():
    cluster = Cluster()
    del cluster.pages["/_security/user/_has_privileges"]
    assert _found(cluster) == ([], ["the rights of the key: this cluster does not tell them"])


def test_an_old_cluster_is_told():
    assert _found(Cluster(**{"/": {"version": {"number": "8.13.4"}}}))[0] == ["Elasticsearch 8.13.4"]


def test_another_program_is_told():
    with stub_node(lambda _asked: Says(body={"version": {"number": "2.0"}}, is_elasticsearch=False)) as node:
        (found,) = ailments(SearchSettings(urls=(node.url,)), [])
    assert "not Elasticsearch" in found.found


def test_rights_that_are_missing_are_named():
    stream = "logs-miniwatch.events-default"
    rights = {"has_all_requested": False, "cluster": {"monitor": True, "manage_index_templates": False}}
    rights["index"] = {stream: {"create_doc": False, "read": True}}
    (found,), _ = _found(Cluster(**{"/_security/user/_has_privileges": rights}))
    assert found == f"a key without manage_index_templates, create_doc on {stream}"


def test_a_wrong_key_is_told():
    with stub_node(lambda _asked: Says(401, {"error": {"type": "security_exception", "reason": "no"}})) as node:
        (found,) = ailments(SearchSettings(urls=(node.url,)), [])
    assert "401: security_exception: no" in found.found


@pytest.mark.parametrize(
    ("meta", "word"),
    [
        ({}, "somebody else has made"),
        ({"managed_by": "miniwatch", "version": 99}, "made by a newer Miniwatch"),
        (None, "changed by hand (template.settings.index.refresh_interval)"),
    ],
)
def test_a_template_that_is_not_as_ours_is_told(meta, word):
    path = "/_component_template/miniwatch-events-default@settings"
    ours = templates(SearchSettings(urls=()))[path]
    index = {**ours["template"]["settings"]["index"], "refresh_interval": "1s"}
    body = {"template": {"settings": {"index": index}}, "_meta": ours["_meta"] if meta is None else meta}
    (found,), _ = _found(Cluster(**{path: {"component_templates": [{"component_template": body}]}}))
    assert word in found


def test_a_block_and_a_full_disk_are_told():
    blocked = {".ds-1": {"settings": {"index": {"blocks": {"read_only_allow_delete": "true"}}}}}
    pages = {
        "/logs-miniwatch.events-default/_settings": blocked,
        "/_cat/allocation": [{"node": "n", "disk.percent": "96"}],
    }
    found, _ = _found(Cluster(**pages))
    assert found == [".ds-1, which is blocked: read_only_allow_delete", "a disk of n that is 96 % full"]


def test_a_policy_of_index_lifecycle_management_is_put_before_the_templates_that_name_it():
    cluster = Cluster()
    with stub_node(cluster) as node:
        prepare(Connection(SearchSettings(urls=(node.url,), retention="ilm", events_days=200)))
    first, *_ = cluster.put
    assert first == "/_ilm/policy/miniwatch-events-default"
    assert b'"delete":{"min_age":"200d"' in cluster.put[first]
    assert (
        b'"lifecycle":{"name":"miniwatch-events-default"'
        in cluster.put["/_component_template/miniwatch-events-default@settings"]
    )
    assert b"data_retention" not in cluster.put["/_index_template/miniwatch-events-default"]


def test_the_streams_own_lifecycle_is_in_the_templates():
    cluster = Cluster()
    with stub_node(cluster) as node:
        prepare(Connection(SearchSettings(urls=(node.url,), findings_days=400)))
    assert b'"lifecycle":{"data_retention":"400d"}' in cluster.put["/_index_template/miniwatch-findings-default"]
    assert not any("_ilm" in path for path in cluster.put)
