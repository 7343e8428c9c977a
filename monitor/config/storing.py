"""Keys of the record: in which database it is kept, and how patient one is with that."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, field_validator

from monitor.config.values import Keys, RefusedValueError


class StoreKeys(Keys):
    url: str = ""
    password_file: str = ""
    password: SecretStr | None = None  # from `password_file` or the environment, never from the file itself
    connections_max: Annotated[int, Field(ge=4, le=1000)] = 16
    connect_s_max: Annotated[float, Field(ge=2, le=300)] = 5.0
    lock_s_max: Annotated[float, Field(ge=0.1, le=300)] = 5.0
    statement_s_max: Annotated[float, Field(ge=1, le=86_400)] = 120.0

    @field_validator("url")
    @classmethod
    def _postgresql(cls, value: str) -> str:
        if not value:
            return value
        expected, remedy = "postgresql://USER@HOST:PORT/DATABASE", "correct the URL, or leave it out for SQLite"
        try:
            url = urlsplit(value)
            secret = url.password or "password" in parse_qs(url.query)
        except ValueError:
            raise RefusedValueError(expected, remedy, is_secret=True) from None
        if secret:
            remedy = "put the password into a file of its own and name that in store.password_file"
            raise RefusedValueError("a URL without a password", remedy, is_secret=True)
        if url.scheme != "postgresql" or not url.path.strip("/") or not url.username:
            raise RefusedValueError(expected, remedy)
        return value
