"""What a search holds, document by document."""

from __future__ import annotations

from monitor.stores.elasticsearch.connection import Connection

PAGE = 5_000


def ids(connection: Connection, what: str = "events") -> list[str]:
    """The ids of all documents in a stream, each as often as it lies there, in their order."""
    stream = connection.settings.stream(what)
    connection.ask("POST", f"/{stream}/_refresh")
    opened = connection.ask("POST", f"/{stream}/_pit?keep_alive=1m").read(dict)["id"]
    body = {"size": PAGE, "sort": [{"miniwatch.id": "asc"}, "_shard_doc"], "_source": False, "track_total_hits": True}
    body |= {"pit": {"id": opened, "keep_alive": "1m"}}
    found: list[str] = []
    while True:
        told = connection.ask("POST", "/_search", body).read(dict)["hits"]
        found += [hit["sort"][0] for hit in told["hits"]]
        if len(told["hits"]) < PAGE:
            assert len(found) == told["total"]["value"]
            return found
        body |= {"search_after": told["hits"][-1]["sort"]}
