"""The door to Elasticsearch: one request and its answer as bytes, with everything that can go wrong told as ours."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from elasticsearch import Elasticsearch, ElasticsearchWarning, UnsupportedProductError
from elasticsearch.exceptions import ConnectionError as NotConnected
from elasticsearch.exceptions import ConnectionTimeout, SerializationError, SSLError, TransportError
from elasticsearch.serializer import Serializer

from monitor.stores.elasticsearch import SearchError, SearchFault, SearchSettings

ANSWER_TOLD_MAX: Final = 300
"""Characters of a server's answer in a message."""

COMPRESSION_LEVEL: Final = 1
"""Of gzip: higher ones cost several times the CPU for a tenth fewer bytes."""

_JSON: Final = "application/vnd.elasticsearch+json; compatible-with=8"
_LINES: Final = "application/vnd.elasticsearch+x-ndjson; compatible-with=8"
"""What servers from 8 on understand."""

_BUSY: Final = frozenset({408, 429, 502, 503, 504})
_EVERY_STATUS: Final = tuple(range(300, 600))

_Body = TypeVar("_Body")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, kind: type[_Body]) -> _Body:
        """The body as what it should be; raises `SearchError` ("nonsense") when it is not."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise nonsense(f"{error}: {told(self.body)}") from None


class _AsItIs(Serializer):
    """Bodies are bytes on our side of the door."""

    mimetype: ClassVar[str] = "application/json"

    def dumps(self, data: Any) -> bytes:
        return bytes(data)

    def loads(self, data: bytes) -> bytes:
        return data


@dataclass(slots=True)
class Connection:
    """A cluster. Safe to use from several threads. Nothing is tried twice in here: who asks knows whether that is right."""

    settings: SearchSettings
    _client: Elasticsearch = field(init=False)

    def __post_init__(self) -> None:
        warnings.simplefilter("ignore", ElasticsearchWarning)  # they are about what is set up elsewhere
        keys = self.settings
        as_it_is = _AsItIs()
        kinds = [f"application/{kind}" for kind in ("json", "x-ndjson", "*")] + ["text/*"]
        kinds += [f"application/vnd.elasticsearch+{kind}" for kind in ("json", "x-ndjson")]
        given: dict[str, Any] = {}
        if keys.api_key:
            given["api_key"] = keys.api_key
        elif keys.username:
            given["basic_auth"] = (keys.username, keys.password or "")
        if keys.ca_file:
            given["ca_certs"] = keys.ca_file
        with _mistakes_told():
            client = Elasticsearch(
                list(keys.urls),
                serializers=dict.fromkeys(kinds, as_it_is),
                request_timeout=keys.timeout_s,
                max_retries=0,
                retry_on_timeout=False,
                connections_per_node=keys.bulks_max + 1,
                dead_node_backoff_factor=0.1,
                max_dead_node_backoff=keys.rest_s_max,
                **given,
            )
            self._client = client.options(ignore_status=_EVERY_STATUS)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        lines: bytes | memoryview | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send a request; `body` as JSON, or `lines` as they are. Raises `SearchError`; a status below 500 that is no sign of
        too much work, missing rights or a block is for who asks to judge.
        """
        headers = {"accept": _JSON}
        raw: bytes | memoryview | None = None
        if lines is not None:
            raw, headers["content-type"] = lines, _LINES
        elif body is not None:
            raw, headers["content-type"] = msgspec.json.encode(body), _JSON
        if raw is not None and self.settings.compress:
            raw, headers["content-encoding"] = gzip.compress(raw, COMPRESSION_LEVEL), "gzip"
        client = self._client if timeout_s is None else self._client.options(request_timeout=timeout_s)
        with _mistakes_told():
            answer = client.perform_request(method, path, headers=headers, body=raw)
        meta = answer.meta
        found = Answer(meta.status, meta.headers, answer.body if isinstance(answer.body, bytes) else b"")
        _judge(found, method)
        return found

    def close(self) -> None:
        self._client.close()


@contextmanager
def _mistakes_told() -> Iterator[None]:
    """What the client raises, as a `SearchError`."""
    try:
        yield
    except UnsupportedProductError:
        raise foreign() from None
    except ConnectionTimeout:
        raise SearchError("unreachable", "no answer in time", retryable=True) from None
    except SSLError as error:
        raise SearchError("unreachable", f"TLS: {_short(error)}", retryable=True) from None
    except NotConnected as error:
        raise SearchError("unreachable", f"cannot be reached: {_short(error)}", retryable=True) from None
    except SerializationError as error:
        raise nonsense(_short(error)) from None
    except (TransportError, OSError, ValueError) as error:
        raise SearchError("unreachable", _short(error), retryable=True) from None


def _judge(answer: Answer, method: str) -> None:
    if answer.status in (401, 403) and not _is_block(answer.body):
        raise SearchError("refused", f"{answer.status}: {told(answer.body)}", retryable=True)
    if answer.status == 403:
        raise SearchError("full", told(answer.body), retryable=True)
    if answer.status in _BUSY:
        kind: SearchFault = "full" if _is_block(answer.body) else "busy"
        raise SearchError(kind, f"{answer.status}: {told(answer.body)}", retryable=True, rest_s=_wished(answer))
    if answer.status >= 500:
        raise SearchError("failing", f"{answer.status}: {told(answer.body)}", retryable=True)
    if answer.status < 300 and answer.headers.get("x-elastic-product") != "Elasticsearch":
        raise foreign()
    if 300 <= answer.status < 400:
        raise nonsense(f"status {answer.status} to {method}")


def _is_block(body: bytes) -> bool:
    return b"cluster_block_exception" in body


def _wished(answer: Answer) -> float:
    """Seconds for which the server says that it wants to be left alone."""
    text = answer.headers.get("retry-after") or "0"
    return float(text) if text.isascii() and text.isdigit() else 0.0


def foreign() -> SearchError:
    """What answers there is another program."""
    return SearchError("foreign", "what answers there is not Elasticsearch", retryable=True)


def nonsense(why: str) -> SearchError:
    """An answer that makes no sense: nothing follows from it."""
    return SearchError("nonsense", f"its answer makes no sense: {why}", retryable=True)


class _Cause(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _Told(msgspec.Struct):
    error: _Cause | str = ""


def told(body: bytes) -> str:
    """What a server says is wrong, for a message."""
    try:
        error = msgspec.json.decode(body, type=_Told).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return body[:ANSWER_TOLD_MAX].decode("utf-8", "replace")
    text = error if isinstance(error, str) else f"{error.type}: {error.reason or ''}"
    return text[:ANSWER_TOLD_MAX]


def _short(error: BaseException) -> str:
    """What a library says of its failure: its message, which names the cause, where it has one."""
    return str(getattr(error, "message", "") or error)[:ANSWER_TOLD_MAX]
