"""Keys of the search: where Elasticsearch is, how it is asked, and how what is searched lies in it."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from monitor.config.listening import is_loopback
from monitor.config.values import KIB, MIB, FileIfAny, Keys, RefusedValueError


def _node(text: str, info: ValidationInfo) -> str:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise RefusedValueError("the URL of a node", "write https://host:9200") from None
    if url.scheme not in {"http", "https"} or not host:
        raise RefusedValueError("the URL of a node", "write https://host:9200")
    if url.username or url.password:
        raise RefusedValueError(
            "a URL without user and password", "use elasticsearch.api_key_file, or username and password_file"
        )
    if url.query or url.fragment:
        raise RefusedValueError("a URL without a query", "write https://host:9200")
    if url.scheme == "http" and not is_loopback(host) and info.data.get("plain_http") is False:
        raise RefusedValueError(
            "https, because all events go there",
            "use https; or, where nobody else can listen in, set elasticsearch.plain_http = true",
        )
    if port is None:
        raise RefusedValueError("a URL with a port", "write https://host:9200")
    return text


class ElasticsearchKeys(Keys):
    plain_http: bool = False
    urls: Annotated[tuple[Annotated[str, AfterValidator(_node)], ...], Field(max_length=64)] = ()
    api_key_file: str = ""
    api_key: SecretStr | None = None  # from `api_key_file` or the environment
    username: str = ""
    password_file: str = ""
    password: SecretStr | None = None  # likewise
    ca_file: FileIfAny = ""
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9_.][a-z0-9_.]{0,63}$")] = "default"
    lists: Literal["archive", "elasticsearch"] = "archive"
    compression: bool = False
    timeout_s: Annotated[float, Field(ge=1, le=600)] = 30.0
    bulk_bytes_max: Annotated[int, Field(ge=64 * KIB, le=64 * MIB)] = 4 * MIB
    bulks_max: Annotated[int, Field(ge=1, le=32)] = 2
    rest_s_max: Annotated[float, Field(ge=1, le=3600)] = 60.0
    shards: Annotated[int, Field(ge=1, le=1024)] = 1
    replicas: Annotated[int, Field(ge=0, le=16)] = 1
    refresh_s: Annotated[float, Field(ge=0.1, le=3600)] = 5.0
    mode: Literal["standard", "logsdb"] = "standard"
    retention: Literal["stream", "ilm", "none"] = "stream"

    @field_validator("password")
    @classmethod
    def _belongs(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        username = info.data.get("username")
        if username is not None and (value is not None) != bool(username):
            raise RefusedValueError("username and password together", "give both, or neither")
        if value is not None and info.data.get("api_key") is not None:
            raise RefusedValueError("an API key or a password, not both", "leave one out")
        return value

    @field_validator("lists")
    @classmethod
    def _has_a_place(cls, value: str, info: ValidationInfo) -> str:
        if value == "elasticsearch" and not info.data.get("urls", True):
            raise RefusedValueError("elasticsearch.urls, because lists are to be read there", "say where it is")
        return value
