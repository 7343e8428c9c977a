"""What would keep events and findings from the search: the cluster, its version, the rights of our key, templates, and blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from monitor.stores.elasticsearch import KINDS, SearchError, SearchSettings
from monitor.stores.elasticsearch.cluster import VERSION_MIN, look, version_of
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.streams import sound

CHECK_S: Final = 10.0
"""Longest time one question of a check may take."""

DISK_PERCENT_MAX: Final = 90
"""Of a node's disk: above it Elasticsearch moves shards away, a little later it takes no more writes (its own defaults)."""

PRIVILEGES: Final = ("auto_configure", "create_doc", "index", "delete", "read", "maintenance", "view_index_metadata")
"""On our data streams."""

_STANDING: Final = {
    "foreign": (
        "which somebody else has made",
        "rename theirs, or set elasticsearch.namespace: nothing is written until then",
    ),
    "changed": ("changed by hand", "put what you want otherwise into {custom}, and delete this one: it is made anew"),
    "newer": ("made by a newer Miniwatch", "update this one too"),
}


class Ailment(NamedTuple):
    """Something that is wrong: what was found, what is expected, and what to do."""

    found: str
    expected: str
    remedy: str


class _Privileges(msgspec.Struct):
    has_all_requested: bool
    cluster: dict[str, bool] = {}
    index: dict[str, dict[str, bool]] = {}


def cluster_privileges(keys: SearchSettings) -> list[str]:
    """What our key must be allowed to do with the cluster."""
    return ["monitor", "manage_index_templates", *(["manage_ilm"] if keys.retention == "ilm" else [])]


def ailments(keys: SearchSettings, unchecked: list[str]) -> Iterator[Ailment]:
    """All that is wrong; what this cluster does not tell is named in `unchecked`."""
    connection = Connection(msgspec.structs.replace(keys, timeout_s=min(keys.timeout_s, CHECK_S)))
    try:
        yield from _ailments(connection, unchecked)
    except SearchError as error:
        remedy = {
            "refused": "give the key the rights that docs/elasticsearch.md lists, or correct it",
            "foreign": "correct elasticsearch.urls",
            "unreachable": "start it, or correct elasticsearch.urls and ca_file; until then nothing is lost",
        }.get(error.kind, "look at the cluster's own log; until then nothing is lost")
        yield Ailment(f"{', '.join(keys.urls)}: {error}", "a cluster that takes events", remedy)
    finally:
        connection.close()


def _ailments(connection: Connection, unchecked: list[str]) -> Iterator[Ailment]:
    version = version_of(connection)
    if version < VERSION_MIN:
        told, least = (".".join(str(part) for part in each) for each in (version, VERSION_MIN))
        yield Ailment(f"Elasticsearch {told}", f"{least} or later", "update the cluster")
        return
    yield from _rights(connection, unchecked)
    yield from _templates(connection)
    yield from _blocks(connection)
    yield from _disks(connection, unchecked)


def _rights(connection: Connection, unchecked: list[str]) -> Iterator[Ailment]:
    keys = connection.settings
    names = [keys.stream(what) for what in KINDS]
    asked = {"cluster": cluster_privileges(keys), "index": [{"names": names, "privileges": PRIVILEGES}]}
    answer = connection.ask("POST", "/_security/user/_has_privileges", asked)
    if answer.status in (400, 404, 405, 500):  # a cluster without security has no such page
        unchecked.append("the rights of the key: this cluster does not tell them")
        return
    has = sound(answer).read(_Privileges)
    missing = [name for name, given in has.cluster.items() if not given]
    missing += [
        f"{right} on {name}" for name, rights in has.index.items() for right, given in rights.items() if not given
    ]
    if missing:
        remedy = "give them to the role of the key: docs/elasticsearch.md"
        yield Ailment(f"a key without {', '.join(missing)}", "the rights to write there", remedy)


def _templates(connection: Connection) -> Iterator[Ailment]:
    for one in look(connection):
        if one.standing in _STANDING:
            what, remedy = _STANDING[one.standing]
            custom = f"{one.name.partition('@')[0]}@custom"
            detail = f" ({one.detail})" if one.detail else ""
            yield Ailment(f"the template {one.name}, {what}{detail}", "ours", remedy.format(custom=custom))


def _blocks(connection: Connection) -> Iterator[Ailment]:
    for stream in (connection.settings.stream(what) for what in KINDS):
        answer = connection.ask("GET", f"/{stream}/_settings?filter_path=*.settings.index.blocks")
        if answer.status == 404:
            continue
        for index, settings in sound(answer).read(dict[str, Any]).items():
            blocks = settings.get("settings", {}).get("index", {}).get("blocks", {})
            if set_ := sorted(name for name, value in blocks.items() if str(value) == "true" and name != "metadata"):
                remedy = "make room on its disks (it lifts read_only_allow_delete by itself), or lift the block"
                yield Ailment(f"{index}, which is blocked: {', '.join(set_)}", "an index that takes writes", remedy)


class _Disk(msgspec.Struct):
    node: str = ""
    percent: str | None = msgspec.field(name="disk.percent", default=None)


def _disks(connection: Connection, unchecked: list[str]) -> Iterator[Ailment]:
    answer = connection.ask("GET", "/_cat/allocation?format=json&h=node,disk.percent")
    if answer.status >= 300:
        unchecked.append("the disks: this cluster does not tell how full they are")
        return
    for disk in answer.read(list[_Disk]):
        if disk.percent and disk.percent.isdigit() and int(disk.percent) > DISK_PERCENT_MAX:
            found = f"a disk of {disk.node} that is {disk.percent} % full"
            yield Ailment(found, f"at most {DISK_PERCENT_MAX} %", "make room, or shorten retention")
